import asyncio
import contextlib
import os

from sqlalchemy.ext.asyncio import AsyncSession


async def stop(task):
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


async def cleans_up(work, close):
    try:
        await work()
    except BaseException:
        await close()
        raise


async def worker(queue, log):
    while True:
        try:
            await queue.get()
        except asyncio.CancelledError:
            log.info("stopping")
            break
        except Exception:
            log.exception("again")


async def main(serve):
    try:
        await serve()
    except asyncio.CancelledError:
        print("bye")


async def hands_on(work, future):
    try:
        future.set_result(await work())
    except BaseException as error:
        future.set_exception(error)


async def returns_error(work):
    try:
        await work()
    except BaseException as error:
        return error


async def exits(work):
    try:
        await work()
    except BaseException:
        os._exit(1)


async def reraised(work):
    while True:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException:
            raise RuntimeError


def synchronous(work):
    try:
        work()
    except BaseException:
        pass


async def told(session: AsyncSession, order, log):
    try:
        session.add(order)
        await session.commit()
    except Exception:
        await session.rollback()
        raise


async def answered(session: AsyncSession, order, log):
    try:
        session.add(order)
        await session.commit()
    except Exception:
        await session.rollback()
        return False
    return True


async def logged(session: AsyncSession, order, log):
    try:
        await session.commit()
    except Exception:
        log.exception("lost")
        await session.rollback()


async def suppressed(work):
    with contextlib.suppress(asyncio.CancelledError):
        await work()
