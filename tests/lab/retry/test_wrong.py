"""Each wrong policy makes its own mistake, for real: otherwise a test of the right one would prove nothing."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from lab.retry import OutcomeUnknown, sqlstate
from lab.retry.wrong import (
    WRONG,
    blind_retry,
    forgets_commit_doubt,
    key_in_another_transaction,
    no_retry,
    same_session,
    storm,
    swallow,
)
from tests.lab.db.forwarder import Forwarder, Loss
from tests.lab.retry.bench import Bench, apply, fail


def test_every_wrong_policy_names_its_mistake() -> None:
    assert all((policy.__doc__ or "").startswith("MISTAKE: ") for policy in WRONG.values())


async def test_blind_retry_applies_twice_after_a_lost_acknowledgement(lab: Bench, forwarder: Forwarder) -> None:
    forwarder.arm(b"COMMIT", Loss.ACK)
    await blind_retry(lab.sessions, lambda session: apply(session, "twice"))
    assert forwarder.fired == 1
    assert await lab.effects("twice") == 2


async def test_a_key_in_another_transaction_applies_twice_after_a_lost_acknowledgement(
    lab: Bench, forwarder: Forwarder
) -> None:
    async def work(session: AsyncSession) -> None:
        await apply(session, "twice")
        if not forwarder.fired:
            forwarder.arm(b"COMMIT", Loss.ACK)

    await key_in_another_transaction(lab.sessions, work, key="k")
    assert forwarder.fired == 1
    assert await lab.effects("twice") == 2


async def test_forgetting_the_doubt_calls_an_applied_unit_failed(lab: Bench, forwarder: Forwarder) -> None:
    forwarder.arm(b"COMMIT", Loss.ACK)
    with pytest.raises(DBAPIError) as caught:
        await forgets_commit_doubt(lab.sessions, lambda session: apply(session, "phantom"))
    assert not isinstance(caught.value, OutcomeUnknown)
    assert await lab.effects("phantom") == 1


async def test_swallowing_calls_a_lost_unit_done(lab: Bench, forwarder: Forwarder) -> None:
    forwarder.arm(b"COMMIT", Loss.REQUEST)
    await swallow(lab.sessions, lambda session: apply(session, "lost"))
    assert await lab.effects("lost") == 0


async def test_no_retry_gives_up_on_a_serialization_failure(lab: Bench) -> None:
    with pytest.raises(DBAPIError):
        await no_retry(lab.sessions, Flaky("40001", failures=1))


async def test_the_storm_hammers_a_permanent_error(lab: Bench) -> None:
    work = Flaky("23505", failures=30)
    await storm(lab.sessions, work)
    assert work.calls == 31


async def test_the_same_session_fails_by_its_first_error(lab: Bench) -> None:
    work = Flaky("40001", failures=1)
    with pytest.raises(DBAPIError) as caught:
        await same_session(lab.sessions, work)
    assert sqlstate(caught.value) == "25P02"


class Flaky:
    """Work that fails with *sqlstate* the first *failures* times."""

    def __init__(self, sqlstate: str, failures: int) -> None:
        self._sqlstate = sqlstate
        self._numbers = itertools.count(1)
        self._failures = failures
        self.calls = 0

    async def __call__(self, session: AsyncSession) -> None:
        """Run one statement, then perhaps fail."""
        self.calls = next(self._numbers)
        await session.execute(text("SELECT 1"))
        if self.calls <= self._failures:
            await fail(session, self._sqlstate)
