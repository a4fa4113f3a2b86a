import asyncio

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session


async def worker(queue, log):
    while True:
        try:
            await queue.get()
        except asyncio.CancelledError:  # expect: LAB421
            log.info("not now")


async def everything(work, log):
    try:
        await work()
    except BaseException:  # expect: LAB421
        log.exception("failed")


async def bare(session: AsyncSession, work):
    try:
        await work(session)
        await session.commit()
    except:  # expect: LAB421, LAB422
        await session.rollback()


async def insists(work):
    running = asyncio.ensure_future(work())
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:  # expect: LAB421
            continue


async def lost(session: AsyncSession, order):
    try:
        session.add(order)
        await session.commit()
    except Exception:  # expect: LAB422
        await session.rollback()


def ignored(session: Session, order):
    session.add(order)
    try:
        session.commit()
    except Exception:  # expect: LAB422
        pass
