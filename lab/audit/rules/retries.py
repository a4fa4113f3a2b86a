"""LAB40x: how often, how fast and after what a transaction is repeated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from lab.audit.kinds import SESSIONS, Kind, kind_of
from lab.audit.module import Module
from lab.audit.nodes import keyword, says, unpacks
from lab.audit.reading import EVERYTHING, called, calls_in, inside, touches_database
from lab.audit.retrying import Retry, bounded
from lab.audit.rule import Hit, rule

_PERMANENT = frozenset({"IntegrityError", "UniqueViolation", "UniqueViolationError", "ProgrammingError", "DataError"})
_TRANSIENT = EVERYTHING | {"OperationalError", "DBAPIError", "SQLAlchemyError", "InterfaceError", "SerializationError"}
_TRANSIENT |= {"SerializationFailure", "DeadlockDetected", "InternalError", "DatabaseError"}
_DOUBTFUL = frozenset({"OperationalError", "DBAPIError", "InterfaceError", "DatabaseError", "SQLAlchemyError"})
_DOUBTFUL |= {"ConnectionError", "ConnectionResetError", "OSError", "TimeoutError"}
_WAITS = re.compile(r"sleep|wait|pause|backoff|back_off|delay|jitter", re.IGNORECASE)
_RANDOM = re.compile(r"random|jitter|uniform|expovariate|secrets", re.IGNORECASE)
_HANDED = SESSIONS | {Kind.MAKER, Kind.ASYNC_MAKER}
_ARITHMETIC = frozenset({"min", "max", "pow", "float", "int", "round", "range"})
_STEADY = frozenset({"wait_fixed", "wait_exponential", "wait_incrementing", "wait_none"})
_KEYED = re.compile(
    r"idempot|_key\b|\bkey\b|token|dedup|request_id|on_conflict|upsert|merge\(|exists|already|sqlstate|pgcode"
    r"|connection_invalidated|classify|\.orig\b",
    re.IGNORECASE,
)
_FRESH = re.compile(
    r"uuid|token|random|secrets|choice|generate|next_|get\(|scalar|select\(|query\(|first\(|one_or_none"
)


@rule(
    "LAB401",
    "a retry without a bound",
    why="When the database stays away, this never ends: callers hang, and their connections with them.",
    mend="Bound the attempts and the seconds.",
    proof="validate lab.validate.policies.wrong:endless_loop",
    on=Retry,
)
def unbounded(module: Module, retry: Retry) -> Iterator[Hit]:
    """Find retries that nothing but success ends."""
    if not bounded(module, retry):
        yield retry.place, "attempts without an end"


@rule(
    "LAB402",
    "a retry without a wait",
    why="Attempts without a pause meet the same conflict again, and add load to a database that has too much of it.",
    mend="Wait before each further attempt, longer each time, and drawn at random.",
    proof="validate lab.validate.policies.wrong:storm",
    on=Retry,
)
def unpaused(_: Module, retry: Retry) -> Iterator[Hit]:
    """Find retries that never pause."""
    if retry.library == "tenacity" and retry.call is not None:
        wait = _tenacity_wait(retry.call)
        if wait is None and not unpacks(retry.call):
            yield retry.place, "attempts without a wait"
    elif retry.call is None and retry.loop is not None and retry.errors & _TRANSIENT:
        pauses = any(_pauses(call) for call in calls_in([retry.loop])) or _awaits_something(retry)
        if not pauses:
            yield retry.place, "attempts without a wait"


@rule(
    "LAB403",
    "a wait without jitter",
    why="Clients that collided wait equally long, and collide again.",
    mend="Draw the wait at random between nothing and a bound that grows; tenacity: wait_random_exponential().",
    proof="validate lab.validate.policies.wrong:no_jitter",
    on=Retry,
)
def unjittered(module: Module, retry: Retry) -> Iterator[Hit]:
    """Find transactions that are repeated after waits that are the same for everybody."""
    if not _writes(module, retry):
        return  # probes of a database that starts do not collide
    if retry.library == "tenacity" and retry.call is not None:
        wait = _tenacity_wait(retry.call)
        name = (module.resolve(wait.func) or "").rpartition(".")[2] if isinstance(wait, ast.Call) else ""
        if name in _STEADY:
            yield retry.place, f"wait={name}(...)"
    elif retry.library == "backoff" and retry.call is not None:
        if says(keyword(retry.call, "jitter"), None) and keyword(retry.call, "jitter") is not None:
            yield retry.place, "jitter=None"
    elif retry.loop is not None and retry.call is None and not _RANDOM.search(ast.unparse(retry.loop)):
        for call in calls_in([retry.loop]):
            slept = call.args[0] if call.args else None
            if module.resolve(call.func) in {"time.sleep", "asyncio.sleep"} and _is_steady(module, slept):
                yield call, f"{ast.unparse(call)}"
                return


@rule(
    "LAB404",
    "an IntegrityError that is retried",
    why="A violated constraint is violated again: five attempts fail five times.",
    mend="Do not retry it; if the key is an idempotency key, it means that the work is done.",
    proof="run claims/integrity-retry",
    on=Retry,
)
def permanent(_: Module, retry: Retry) -> Iterator[Hit]:
    """Find retries of constraint violations and of wrong statements, unless each attempt tries something else."""
    names = sorted(retry.errors & _PERMANENT)
    if not names:
        return
    if retry.call is None:
        going = [one for one in retry.handlers if names[0] in ast.unparse(one.type or ast.Constant(None))]
        waits = any(_pauses(call) for one in going for call in calls_in(one.body))
        if retry.classified or not waits or _FRESH.search(_tried(retry)):
            return
    elif retry.classified or _FRESH.search(_tried(retry)):
        return
    yield retry.place, f"{', '.join(names)} retried"


@rule(
    "LAB405",
    "a retry that catches everything",
    why="Syntax errors, violated constraints and bugs are repeated until nobody can tell them from a lost connection.",
    mend="Retry by SQLSTATE: 40001 and 40P01 always, a lost connection only before COMMIT or with an idempotency key.",
    proof="validate lab.validate.policies.wrong:retries_permanent_errors",
    on=Retry,
)
def blind(module: Module, retry: Retry) -> Iterator[Hit]:
    """Find retries of whatever went wrong, with no look at it."""
    if retry.classified or not retry.errors & EVERYTHING or not _writes(module, retry):
        return
    if retry.library == "tenacity" and retry.call is not None and not retry.call.keywords and not retry.call.args:
        return  # a bare @retry is told about twice already
    name = next((one for one in ("BaseException", "Exception") if one in retry.errors), "Exception")
    yield (retry.handlers[0] if retry.handlers else retry.place), f"{name} is retried"


@rule(
    "LAB406",
    "a doubtful COMMIT that is repeated",
    why="A connection that is lost at COMMIT may have committed: repeating the transaction applies it twice.",
    mend="Write an idempotency key in the same transaction, or retry only what certainly was not done (40001, 40P01).",
    proof="validate lab.validate.policies.wrong:blind_retry",
    on=Retry,
)
def doubtful(module: Module, retry: Retry) -> Iterator[Hit]:
    """Find whole transactions that add something and are repeated after lost connections, with nothing like a key."""
    if retry.classified or not retry.errors & _DOUBTFUL or retry.errors & EVERYTHING:
        return
    function = module.function_of(retry.place)
    written = ast.unparse(function if function is not None else retry.place)
    if retry.call is not None:
        written = " ".join([ast.unparse(retry.place), *(ast.unparse(one) for one in retry.body)])
    if not _KEYED.search(written) and _adds(module, retry) and _commits(retry):
        yield retry.place, f"repeated after {', '.join(sorted(retry.errors & _DOUBTFUL))}, without an idempotency key"


RULES = (unbounded, unpaused, unjittered, permanent, blind, doubtful)


def _tenacity_wait(call: ast.Call) -> ast.expr | None:
    return keyword(call, "wait") or (call.args[2] if len(call.args) > 2 else None)


def _pauses(call: ast.Call) -> bool:
    name = called(call)
    nothing = bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0
    return bool(_WAITS.search(name)) and not nothing


def _awaits_something(retry: Retry) -> bool:
    """Tell whether something outside the attempt is awaited or called with the error: it may well pause."""
    trial = {id(one) for statement in retry.body for one in ast.walk(statement)}
    loop = [retry.loop] if retry.loop is not None else []
    return any(isinstance(one, ast.Await) and id(one) not in trial and not _is_rollback(one) for one in inside(loop))


def _is_rollback(node: ast.Await) -> bool:
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in {"rollback", "close", "sleep", "invalidate"}


def _is_steady(module: Module, node: ast.AST | None, depth: int = 0) -> bool:
    """Tell whether a number is made of constants, counters and arithmetic alone."""
    if depth > 4 or node is None:
        return False
    match node:
        case ast.Constant():
            return node.value != 0
        case ast.BinOp():
            return _is_steady(module, node.left, depth + 1) and _is_steady(module, node.right, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return name in _ARITHMETIC and all(_is_steady(module, one, depth + 1) for one in arguments)
        case ast.Name():
            found = module.lookup(node.id, node)
            if found and all(one.how == "other" for one in found):
                return True  # what the loop counts
            return bool(found) and all(one.how == "value" and _is_steady(module, one.node, depth + 1) for one in found)
    return False


def _tried(retry: Retry) -> str:
    """Return the source of what an attempt does, and of what the loop does before and after it."""
    around = [] if retry.loop is None else [one for one in retry.loop.body if not isinstance(one, ast.Try)]
    return "\n".join(ast.unparse(one) for one in (*around, *retry.body))


def _adds(module: Module, retry: Retry) -> bool:
    """Tell whether an attempt writes something that would be there twice, or counted twice."""
    for node in inside(retry.body):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
            return True
        if isinstance(node, ast.Call):
            name = called(node)
            if name in {"add", "add_all"} and touches_database(module, [node]):
                return True
            if name == "insert" and module.sqlalchemy(node.func):
                return True
    return False


def _writes(module: Module, retry: Retry) -> bool:
    """Tell whether an attempt visibly changes something, or hands its session to what may."""
    changes = {"commit", "begin", "flush", "add", "add_all", "insert", "update", "delete", "merge"}
    for call in calls_in(retry.body):
        if called(call) in changes or any(kind_of(module, one) in _HANDED for one in call.args):
            return True
    return False


def _commits(retry: Retry) -> bool:
    names = {call.func.attr for call in calls_in(retry.body) if isinstance(call.func, ast.Attribute)}
    return bool({"commit", "begin"} & names)
