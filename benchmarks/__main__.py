"""``python -m benchmarks``: every figure, one after the other; ``python -m benchmarks.NAME`` for one."""

from __future__ import annotations

from benchmarks import parsing, policy, proxy, startup


def main() -> int:
    """Measure everything."""
    for title, part in (("start", startup), ("proxy", proxy), ("policy", policy), ("parsing", parsing)):
        print(f"\n== {title} ==")
        part.main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
