"""``python -m faults``: the proxy server alone. ``lab proxy`` is the same thing."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from faults.errors import FaultError, ListenFailed
from faults.server import serve


def run_on_fast_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run *main* on uvloop, or on asyncio's own loop where uvloop does not exist."""
    runner: Callable[[Coroutine[Any, Any, None]], None]
    try:
        import uvloop
    except ImportError:  # Windows
        import asyncio

        runner = asyncio.run
    else:
        runner = uvloop.run
    runner(main)


def run_server(host: str, port: int, seed: int | None, config: Path | None, *, until_stdin_closes: bool = False) -> int:
    """Run the server until it is told to stop and return the exit code; its URL goes to stdout, the log to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    # It knows of malformed HTTP only, and tells it with a traceback; what fails in a handler is logged by the server.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)

    def announce(url: str) -> None:
        sys.stdout.write(f"control API: {url}\n")
        sys.stdout.flush()
        gc.freeze()  # what has been imported stays: a look through it again would stop all connections for milliseconds

    _allow_many_files()
    try:
        run_on_fast_loop(
            serve(host, port, seed=seed, config=config, announce=announce, until_stdin_closes=until_stdin_closes)
        )
    except ListenFailed as error:
        return _say(f"{error}; choose another address or end what uses it", 4)
    except FaultError as error:
        return _say(str(error), 2)
    return 0


def _allow_many_files() -> None:
    # A connection takes two files, and many systems start with a limit of 1024.
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses its own "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(problem: str, code: int) -> int:
    sys.stderr.write(f"faults: {problem}\n")
    return code


def main() -> int:
    """Read the arguments of ``toxiproxy-server`` that make sense here."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8474, help="0 takes a free one")
    parser.add_argument("--config", type=Path, help="JSON array of proxies, as for POST /populate; toxics are welcome")
    parser.add_argument("--seed", type=int, help="decides every draw of every toxic")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop with the process that started this one")
    args = parser.parse_args()
    return run_server(args.host, args.port, args.seed, args.config, until_stdin_closes=args.until_stdin_closes)


if __name__ == "__main__":
    sys.exit(main())
