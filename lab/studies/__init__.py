"""Studies: experiments that measure a table on a cluster. `lab.studies.shipped` has them by name."""

from __future__ import annotations

from lab.studies.base import Study, StudyResult, StudyTable

__all__ = ["Study", "StudyResult", "StudyTable"]
