"""A scorecard for retry policies: what they say against what the database holds, with faults at exact moments."""

from lab.validate.adapters import from_decorator, from_tenacity
from lab.validate.loading import Loaded, as_policy, load_policy
from lab.validate.runner import validate, validate_on
from lab.validate.scorecard import CaseResult, Scorecard, to_json

__all__ = [
    "CaseResult",
    "Loaded",
    "Scorecard",
    "as_policy",
    "from_decorator",
    "from_tenacity",
    "load_policy",
    "to_json",
    "validate",
    "validate_on",
]
