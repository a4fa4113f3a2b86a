"""An event loop of its own for what is under test: whatever that does, it is ended, or known to go on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest

from lab.application import Application, Interrupted, interrupt, interruptible, standstill
from tests.faults.wire import soon

WITHIN = 0.4


async def swallow() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def spin() -> None:
    while True:
        pass


async def politely() -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        return "said goodbye"
    return "slept"


async def test_what_lets_itself_be_cancelled_tells_its_result() -> None:
    async with Application() as app:
        running = app.launch(politely())
        assert await app.conclude([running], WITHIN)
        assert await running.future == "said goodbye"
    assert not app.lives


async def test_what_swallows_cancellation_is_left_and_the_application_ends() -> None:
    async with Application() as app:
        assert not await soon(app.conclude([app.launch(swallow())], WITHIN))
    assert not app.lives


async def test_a_loop_that_stands_still_is_interrupted_once_for_each_that_spins() -> None:
    async with Application() as app:
        running = [app.launch(spin()) for _ in range(3)]
        assert await soon(app.conclude(running, 2.0))
        for one in running:
            with pytest.raises(Interrupted):
                await one.future
        assert await app.run(asyncio.sleep(0, "goes on")) == "goes on"
    assert not app.lives


async def test_a_standstill_is_seen_while_it_lasts() -> None:
    async with Application() as app:
        async with app.watched():
            running = app.launch(spin())
            await asyncio.sleep(0.2)
        assert app.lag > 0.1
        assert await soon(app.conclude([running], 2.0))


@pytest.mark.parametrize(
    ("theirs", "ours", "lag"),
    [
        ([0.0, 0.1, 0.2], [0.0, 0.1, 0.2], 0.0),  # the machine stood still
        ([0.0, 0.01, 0.11, 0.12], [0.0, 0.03, 0.06, 0.09, 0.12], 0.07),
        ([0.0, 0.01, 0.11, 0.12, 0.5], [0.0, 0.03, 0.06, 0.09, 0.12, 0.5], 0.07),  # it did so at another time
        ([0.0, 0.005, 0.01], [0.0, 0.01], 0.0),
        ([0.0, 0.2], [], 0.195),
    ],
)
def test_a_loop_stands_still_only_while_the_other_one_goes_on(
    theirs: list[float], ours: list[float], lag: float
) -> None:
    assert standstill(theirs, ours) == pytest.approx(lag)


async def test_a_coroutine_that_goes_on_when_it_is_destroyed_is_not_destroyed() -> None:
    woken = threading.Event()

    async def undead() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
            except GeneratorExit:
                woken.set()
                raise

    async with Application() as app:
        await soon(app.conclude([app.launch(undead())], WITHIN))
    del app
    gc.collect()
    assert not woken.is_set()


def test_an_interruption_that_comes_too_late_hits_nobody() -> None:
    past, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        interruptible(lambda: None)
        past.set()
        go_on.wait(20)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert past.wait(20)
    interrupt(thread)
    go_on.set()
    thread.join(20)
    assert done.is_set()
