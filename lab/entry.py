"""Where the command begins: it takes a moment to load, and Ctrl-C in that moment ends it as at any other."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Load the command line and run it."""
    try:
        from lab.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("lab: interrupted\n")
        sys.exit(128 + signal.SIGINT)
    run()
