"""The pool matrix: pre-ping x death x moment x driver, what users meet, and what settings are good for."""

from lab.studies.pool.cells import Cell, Client, Death, Moment, Setting, all_cells
from lab.studies.pool.study import STUDY

__all__ = ["STUDY", "Cell", "Client", "Death", "Moment", "Setting", "all_cells"]
