"""LAB20x: what stops the event loop, and with it everybody else in the process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lab.audit.kinds import Kind, kind_of
from lab.audit.module import Module
from lab.audit.rule import Hit, rule

_PROOF = "run claims/sync-session-in-async"
_SESSION = frozenset(
    {"execute", "scalar", "scalars", "get", "get_one", "query", "commit", "rollback", "flush", "refresh"}
)
_SESSION |= {"merge", "connection", "bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"}
_TALKS = {
    Kind.SESSION: _SESSION,
    Kind.CONNECTION: frozenset({"execute", "scalar", "scalars", "commit", "rollback", "exec_driver_sql"}),
    Kind.ENGINE: frozenset({"connect", "begin", "raw_connection"}),
}
"""Methods that wait for the database."""


@rule(
    "LAB201",
    "synchronous database work in async def",
    why="A synchronous Session blocks the event loop until the database answers: every other task stands still.",
    mend="Use AsyncSession, or hand the whole synchronous function to asyncio.to_thread().",
    proof=_PROOF,
    on=ast.AsyncFunctionDef,
)
def sync_session(module: Module, function: ast.AsyncFunctionDef) -> Iterator[Hit]:
    """Find the first blocking use of each synchronous session, connection or engine in a coroutine."""
    seen = set()
    for call in module.calls_of.get(function, ()):
        if not isinstance(call.func, ast.Attribute) or module.awaited(call):
            continue
        kind = kind_of(module, call.func.value)
        if kind not in _TALKS or call.func.attr not in _TALKS[kind]:
            continue
        receiver = ast.unparse(call.func.value)
        if receiver not in seen:
            seen.add(receiver)
            yield call, f"{receiver}.{call.func.attr}() of a synchronous {kind.value} in async def {function.name}"


@rule(
    "LAB202",
    "time.sleep() in async def",
    why="time.sleep() blocks the event loop: nothing else in the process goes on meanwhile, time-outs included.",
    mend="Write await asyncio.sleep(...).",
    proof=_PROOF,
    on=ast.Call,
    calls=("sleep",),
)
def blocking_sleep(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``time.sleep(...)`` in a coroutine."""
    function = module.function_of(call)
    if isinstance(function, ast.AsyncFunctionDef) and module.resolve(call.func) == "time.sleep":
        yield call, f"time.sleep() in async def {function.name}"


RULES = (sync_session, blocking_sleep)
