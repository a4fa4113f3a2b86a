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
from faults.pgwire.sql import MOST_CACHED

MOST_FIRINGS: Final = 10_000
"""Firings that are kept; the oldest make room."""

MOST_MEANT: Final = 4_096
"""Statements for which it is remembered which rules they match."""

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
    over: bool = False
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

    def give_back(self) -> None:
        """Take back a firing that could not happen: the reply that it was meant for has never come."""
        self.fired -= 1

    def release(self) -> int:
        """Let go of everything that waits; return how much that was."""
        # Each takes itself out of the dictionary: that is how it knows that nobody else has let it go.
        waiting = list(self.waiting.values())
        for let_go in waiting:
            let_go()
        self.waiting.clear()
        return len(waiting)


class RuleBook:
    """All rules of a server, in the order in which they were armed. The first that fires has the statement."""

    def __init__(self) -> None:
        self.firings: deque[Firing] = deque(maxlen=MOST_FIRINGS)
        self.strangers: Counter[str] = Counter()
        self.version = 0
        self._rules: dict[str, ArmedRule] = {}
        self._meant: dict[tuple[str, str, str, str], tuple[ArmedRule, ...]] = {}

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
        self._changed()
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
        self._changed()
        armed.over = True
        if armed.timer is not None:
            armed.timer.cancel()
        armed.release()

    def clear(self) -> None:
        """Take all rules away."""
        for name in list(self._rules):
            self.disarm(name)

    def _changed(self) -> None:
        self.version += 1
        self._meant.clear()

    def concerns(self, application_name: str, statement: Statement, proxy: str) -> bool:
        """Whether any rule is about a statement, spent or not."""
        return bool(self._rules) and bool(self._rules_for(proxy, application_name, statement))

    def consider(
        self, session: Session, statement: Statement, proxy: str, connection: int, client: str
    ) -> tuple[ArmedRule, Firing] | None:
        """Return the rule that fires for a statement, with its record, or None."""
        name = session.application_name
        for armed in self._rules_for(proxy, name, statement):
            if armed.rule.can_strike(statement.status) and armed.draw():
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

    def _rules_for(self, proxy: str, application_name: str, statement: Statement) -> tuple[ArmedRule, ...]:
        # Applications say the same again and again: to ask ten rules each time would cost more than all the rest.
        key = (proxy, application_name, statement.kind, statement.sql)
        meant = self._meant.get(key)
        if meant is None:
            rules = self._rules.values()
            meant = tuple(armed for armed in rules if armed.rule.matches(proxy, application_name, statement))
            if len(statement.sql) <= MOST_CACHED:
                if len(self._meant) >= MOST_MEANT:
                    self._meant.clear()
                self._meant[key] = meant
        return meant
