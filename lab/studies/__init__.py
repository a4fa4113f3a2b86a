"""The shipped studies by name. To add one: write its module with a `Study` in it, and name that here."""

from __future__ import annotations

from lab.studies import claims, hermitage, pool
from lab.studies.base import Study, StudyResult, StudyTable

__all__ = ["STUDIES", "Study", "StudyResult", "StudyTable"]

STUDIES: dict[str, Study] = {study.name: study for study in (hermitage.STUDY, pool.STUDY, *claims.STUDIES)}
