"""What the application's users felt: did it go on, for how long not, and at what price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lab.history import FaultSpan, History, Operation, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def recovers(*, within: float) -> Check:
    """After the last fault is healed every client is served again *within* so many seconds.

    Served means: an operation begun after the heal, or waiting at that time, has come back with its answer.
    """

    def judge(history: History) -> Judgement:
        if not history.operations:
            return _no_clients()
        if not history.faults:
            return inconclusive("nothing was healed, so nothing had to recover")
        if not history.complete:
            return inconclusive("the journal is incomplete: who was served after the cut is not known")
        seconds = recovery_seconds(history)
        if seconds is None:
            late = unserved(history)
            waiting = (operation.index for operation in _last_of(late, history))
            return failed(f"clients never served again: {', '.join(map(str, late))}", waiting)
        if seconds > within:
            return failed(f"the last client was served {seconds:.2f} s after the heal, the bound is {within:g} s")
        return passed(f"every client served {seconds:.2f} s after the heal, the bound is {within:g} s")

    return Check("recovers", f"every client is served within {within:g} s of the heal", judge)


def _no_clients() -> Judgement:
    return inconclusive("no operation was recorded")


def recovery_seconds(history: History) -> float | None:
    """Return the seconds from the last heal until every client had been served; None if one never was."""
    first = _first_served(history)
    return max(first.values()) if first and not _clients(history) - first.keys() else None


def unserved(history: History) -> list[int]:
    """Return the clients without an answer after the last heal."""
    return sorted(_clients(history) - _first_served(history).keys())


def _clients(history: History) -> set[int]:
    return {operation.process for operation in history.operations}


def _first_served(history: History) -> dict[int, float]:
    """Return the seconds from the last heal to the first ok answer, for each client that had one."""
    first: dict[int, float] = {}
    healed = history.healed
    for operation in history.operations:
        if operation.completed is not None and operation.completed >= healed and operation.answered:
            seconds = operation.completed - healed
            first[operation.process] = min(seconds, first.get(operation.process, seconds))
    return first


def _last_of(clients: Iterable[int], history: History) -> Iterable[Operation]:
    last = {operation.process: operation for operation in history.operations}
    return (last[client] for client in clients)


def succeeds(*, at_least: float = 1.0) -> Check:
    """At least this share (0 to 1) of the operations is reported done or refused: faults are hidden from users."""

    def judge(history: History) -> Judgement:
        total = len(history.operations)
        if not total:
            return _no_clients()
        missed = [o for o in history.operations if o.outcome is not Outcome.OK and not o.answered]
        share = 1 - len(missed) / total
        if share < at_least:
            first = _complaint(missed[0])
            why = f"{len(missed)} of {total} operations were not done ({share:.2%}); the first: {first}"
            if at_least < 1 and not history.complete:
                return inconclusive(f"the journal is incomplete; up to the cut: {why}")
            return failed(why, (operation.index for operation in missed))
        return passed(f"{share:.2%} of {total:,} operations done")

    return Check("succeeds", f"{at_least:.0%} of operations are done", judge)


def _complaint(operation: Operation) -> str:
    met = operation.errors[-1] if operation.errors else "no error"
    return f"operation {operation.index} ended {operation.outcome} after {operation.attempts} attempts with {met}"


def answers(*, within: float) -> Check:
    """Every operation comes back *within* so many seconds, whatever its outcome: nobody hangs."""

    def judge(history: History) -> Judgement:
        if not history.operations:
            return _no_clients()
        longest = max([operation.seconds for operation in history.operations])
        if longest > within:
            slow = [operation for operation in history.operations if operation.seconds > within]
            worst = max(slow, key=lambda operation: operation.seconds)
            why = f"{len(slow)} operations took over {within:g} s; operation {worst.index}: {worst.seconds:.2f} s"
            return failed(why, (operation.index for operation in slow))
        cut_short = sum(operation.given_up for operation in history.operations if operation.errors)
        if cut_short:
            return inconclusive(f"{cut_short} operations were given up at the end of the run, before {within:g} s")
        return passed(f"the longest took {longest:.2f} s, the bound is {within:g} s")

    return Check("answers", f"every operation comes back within {within:g} s", judge)


def restrained(*, attempts_per_second: float, burst: int) -> Check:
    """While a fault lasts, no operation makes more than *burst* attempts plus *attempts_per_second* of its duration."""

    def judge(history: History) -> Judgement:
        during = [operation for operation in history.operations if _touches(operation, history.faults)]
        if not any(operation.attempts > 1 for operation in during):
            return inconclusive("no operation had to be tried twice while a fault lasted")
        wild = [o for o in during if o.attempts > burst + attempts_per_second * min(o.seconds, 3600)]
        if wild:
            worst = max(wild, key=lambda operation: operation.attempts)
            why = f"operation {worst.index} made {worst.attempts} attempts in {worst.seconds:.2f} s"
            return failed(f"a retry storm: {why}", (operation.index for operation in wild))
        most = max(operation.attempts for operation in during)
        return passed(f"at most {most} attempts for an operation")

    says = f"no more than {burst} attempts and {attempts_per_second:g} a second for an operation"
    return Check("restrained", says, judge)


def _touches(operation: Operation, spans: Iterable[FaultSpan]) -> bool:
    end = operation.completed if operation.completed is not None else float("inf")
    return any(operation.invoked <= span.healed and end >= span.armed for span in spans)


def met(error: str, *, at_least: int = 1) -> Check:
    """At least so many attempts met *error* (a SQLSTATE or class name): the run really tried what it claims to try."""

    def judge(history: History) -> Judgement:
        count = sum(_kind(label) == error for operation in history.operations for label in operation.errors)
        if count < at_least:
            return inconclusive(f"{count} attempts met {error}, at least {at_least} are needed to say anything")
        return passed(f"{count:,} attempts met {error}")

    return Check(f"met {error}", f"at least {at_least} attempts met {error}", judge)


def _kind(label: str) -> str:
    return label.partition(" ")[0]


def doubted(*, at_least: int = 1) -> Check:
    """At least so many attempts lost the answer to their COMMIT: the run really tried ambiguous outcomes."""

    def judge(history: History) -> Judgement:
        lost = [error for operation in history.writes for error in operation.errors if error.endswith(" at COMMIT")]
        count = len(lost)
        if count < at_least:
            return inconclusive(f"{count} attempts lost the answer to COMMIT, at least {at_least} are needed")
        kinds = ", ".join(f"{number} x {kind}" for kind, number in Counter(map(_kind, lost)).most_common())
        return passed(f"{count:,} attempts lost the answer to COMMIT: {kinds}")

    return Check("doubted", f"at least {at_least} answers to COMMIT were lost", judge)
