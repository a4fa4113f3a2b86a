"""The error atlas: fault x moment x driver, what the application sees, what was true, and what may be done."""

from lab.atlas.cells import Cell, Fault, Moment, Trouble, all_cells
from lab.atlas.measure import measure
from lab.atlas.render import Atlas, rows_of, to_json, to_markdown
from lab.atlas.run import atlas_of, run_atlas
from lab.atlas.view import Measured, judge
from lab.retry.view import View

__all__ = [
    "Atlas",
    "Cell",
    "Fault",
    "Measured",
    "Moment",
    "Trouble",
    "View",
    "all_cells",
    "atlas_of",
    "judge",
    "measure",
    "rows_of",
    "run_atlas",
    "to_json",
    "to_markdown",
]
