"""Several things at once end as one: nothing goes on behind, and one trouble is one error."""

from __future__ import annotations

import asyncio

import pytest

from lab.cleanup import all_of, to_its_end, together


async def fail(error: Exception) -> None:
    raise error


async def test_an_error_waits_for_the_end_of_the_others() -> None:
    ended: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0.05)
        ended.append("slow")

    with pytest.raises(OSError, match="first"):
        await all_of(fail(OSError("first")), slow(), fail(ValueError("second")))

    assert ended == ["slow"]


async def test_one_task_that_fails_ends_the_others_and_is_heard_as_it_is() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    async def both() -> None:
        async with together() as tasks:
            tasks.create_task(slow())
            tasks.create_task(fail(OSError("no group")))

    with pytest.raises(OSError, match="no group"):
        await both()

    assert ended == ["slow"]


async def test_a_time_out_around_tasks_is_a_time_out() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), together() as tasks:
            tasks.create_task(asyncio.sleep(60))


async def test_a_cancellation_is_not_lost_to_what_a_task_says_as_it_ends() -> None:
    begun = asyncio.Event()

    async def ends_badly() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("not healed")

    async def both() -> None:
        async with together() as tasks:
            tasks.create_task(ends_badly())

    task = asyncio.create_task(both())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_what_goes_to_its_end_gives_its_result_and_lets_a_cancellation_wait() -> None:
    ended: list[str] = []

    async def slow() -> str:
        await asyncio.sleep(0.05)
        ended.append("slow")
        return "done"

    assert await to_its_end(slow()) == "done"
    task = asyncio.create_task(to_its_end(slow()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), ended) == (True, ["slow", "slow"])
