"""Histories of others and our own, read as operations: the lab's journals, Jepsen's EDN, JSON and its text log."""

from lab.formats.detect import Format
from lab.formats.read import read_history, read_operations

__all__ = ["Format", "read_history", "read_operations"]
