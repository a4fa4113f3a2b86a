"""The shipped studies by name. To add one: write its module with a `Study` in it, and name that here.

Apart from `lab.studies`, because most commands know what a study is and few run one.
"""

from __future__ import annotations

from lab.studies import claims, hermitage, pool
from lab.studies.base import Study

STUDIES: dict[str, Study] = {study.name: study for study in (hermitage.STUDY, pool.STUDY, *claims.STUDIES)}
