"""``python -m benchmarks``: every figure, one after the other; ``python -m benchmarks.NAME`` for one."""

from __future__ import annotations

from benchmarks import audit, cycles, linearizable, parsing, policy, proxy, recording, report, startup


def main() -> int:
    """Measure everything."""
    parts = {
        "start": startup,
        "proxy": proxy,
        "policy": policy,
        "recording": recording,
        "report": report,
        "parsing": parsing,
        "linearizable": linearizable,
        "cycles": cycles,
        "audit": audit,
    }
    for title, part in parts.items():
        print(f"\n== {title} ==")
        part.main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
