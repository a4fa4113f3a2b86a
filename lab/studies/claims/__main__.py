"""`python -m lab.studies.claims RESULTS`: print the page of a run, from what `lab run claims --json` has printed."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from lab.history import Json
from lab.studies.claims.page import read, to_markdown

USAGE = "usage: python -m lab.studies.claims FILE   # the output of 'lab run claims --json'"


class _Study(msgspec.Struct):
    study: str
    data: Json


class _Results(msgspec.Struct):
    studies: list[_Study]


def main(arguments: list[str]) -> int:
    """Print the page and return 0, or say in one line what is wrong and return 2."""
    if len(arguments) != 1:
        return _refuse(USAGE)
    try:
        results = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=_Results)
        found = [study.data for study in results.studies if study.study == "claims"]
        if not found:
            return _refuse(f"{arguments[0]}: no study 'claims' in it; {USAGE}")
        sys.stdout.write(to_markdown(read(found[-1])))
    except OSError as error:
        return _refuse(f"{arguments[0]}: {error.strerror}")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return _refuse(f"{arguments[0]}: {error}; {USAGE}")
    return 0


def _refuse(problem: str) -> int:
    sys.stderr.write(f"{problem}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
