"""``lab run pool --json | python -m lab.studies.pool > docs/pools.md``: the page of a run."""

from __future__ import annotations

import sys

import msgspec

from lab.studies.pool.render import page_of_data


def main() -> None:
    """Read the answer of a run from standard input and print the page of its pool matrix."""
    answer = msgspec.json.decode(sys.stdin.buffer.read())
    data = next(study["data"] for study in answer["studies"] if study["study"] == "pool")
    sys.stdout.write(page_of_data(data))


if __name__ == "__main__":
    main()
