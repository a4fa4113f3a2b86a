"""The stage of a rehearsal: its clock, its log, and the milestones that whoever plays has reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from lab.cleanup import to_its_end
from lab.conducting import Live
from lab.journal import Judged
from lab.runbook.application import Campaign, Door
from lab.runbook.eyes import Seen
from lab.runbook.hands import Hands
from lab.runbook.model import NODE, Line, Runbook
from lab.runbook.record import Step, Times
from lab.verdict import Finding, Verdict

LOOK: Final = 0.1
"""Seconds between two looks at what has not come true yet."""

FELT: Final = 1.0
"""Seconds that users feel an incident at least before the automatic rehearsal does anything about it."""

Say = Callable[[str], None]
Player = Callable[["Stage"], Awaitable[None]]


class Stage:
    """One incident being played: inject, observe, act, verify, each with its time."""

    def __init__(self, runbook: Runbook, facts: frozenset[str], seed: int, say: Say) -> None:
        self.runbook = runbook
        self.facts = facts
        self.say = say
        self.steps: list[Step] = []
        self.findings: list[Finding] = []
        self.times = Times()
        self.diagnosis = ""
        self.injected: float | None = None
        self.ended: float | None = None
        self.seed = seed
        self._last_act: float | None = None
        self._live: Live | None = None
        self._hands: Hands | None = None

    @property
    def hands(self) -> Hands:
        """What looks and acts; RuntimeError before the clients are at work."""
        if self._hands is None:
            raise RuntimeError("nothing can be seen or done before the rehearsal has begun")
        return self._hands

    @property
    def struck_node(self) -> str:
        """The node that was struck; empty if it was none, or nothing was."""
        named = (line.text for line in self.lines("Symptom"))
        return self._hands.node if self._hands and any(" node" in text for text in named) else ""

    @property
    def live(self) -> Live:
        """The run; RuntimeError before the clients are at work."""
        if self._live is None:
            raise RuntimeError("there is no run before the rehearsal has begun")
        return self._live

    async def play(self, live: Live, campaign: Campaign, door: Door, player: Player) -> None:
        """Inject, let *player* do the rest, and heal whatever is left, however it ends."""
        self._live, self._hands = live, Hands(live, campaign, door)
        await live.cluster.control.forget_evidence()
        await live.cluster.control.forget_firings()
        try:
            self.injected = live.recorder.now()
            for line in self.lines("Symptom"):
                await self.hands.inject(line, self.seed)
            self.hands.watch.forget()
            await player(self)
        finally:
            self.ended = live.recorder.now()
            await to_its_end(self.hands.heal_all())

    def lines(self, section: str) -> list[Line]:
        """Return the lines of a section that count on this cluster."""
        return self.runbook.lines(section, self.facts)

    def now(self) -> float:
        """Return the seconds since the incident began."""
        return round(self.live.recorder.now() - (self.injected or 0.0), 3)

    def log(self, section: str, text: str, shown: str, held: bool | None = None, *, silent: bool = False) -> None:
        """Put a step into the log, and tell it."""
        named = text.replace(NODE, self.hands.node)
        self.steps.append(Step(section, self.now(), named, shown, held))
        if not silent:
            self.say(told(self.steps[-1]))

    def mitigated(self) -> None:
        """Note that the last thing that was done (else: now) has mitigated the incident."""
        at = self._last_act if self._last_act is not None else self.now()
        self.times = msgspec.structs.replace(self.times, mitigate=at)

    def conclude(self, name: str, good: bool, why: str) -> None:
        """Judge one part of the rehearsal."""
        self.findings.append(Finding(name, Verdict.PASS if good else Verdict.FAIL, why))
        self.live.recorder.record(Judged(self.findings[-1]))

    async def act(self, line: Line) -> None:
        """Do what a line says; from then on the application's figures are those since it was done."""
        self.log("Remedy", line.text, await self.hands.act(line))
        self._last_act = self.now()
        self.hands.watch.forget()

    async def until_seen(self, section: str, within: float) -> bool:
        """Look at each line of a section until it gives what it must; False if one does not *within* seconds."""
        deadline = time.monotonic() + within
        for line in self.lines(section):
            seen, held = await self._until_held(line, deadline)
            self.log(section, line.text, seen.shown, held)
            if held is False:
                return False
        return True

    async def _until_held(self, line: Line, deadline: float) -> tuple[Seen, bool | None]:
        while True:
            seen = await self.hands.see(line)
            if line.expected is None:
                return seen, None
            held = line.expected.holds(seen.value, seen.shown)
            if held or time.monotonic() > deadline:
                return seen, held
            await asyncio.sleep(LOOK)

    async def verified(self, within: float, *, silent: bool = False) -> bool:
        """Return True once every line of the verification holds in one look; False if none does *within* seconds."""
        deadline = time.monotonic() + within
        while True:
            looks = [(line, await self.hands.see(line)) for line in self.lines("Verification")]
            held = [line.expected is None or line.expected.holds(seen.value, seen.shown) for line, seen in looks]
            if all(held) or time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK)
        for (line, seen), good in zip(looks, held, strict=True):
            self.log("Verification", line.text, seen.shown, good, silent=silent)
        return all(held)


def told(step: Step) -> str:
    """Return a step as a line for a terminal."""
    mark = {True: "✔", False: "✘", None: "·"}[step.held]
    lines = step.shown.splitlines() or [""]
    first, *rest = lines if len(lines) == 1 else ["", *lines]
    more = "".join(f"\n{'':17}{line}" for line in rest)
    return f"  {step.at:7.2f} s  {mark}  {step.text}  ->  {first}".rstrip() + more


async def automatic(stage: Stage) -> None:
    """Play a runbook as it is written, step by step."""
    bounds = stage.runbook.bounds
    await asyncio.sleep(FELT)
    for section, milestone in (("Signals", "detect"), ("Diagnosis", "diagnose")):
        stage.say(section)
        good = await stage.until_seen(section, bounds.detect)
        stage.conclude(section.lower(), good, _why(stage, good, f"within {bounds.detect:g} s"))
        if not good:
            return
        _reached(stage, milestone)
    stage.say("Remedy")
    for line in stage.lines("Remedy"):
        await stage.act(line)
    _reached(stage, "mitigate")
    stage.say("Verification")
    good = await stage.verified(bounds.recover)
    stage.conclude("remedy", good, _why(stage, good, f"within {bounds.recover:g} s"))
    if good:
        _reached(stage, "recover")


def _reached(stage: Stage, milestone: str) -> None:
    reach(stage, milestone)
    stage.say(f"  {stage.now():7.2f} s  {MILESTONES[milestone]}")


def reach(stage: Stage, milestone: str) -> None:
    """Note the time of a milestone, the first time that it is reached."""
    times = {name: getattr(stage.times, name) for name in MILESTONES}
    if times[milestone] is None:
        times[milestone] = stage.now()
        stage.times = Times(**times)


MILESTONES: Final = {"detect": "detected", "diagnose": "diagnosed", "mitigate": "mitigated", "recover": "recovered"}


def _why(stage: Stage, good: bool, bound: str) -> str:
    if good:
        return f"as the runbook says, {stage.now():.2f} s after the incident began"
    missed = [step for step in stage.steps if step.held is False][-1:]
    told_last = f"{missed[0].text} gave {missed[0].shown or 'nothing'}" if missed else "nothing was seen"
    return f"not {bound}: {told_last}"
