"""The operator's desk: a prompt to look and to act at, for operator and mystery rehearsals."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from faults.plan import LEASEHOLDER, ONE_NODE
from lab.errors import LabError
from lab.runbook.forms import FORMS, ONLY_LOOKS, Wrong
from lab.runbook.grammar import read_line
from lab.runbook.model import NODE, SECTIONS, Kind
from lab.runbook.stage import Stage, reach
from lab.standing import dsn

PROMPT: Final = "lab> "
CHUNK: Final = 65_536

SETTLED: Final = 10.0
"""Seconds that a remedy has to show when the operator says that it is done."""

HELP: Final = """\
look     status                  the application's figures, which nodes answer, and what failed attempts met
         app SIGNAL | ping NODE | answers NODE | sql SELECT ... | $ cockroach node status
act      start, resume, reconnect, rejoin, replace NODE | start server | gateway NODE up
         take NODE out | put NODE back | roll every node | sql STATEMENT | app recycle | app queue N
say      detected                you have seen that something is wrong (else your first act says so)
         diagnosed [WHAT]        you know what it is
         done                    it is healed: the lab verifies it
         give up                 the lab tells, and heals
help     usage COMMAND           how it is written
NODE is n1, n2, n3 or every node."""


class Lines(Protocol):
    """Where the operator's lines come from."""

    async def next(self) -> str | None:
        """Return the next line, without its end; None when there are no more."""


class Terminal:
    """The lines of a file descriptor; waiting for one can be cancelled, which a thread that reads could not be."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._read = b""
        self._ended = False

    async def next(self) -> str | None:
        """Return the next line; what has no end is the last one."""
        while b"\n" not in self._read and not self._ended:
            await self._readable()
            try:
                chunk = os.read(self._descriptor, CHUNK)
            except OSError:  # the terminal is gone
                chunk = b""
            self._read, self._ended = self._read + chunk, not chunk
        if not self._read:
            return None
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace").strip()

    async def _readable(self) -> None:
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


class Desk:
    """Plays a rehearsal by what an operator types. *mystery*: what was injected is told at the end only."""

    def __init__(self, lines: Lines, *, mystery: bool, within: float = SETTLED, prompt: bool | None = None) -> None:
        self._lines = lines
        self._mystery = mystery
        self._within = within
        self._prompt = sys.stdin.isatty() if prompt is None else prompt
        self._over = False

    async def __call__(self, stage: Stage) -> None:
        """Let the operator look and act until all is verified, or given up."""
        self._introduce(stage)
        while not self._over:
            if self._prompt:
                sys.stderr.write(PROMPT)
                sys.stderr.flush()
            line = await self._lines.next()
            if line is None:
                await self._give_up(stage)
            elif line:
                await self._obey(stage, line)
        if self._mystery:
            self._reveal(stage)

    def _introduce(self, stage: Stage) -> None:
        cluster = stage.live.cluster
        stage.say("the clock is running: something is wrong" if self._mystery else stage.runbook.title)
        if not self._mystery:
            stage.say(f"the runbook: {stage.runbook.path}; 'show Remedy' shows a section of it")
        for node in cluster.nodes:
            stage.say(f"  {node.name}  {dsn(cluster.target, str(node.address))}")
        stage.say("'help' names the commands; 'done' when it is healed, 'give up' to be told")

    async def _obey(self, stage: Stage, text: str) -> None:
        words = text.split()
        asked = text.lower() if text.lower() == "give up" else words[0].lower()
        command = COMMANDS.get(asked)
        try:
            if command is not None:
                await command(self, stage, text[len(asked) :].strip())
            else:
                await self._look_or_act(stage, text)
        except (Wrong, LabError) as error:
            stage.say(f"  {error}")

    async def _look_or_act(self, stage: Stage, text: str) -> None:
        verb = text.split()[0]
        if not any(verb in FORMS[kind] for kind in ("observe", "act")):
            known = sorted({*FORMS["observe"], *FORMS["act"], *COMMANDS})
            raise Wrong(f"unknown command '{verb}'; known: {', '.join(known)}")
        kind = _kind(verb, text.removeprefix(verb).strip())
        line = read_line(kind, text, 0)
        if self._mystery and any(word in text for word in (NODE, ONE_NODE, LEASEHOLDER)):
            raise Wrong("name the node: which one it is, is for you to find")
        if kind == "act":
            await stage.act(line)
            reach(stage, "detect")
            return
        seen = await stage.hands.see(line)
        held = line.expected.holds(seen.value, seen.shown) if line.expected else None
        stage.log("Diagnosis", text, seen.shown, held)

    async def status(self, stage: Stage, _rest: str) -> None:
        """Show the application's figures, the nodes, and what failed attempts met."""
        watch = stage.hands.watch
        stage.log("Signals", "status", watch.summary())
        if complaints := watch.complaints():
            stage.say(f"{'':17}met: {complaints}")
        seen = await stage.hands.see(read_line("observe", "answers every node", 0))
        stage.say(f"{'':17}{seen.shown}")

    async def detected(self, stage: Stage, _rest: str) -> None:
        """Note that the operator has seen it."""
        reach(stage, "detect")
        stage.say(f"  {stage.now():7.2f} s  detected")

    async def diagnosed(self, stage: Stage, rest: str) -> None:
        """Note that the operator knows what it is."""
        reach(stage, "detect")
        reach(stage, "diagnose")
        stage.diagnosis = rest
        stage.say(f"  {stage.now():7.2f} s  diagnosed{': ' if rest else ''}{rest}")

    async def done(self, stage: Stage, _rest: str) -> None:
        """Verify; if it is not healed the rehearsal goes on."""
        stage.say("verifying")
        # In a mystery the lines of the verification would tell what it is.
        good = await stage.verified(self._within, silent=self._mystery)
        if not good:
            stage.say("not healed: " + ("look again" if self._mystery else "see above"))
            return
        for milestone in ("detect", "diagnose"):
            reach(stage, milestone)
        stage.mitigated()
        reach(stage, "recover")
        stage.conclude("remedy", True, f"verified {stage.now():.2f} s after the incident began")
        stage.say(f"  {stage.now():7.2f} s  healed")
        self._over = True

    async def give_up(self, stage: Stage, _rest: str) -> None:
        """End without having healed it."""
        await self._give_up(stage)

    async def _give_up(self, stage: Stage) -> None:
        stage.conclude("remedy", False, f"given up {stage.now():.2f} s after the incident began")
        self._over = True

    async def show(self, stage: Stage, rest: str) -> None:
        """Show a section of the runbook, or all of its names."""
        if self._mystery:
            raise Wrong("in a mystery the runbook is told at the end")
        sections = dict(stage.runbook.sections)
        wanted = next((name for name in SECTIONS if name.lower() == rest.lower()), None)
        stage.say(sections[wanted] if wanted else f"show one of: {', '.join(SECTIONS)}")

    async def usage(self, stage: Stage, rest: str) -> None:
        """Say how a command is written."""
        kinds: tuple[Kind, ...] = ("observe", "act")
        name = rest.partition(" ")[0]
        forms = [FORMS[kind][name].usage for kind in kinds if name in FORMS[kind]]
        stage.say("  " + ("; ".join(forms) or f"no command '{rest}'"))

    async def help(self, stage: Stage, _rest: str) -> None:
        """Name the commands."""
        stage.say(HELP)

    def _reveal(self, stage: Stage) -> None:
        told = ", ".join(line.text for line in stage.lines("Symptom"))
        node = f" ({stage.struck_node})" if stage.struck_node else ""
        stage.say(f"it was: {stage.runbook.title} [{stage.runbook.name}]: {told}{node}")
        if stage.diagnosis:
            right = stage.diagnosis == stage.runbook.name
            stage.say(f"you said: {stage.diagnosis}{', which is right' if right else ''}")


def _kind(verb: str, rest: str) -> Kind:
    """Tell whether a command looks or acts; some words do both."""
    if verb == "sql":
        return "observe" if ONLY_LOOKS.match(rest) else "act"
    if verb == "app":
        return "act" if rest.split()[:1] in (["recycle"], ["queue"]) else "observe"
    return "observe" if verb in FORMS["observe"] else "act"


COMMANDS: Final[dict[str, Callable[[Desk, Stage, str], Awaitable[None]]]] = {
    "help": Desk.help,
    "status": Desk.status,
    "detected": Desk.detected,
    "diagnosed": Desk.diagnosed,
    "done": Desk.done,
    "give up": Desk.give_up,
    "show": Desk.show,
    "usage": Desk.usage,
}
