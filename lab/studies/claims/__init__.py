"""What people believe of SQLAlchemy and its pools, sentence by sentence, measured on a real database."""

from __future__ import annotations

from typing import Final

from lab.studies.base import Study
from lab.studies.claims import (
    asynchronous,
    closing,
    connections,
    isolation,
    loading,
    migration,
    misdeclared,
    repeating,
    scopes,
    styles,
    typed,
)
from lab.studies.claims.base import Claim, Measured, Part, Truth
from lab.studies.claims.study import study_of, study_of_all

__all__ = ["CLAIMS", "STUDIES", "Claim", "Measured", "Part", "Truth"]

CLAIMS: Final[tuple[Claim, ...]] = (
    *styles.CLAIMS,
    *migration.CLAIMS,
    *scopes.CLAIMS,
    *closing.CLAIMS,
    *asynchronous.CLAIMS,
    *loading.CLAIMS,
    *typed.CLAIMS,
    *misdeclared.CLAIMS,
    *isolation.CLAIMS,
    *repeating.CLAIMS,
    *connections.CLAIMS,
)
"""Every claim, in the order of the table."""

STUDIES: Final[tuple[Study, ...]] = (study_of_all(CLAIMS), *map(study_of, CLAIMS))
"""`claims`, then each as `claims/NAME`."""
