"""LAB42x: errors and cancellations that are caught and go nowhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lab.audit.kinds import SESSIONS, kind_of
from lab.audit.module import Module
from lab.audit.nodes import LOOPS
from lab.audit.reading import EVERYTHING, called, calls_in, caught, inside, leaves, uses_error
from lab.audit.retrying import endless
from lab.audit.rule import Hit, rule


@rule(
    "LAB421",
    "a cancellation that is swallowed",
    why="CancelledError is how time-outs and shutdowns end a task: who catches it and goes on is never ended.",
    mend="Catch Exception, not BaseException; after cleaning up, raise.",
    proof="validate lab.validate.policies.wrong:swallows_cancellation",
    on=ast.Try,
)
def swallowed_cancellation(module: Module, tried: ast.Try) -> Iterator[Hit]:
    """Find CancelledError caught in a loop that goes on, and BaseException that nobody hears of, around an await."""
    function = module.function_of(tried)
    if not isinstance(function, ast.AsyncFunctionDef) or not _awaits(tried) or _cancels(function):
        return
    for handler in tried.handlers:
        names = set(caught(module, handler))
        if "BaseException" in names and _keeps(handler):
            yield handler, "BaseException is caught and goes no further"
        elif "CancelledError" in names and _keeps(handler) and _repeats(module, handler):
            yield handler, "CancelledError is caught, and the loop goes on"
        if names & {"BaseException", "CancelledError"}:
            return  # later ones hear of no cancellation


@rule(
    "LAB422",
    "a failed COMMIT that nobody hears of",
    why="The caller takes the work for done, and it is lost.",
    mend="Raise after the rollback.",
    proof="validate lab.validate.policies.wrong:swallow",
    on=ast.Try,
)
def swallowed_commit(module: Module, tried: ast.Try) -> Iterator[Hit]:
    """Find ``commit()`` in a try whose handler of every error does nothing, or a rollback and nothing else."""
    commits = [
        call
        for call in calls_in(tried.body)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "commit"
        and kind_of(module, call.func.value) in SESSIONS
    ]
    if not commits or tried.orelse:
        return
    for handler in tried.handlers:
        nobody = EVERYTHING & set(caught(module, handler)) and all(_says_nothing(one) for one in handler.body)
        if nobody and not any(isinstance(around, LOOPS) for around, _ in module.above(tried)):
            yield handler, f"errors of {ast.unparse(commits[0].func)}() end here"


RULES = (swallowed_cancellation, swallowed_commit)


def _awaits(tried: ast.Try) -> bool:
    return any(isinstance(one, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for one in inside(tried.body))


def _cancels(function: ast.AsyncFunctionDef) -> bool:
    """Tell whether the function cancels something itself: it is that cancellation which comes back."""
    names = {call.func.attr for call in calls_in(function.body) if isinstance(call.func, ast.Attribute)}
    return not names.isdisjoint({"cancel", "uncancel", "cancelling", "cancelled"})


def _keeps(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler certainly hands its error to nobody: no raise, no way out, no use but to tell it."""
    for node in inside(handler.body):
        if isinstance(node, (ast.Raise, ast.Break, ast.Yield)):
            return False
        if isinstance(node, ast.Return) and node.value is not None:
            return False
        if isinstance(node, ast.Call) and called(node) in {
            "exit",
            "_exit",
            "abort",
            "exc_info",
            "format_exc",
            "set_exception",
        }:
            return False
    return not uses_error(handler)


def _repeats(module: Module, handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler certainly goes round a loop again that nothing it does can end."""
    if leaves(handler.body) or any(
        isinstance(one, (ast.Return, ast.Assign, ast.AugAssign)) for one in inside(handler.body)
    ):
        return False
    for around, _ in module.above(handler):
        if isinstance(around, LOOPS):
            waits_for_task = isinstance(around, ast.While) and ".done()" in ast.unparse(around.test)
            return waits_for_task or endless(module, around)
        if isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return False
    return False


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    value = statement.value if isinstance(statement, ast.Expr) else None
    value = value.value if isinstance(value, ast.Await) else value
    if isinstance(value, ast.Constant):
        return True
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "rollback"
