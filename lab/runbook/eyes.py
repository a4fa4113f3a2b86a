"""Eyes of a rehearsal: what an operator can look at, on the cluster and in the application."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, NamedTuple

import asyncpg

from faults.plan import EVERY_NODE, ONE_NODE
from lab.clusters.base import Node
from lab.clusters.gateways import PROBE_TIMEOUT, session
from lab.conducting import Live
from lab.errors import UsageError
from lab.runbook.ability import program_of
from lab.runbook.model import NODE, Answers, App, Line, Ping, Program, Sql
from lab.runbook.signals import Watch

STATEMENT: Final = 5.0
"""Seconds that an operator's statement may take."""

COMMAND: Final = 15.0
"""Seconds that a command of ``cockroach`` may take."""

MOST_SHOWN: Final = 8
"""Rows and lines of an answer that are shown."""

NO_ANSWER = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Seen(NamedTuple):
    """What an observation gave: a number if there is one, and how it is shown."""

    value: float | None
    shown: str


class Eyes:
    """All that is seen of a running cluster and its application. *node* is the one that was struck."""

    def __init__(self, live: Live) -> None:
        self._cluster = live.cluster
        self.watch = Watch(live)
        self.node = live.cluster.nodes[0].name

    async def see(self, line: Line) -> Seen:
        """Look once; what does not answer is seen as that, with no value."""
        match line.action:
            case App() as app:
                value = self.watch.read(app)
                return Seen(value, "nothing yet" if value is None else f"{round(value, 2):g}")
            case Ping(on=on):
                return await self._ping(on)
            case Answers(on=on):
                return await self._answers(on)
            case Sql(statement=statement):
                return await self.sql(statement)
            case Program(words=words):
                return await self._program(words)
            case _:
                raise UsageError(f"'{line.text}' observes nothing")

    async def _ping(self, on: str) -> Seen:
        nodes = self.nodes(on)
        times = await asyncio.gather(*(self._probe(node) for node in nodes))
        shown = ", ".join(
            f"{node.name} {'does not answer' if seconds is None else f'{seconds * 1000:.0f} ms'}"
            for node, seconds in zip(nodes, times, strict=True)
        )
        known = [PROBE_TIMEOUT if seconds is None else seconds for seconds in times]
        return Seen(max(known), shown)

    async def _answers(self, on: str) -> Seen:
        nodes = self.nodes(on)
        times = await asyncio.gather(*(self._probe(node) for node in nodes))
        silent = [node.name for node, seconds in zip(nodes, times, strict=True) if seconds is None]
        shown = f"{len(nodes) - len(silent)} of {len(nodes)} answer"
        return Seen(float(len(nodes) - len(silent)), shown + (f", not {', '.join(silent)}" if silent else ""))

    async def _probe(self, node: Node) -> float | None:
        try:
            async with asyncio.timeout(2 * PROBE_TIMEOUT), session(self._cluster.target, node.address) as connection:
                began = time.monotonic()
                await connection.fetch("SELECT 1")
                return time.monotonic() - began
        except NO_ANSWER:
            return None

    async def sql(self, statement: str) -> Seen:
        """Ask the first node that answers, around the proxies."""
        target = self._cluster.direct
        statement = statement.replace(NODE, self.node)
        problem: BaseException | None = None
        for address in target.addresses:
            try:
                async with session(target, address, STATEMENT) as connection:
                    return _table(await connection.fetch(statement))
            except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
                return Seen(None, f"the database says: {_first_line(error)}")
            except NO_ANSWER as error:
                problem = error
        return Seen(None, f"no answer: {_first_line(problem)}")

    async def _program(self, words: tuple[str, ...]) -> Seen:
        problem = Seen(None, "no node answers")
        program = program_of(self._cluster)
        for address in self._cluster.direct.addresses if program else ():
            extra = () if any(word.startswith("--host") for word in words) else (f"--host={address}",)
            secure = () if any(word.startswith(("--insecure", "--certs-dir")) for word in words) else ("--insecure",)
            code, said = await _run([str(program), *words, *secure, *extra])
            lines = said.strip().splitlines()
            problem = Seen(float(code), "\n".join(lines[-MOST_SHOWN:]))
            if code == 0:
                return Seen(0.0, "\n".join(lines[: 2 * MOST_SHOWN]))
        return problem

    def nodes(self, on: str) -> list[Node]:
        """Return the nodes that an operator means; UsageError if there is none of that name."""
        name = self.node if on in (NODE, ONE_NODE) else on
        chosen = [node for node in self._cluster.nodes if name in (EVERY_NODE, node.name)]
        if not chosen:
            raise UsageError(f"no node '{on}', there are {', '.join(node.name for node in self._cluster.nodes)}")
        return chosen


def _table(rows: list[Any]) -> Seen:
    if not rows:
        return Seen(0.0, "no row")
    first = next(iter(rows[0].values()), None)
    lines = [" | ".join(str(value) for value in row.values()) for row in rows[:MOST_SHOWN]]
    rest = [f"... {len(rows) - MOST_SHOWN} more rows"] if len(rows) > MOST_SHOWN else []
    return Seen(_number(first), "\n".join([*lines, *rest]))


def _number(value: object) -> float | None:
    try:
        return float(str(int(value) if isinstance(value, bool) else value))
    except ValueError:
        return None


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


async def _run(command: list[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND):
            said, _ = await process.communicate()
    except TimeoutError:
        return 1, f"no answer within {COMMAND:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")
