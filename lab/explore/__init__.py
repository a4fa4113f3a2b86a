"""The explorer: a business operation of the user's own, struck once at every moment of the wire it has."""

from lab.explore.case import UNKNOWN, Case, Ran, judge, said_of
from lab.explore.explorer import Exploration, Question, explore
from lab.explore.moments import Step, Strike, parse_only, steps_of, strikes_for
from lab.explore.render import Asked, lines, matrix, to_json, verdict_of
from lab.explore.run import run_exploration

__all__ = [
    "UNKNOWN",
    "Asked",
    "Case",
    "Exploration",
    "Question",
    "Ran",
    "Step",
    "Strike",
    "explore",
    "judge",
    "lines",
    "matrix",
    "parse_only",
    "run_exploration",
    "said_of",
    "steps_of",
    "strikes_for",
    "to_json",
    "verdict_of",
]
