"""The rules in force on a server, and the record of every firing with the truth about it."""

from __future__ import annotations

import asyncio
import random as random_module
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from faults.errors import Conflict, NotFound
from faults.pgwire.rules import Rule
from faults.pgwire.session import Session, Statement

MOST_FIRINGS: Final = 10_000
"""Firings that are kept; the oldest make room."""

MOST_SQL: Final = 500
"""Characters of a statement in a record."""


@dataclass(slots=True)
class Firing:
    """What a rule did to one statement of one session. *at* is in seconds since the epoch.

    *forwarded*: whether the server was sent the statement; *answer*: what it said to it (a command tag or a SQLSTATE),
    None if it has said nothing. Together they are the truth that the client may not know.
    """

    rule: str
    proxy: str
    connection: int
    client: str
    application_name: str
    pid: int | None
    statement: str
    sql: str
    moment: str
    action: str
    forwarded: bool = False
    answer: str | None = None
    at: float = field(default_factory=time.time)


@dataclass(slots=True, eq=False)
class ArmedRule:
    """A rule with its counts: statements that matched, firings, and what waits for its release."""

    rule: Rule
    matched: int = 0
    fired: int = 0
    since: float = field(default_factory=time.time)
    waiting: dict[object, Callable[[], None]] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None
    random: random_module.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random_module.Random(f"{self.rule.seed}/{self.rule.name}")

    def draw(self) -> bool:
        """Count a match, and decide whether the rule fires for it."""
        self.matched += 1
        spent = self.rule.times and self.fired >= self.rule.times
        if self.matched <= self.rule.skip or spent or self.random.random() >= self.rule.probability:
            return False
        self.fired += 1
        return True

    def release(self) -> int:
        """Let go of everything that waits; return how much that was."""
        waiting, self.waiting = self.waiting, {}
        for let_go in waiting.values():
            let_go()
        return len(waiting)


class RuleBook:
    """All rules of a server, in the order in which they were armed. The first that fires has the statement."""

    def __init__(self) -> None:
        self.firings: deque[Firing] = deque(maxlen=MOST_FIRINGS)
        self.strangers: Counter[str] = Counter()
        self._rules: dict[str, ArmedRule] = {}

    def __iter__(self) -> Iterator[ArmedRule]:
        """Yield the rules in force."""
        return iter(list(self._rules.values()))

    def __len__(self) -> int:
        return len(self._rules)

    def arm(self, rule: Rule) -> ArmedRule:
        """Put a rule in force, for live sessions too. Raise Conflict if its name is taken."""
        if rule.name in self._rules:
            raise Conflict(f"rule already exists: '{rule.name}'")
        armed = self._rules[rule.name] = ArmedRule(rule)
        if rule.ttl:
            armed.timer = asyncio.get_running_loop().call_later(rule.ttl, self.disarm, rule.name)
        return armed

    def get(self, name: str) -> ArmedRule:
        """Return a rule or raise NotFound."""
        if name not in self._rules:
            raise NotFound(f"rule not found: '{name}'")
        return self._rules[name]

    def disarm(self, name: str) -> None:
        """Take a rule away and let go of what waits for it."""
        armed = self.get(name)
        del self._rules[name]
        if armed.timer is not None:
            armed.timer.cancel()
        armed.release()

    def clear(self) -> None:
        """Take all rules away."""
        for name in list(self._rules):
            self.disarm(name)

    def consider(
        self, session: Session, statement: Statement, proxy: str, connection: int, client: str
    ) -> tuple[ArmedRule, Firing] | None:
        """Return the rule that fires for a statement, with its record, or None."""
        name = session.application_name
        for armed in self._rules.values():
            if armed.rule.matches(proxy, name, statement) and armed.draw():
                firing = Firing(
                    rule=armed.rule.name,
                    proxy=proxy,
                    connection=connection,
                    client=client,
                    application_name=name,
                    pid=session.pid,
                    statement=statement.kind,
                    sql=statement.sql[:MOST_SQL],
                    moment=armed.rule.moment,
                    action=armed.rule.action,
                )
                return armed, firing
        return None
