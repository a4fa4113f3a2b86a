"""Every moment times every action at three statements, with both drivers: what is said, is true, and is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from faults.pgwire.rules import ACTIONS, MOMENTS, Action, Moment, Rule, Where, lost_ack, lost_request
from tests.faults.pgwire.bench import DRIVERS, QUIET, Bench, Client, outcome
from tests.faults.wire import PATIENCE, soon

INSERT = "INSERT INTO t VALUES ($1)"


@dataclass(frozen=True)
class Place:
    """A statement to strike, and how it is reached."""

    name: str
    where: Where
    tag: str

    async def run(self, client: Client) -> None:
        if self.name == "autocommit":
            await client.run(INSERT, 1)
            return
        await client.run("BEGIN")
        await client.run(INSERT, 1)
        await client.run("COMMIT")

    def stays(self, moment: Moment) -> bool:
        """Whether the row is there if the statement was the last that the client could send."""
        return moment == "reply" and self.name != "insert"


PLACES = (
    Place("insert", Where(sql="insert into t"), "INSERT 0 1"),
    Place("commit", Where(statement="COMMIT"), "COMMIT"),
    Place("autocommit", Where(sql="insert into t"), "INSERT 0 1"),
)
SAID = {"reset": "lost", "close": "lost", "black_hole": "quiet", "delay": "ok", "error": "40001", "hold": "ok"}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("action", ACTIONS)
async def test_what_the_client_hears_and_what_is_true_are_as_promised(
    bench: Bench, driver: str, action: Action, moment: Moment, place: Place
) -> None:
    sqlstate = "40001" if action == "error" else None
    await bench.control.arm(
        Rule("r", moment, action, place.where, sqlstate=sqlstate, seconds=0.02 if action == "delay" else 0)
    )
    client = await bench.client(driver)
    patience = QUIET if action == "black_hole" else PATIENCE
    running = asyncio.create_task(outcome(place.run(client), client, patience=patience))
    if action == "hold":
        await bench.until_waiting("r")
        assert bool(await bench.rows()) is place.stays(moment)
        assert await bench.control.release("r") == 1
    said = await soon(running)
    assert said == SAID[action]
    forwarded = moment == "reply" or action in ("delay", "hold")
    answer = place.tag if forwarded else "40001" if action == "error" else None
    firing = await bench.firing()
    assert (firing.forwarded, firing.answer) == (forwarded, answer)
    assert (firing.application_name, firing.action, firing.moment) == ("app", action, moment)
    if said == "40001" and place.name == "insert":
        assert await outcome(client.run("SELECT 1")) == "25P02"
        await client.run("ROLLBACK")
    if said in ("ok", "40001"):
        assert await outcome(client.run("BEGIN; SELECT 1; COMMIT")) == "ok"
        assert await bench.ask("SELECT state FROM pg_stat_activity WHERE pid = $1", firing.pid) == "idle"
    await client.close()
    assert await bench.rows() == ([1] if said == "ok" or place.stays(moment) else [])


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_lost_request_and_a_lost_acknowledgement_look_alike_a_hundred_times_and_are_opposites(
    bench: Bench, driver: str
) -> None:
    errors: dict[str, set[tuple[str, str]]] = {}
    for preset in (lost_request(), lost_ack()):
        await bench.control.arm(Rule(preset.name, preset.moment, preset.action, preset.where, times=0))
        heard = errors.setdefault(preset.name, set())
        for number in range(100):
            client = await bench.client(driver)
            await client.run("BEGIN")
            await client.run(INSERT, number)
            try:
                await soon(client.run("COMMIT"))
            except Exception as error:
                heard.add((type(error).__name__, str(error)))
            else:
                pytest.fail("COMMIT succeeded")
            await client.close()
        firings = await bench.control.firings()
        truth = (True, "COMMIT") if preset.name == "lost_ack" else (False, None)
        assert [(f.forwarded, f.answer) for f in firings] == [truth] * 100
        assert await bench.rows() == (list(range(100)) if preset.name == "lost_ack" else [])
        await bench.control.disarm(preset.name)
        await bench.control.forget_firings()
    assert errors["lost_request"] == errors["lost_ack"]
    assert len(errors["lost_ack"]) == 1
