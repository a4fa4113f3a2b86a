"""Eyes and hands of a rehearsal: injects what a runbook says, observes as an operator does, and does what it is told.

Whatever was injected is healed by what an operator does to it, or at the end; its evidence goes to the journal.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import asyncpg

from faults.plan import EVERY_NODE, LEASEHOLDER, ONE_NODE, Fault, Plan, RollingRestart, at, targets
from lab.arming import Evidence, arm
from lab.cleanup import to_its_end
from lab.clusters.base import Capability, Cluster, HoldsLeases, LosesGateways, Node, require
from lab.clusters.gateways import PROBE_TIMEOUT, session
from lab.errors import NotCapable, UsageError
from lab.history import FaultSpan
from lab.journal import Armed, Healed
from lab.runbook import incidents
from lab.runbook.application import Campaign, Door, Recycling
from lab.runbook.grammar import RESTORES
from lab.runbook.model import (
    NODE,
    PROGRAM,
    Answers,
    App,
    Hot,
    Injection,
    Leak,
    Line,
    Ping,
    Program,
    Queue,
    Recycle,
    Restore,
    Roll,
    Rotation,
    Runbook,
    Sql,
    Stale,
    Storm,
    Strike,
)
from lab.runbook.parse import needs_of_line
from lab.runbook.signals import Watch
from lab.runner import Live

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


@dataclass
class _Struck:
    """Something that was injected; *fault* is None for what strikes the application."""

    step: int
    says: str
    armed: float
    heal: incidents.Heal
    fault: Fault | None = None


class Hands:
    """All that is done to a running cluster and its application, and all that is seen of them."""

    def __init__(self, live: Live, campaign: Campaign, door: Door) -> None:
        self._live = live
        self._cluster = live.cluster
        self._campaign = campaign
        self._door = door
        self._recycling = Recycling(live.engine)
        self._struck: list[_Struck] = []
        self._steps = 0
        self._out: set[str] = set()
        self.watch = Watch(live)
        self.node = live.cluster.nodes[0].name

    # --- what is injected -------------------------------------------------------------------------------------------

    async def inject(self, line: Line, seed: int) -> None:
        """Bring an incident about; LEASEHOLDER is found now, ONE_NODE drawn by *seed*."""
        says, fault = line.text, None
        began = self._live.recorder.now()
        if isinstance(line.action, Strike):
            fault = await self._aimed(line.action.fault, seed)
            says = str(fault)
        self._steps += 1
        self._live.recorder.record(Armed(self._steps, says, began))
        heal = await self._begin(cast("Injection", line.action), fault)
        self._struck.append(_Struck(self._steps, says, began, heal, fault))

    async def _begin(self, action: Injection, fault: Fault | None) -> incidents.Heal:
        match action:
            case Leak():
                return await incidents.leak(self._live, action)
            case Storm():
                return await incidents.storm(self._live, action)
            case Stale():
                return await incidents.stale(self._live, action)
            case Hot():
                return await incidents.hot(self._campaign, action)
            case Strike():
                return await arm(self._cluster, f"incident{self._steps}", cast("Fault", fault))

    async def _aimed(self, fault: Fault, seed: int) -> Fault:
        if fault.on == LEASEHOLDER:
            self.node = await cast("HoldsLeases", self._cluster).leaseholder()
            return replace(fault, on=self.node)
        if fault.on == NODE:
            return replace(fault, on=self.node)
        resolved = Plan((at(0, fault),), seed).resolve([node.name for node in self._cluster.nodes]).steps[0].fault
        if fault.on == ONE_NODE:
            self.node = resolved.on
        return resolved

    async def heal_all(self) -> None:
        """End whatever was injected and is still there, and let the application be as it was."""
        await self._heal(list(self._struck))
        for name in sorted(self._out):
            await self._rotate(name, out=False)
        await self._door.set(None)

    async def _heal(self, chosen: Iterable[_Struck]) -> None:
        for one in chosen:
            self._struck.remove(one)
            evidence = await one.heal()
            self._live.recorder.record(Healed(_span(one, self._live.recorder.now(), evidence)))

    # --- what is seen -----------------------------------------------------------------------------------------------

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
                return await self._sql(statement)
            case Program(words=words):
                return await self._program(words)
            case _:
                raise UsageError(f"'{line.text}' observes nothing")

    async def _ping(self, on: str) -> Seen:
        nodes = self._nodes(on)
        times = await asyncio.gather(*(self._probe(node) for node in nodes))
        shown = ", ".join(
            f"{node.name} {'does not answer' if seconds is None else f'{seconds * 1000:.0f} ms'}"
            for node, seconds in zip(nodes, times, strict=True)
        )
        known = [PROBE_TIMEOUT if seconds is None else seconds for seconds in times]
        return Seen(max(known), shown)

    async def _answers(self, on: str) -> Seen:
        nodes = self._nodes(on)
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

    async def _sql(self, statement: str) -> Seen:
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

    def _nodes(self, on: str) -> list[Node]:
        name = self.node if on in (NODE, ONE_NODE) else on
        chosen = [node for node in self._cluster.nodes if name in (EVERY_NODE, node.name)]
        if not chosen:
            raise UsageError(f"no node '{on}', there are {', '.join(node.name for node in self._cluster.nodes)}")
        return chosen

    # --- what is done -----------------------------------------------------------------------------------------------

    async def act(self, line: Line) -> str:
        """Do what an operator asks for, and return what came of it."""
        match line.action:
            case Sql(statement=statement):
                return (await self._sql(statement)).shown
            case Restore(verb=verb, on=on):
                return await self._restore(verb, on)
            case Rotation(on=on, out=out):
                for node in self._nodes(on):
                    await self._rotate(node.name, out=out)
                return "done"
            case Roll():
                return await self._roll()
            case Recycle():
                self._recycling.recycle()
                return "every connection is replaced when it is next asked for"
            case Queue(writers=writers):
                await self._door.set(writers)
                return f"at most {writers} at a time"
            case _:
                raise UsageError(f"'{line.text}' does nothing")

    async def _restore(self, verb: str, on: str) -> str:
        names = {on} if on == "server" else {node.name for node in self._nodes(on)}
        every = [node.name for node in self._cluster.nodes]
        ended = [
            one
            for one in self._struck
            if one.fault is not None
            and one.fault.kind in RESTORES[verb]
            and (one.fault.on == "server" or set(targets(one.fault, every)) <= names)
            and (one.fault.on != "server" or on == "server")
        ]
        if not ended:
            return "there was nothing of that kind to mend"
        await to_its_end(self._heal(ended))
        return "done"

    async def _rotate(self, name: str, *, out: bool) -> None:
        gateways = cast("LosesGateways", self._cluster)
        if out:
            self._out.add(name)
            await gateways.lose_gateway(name)
        elif name in self._out:
            await gateways.return_gateway(name)
            self._out.discard(name)

    async def _roll(self) -> str:
        """Drain and restart each node in turn; where nodes cannot be drained, their gateways stand for them."""
        if Capability.NODE_DRAIN in self._cluster.capabilities:
            await (await arm(self._cluster, "roll", RollingRestart()))()
        else:
            for node in self._cluster.nodes:
                await self._rotate(node.name, out=True)
                await self._rotate(node.name, out=False)
                await self._cluster.healthy(self._cluster.heals_within)
        return "every node has been away and is back"


# --- what is known before anything is touched -------------------------------------------------------------------------


def facts_of(cluster: Cluster) -> frozenset[str]:
    """Return the conditions that hold of a started *cluster*."""
    programs = {PROGRAM} if program_of(cluster) else set()
    return frozenset({cluster.direct.dialect, *programs, *(capability.value for capability in cluster.capabilities)})


def program_of(cluster: Cluster) -> Path | None:
    """Return the ``cockroach`` that may be asked about a cluster without credentials; None if there is none."""
    binary = getattr(cluster, "binary", None)
    if isinstance(binary, Path):
        return binary
    found = shutil.which("cockroach") if cluster.name == "compose" else None
    return Path(found) if found else None


def is_able(runbook: Runbook, cluster: Cluster) -> bool:
    """Tell whether *cluster* can do what the runbook needs and injects."""
    try:
        require_able(runbook, cluster)
    except NotCapable:
        return False
    return True


def require_able(runbook: Runbook, cluster: Cluster) -> None:
    """Raise NotCapable, naming what is missing, if *cluster* cannot do what the runbook needs or injects."""
    able = {capability.value for capability in cluster.capabilities}
    injected = [needs_of_line(line) for line in runbook.lines("Symptom", able)]
    unfit = [
        group[0].condition
        for block in runbook.of("Symptom")
        for group in block.groups
        if all(line.condition is not None and line.condition not in able for line in group)
    ]
    needed = runbook.needs.union(*injected) | {Capability(name) for name in unfit if name}
    require(cluster, needed, f"the runbook '{runbook.name}'")


def _span(one: _Struck, healed: float, evidence: Evidence) -> FaultSpan:
    return FaultSpan(
        one.step,
        one.says,
        one.armed,
        healed,
        evidence.events,
        evidence.connections,
        evidence.bytes,
        evidence.first,
        evidence.last,
        evidence.note,
    )


def _table(rows: list[Any]) -> Seen:
    if not rows:
        return Seen(0.0, "no row")
    first = next(iter(rows[0].values()), None)
    number = isinstance(first, int | float) or (first is not None and str(first).replace(".", "", 1).isdecimal())
    lines = [" | ".join(str(value) for value in row.values()) for row in rows[:MOST_SHOWN]]
    rest = [f"... {len(rows) - MOST_SHOWN} more rows"] if len(rows) > MOST_SHOWN else []
    return Seen(float(first) if number else None, "\n".join([*lines, *rest]))


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

