"""LAB21x: sessions that are shared, forgotten, or asked for what they ignore."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from lab.audit.kinds import CONNECTIONS, SESSIONS, Kind, kind_of
from lab.audit.module import Module
from lab.audit.nodes import COMPREHENSIONS, LOOPS, keyword, text
from lab.audit.reading import calls_in, inside
from lab.audit.rule import Hit, rule

_SHARED = "run claims/shared-async-session"
_WHY = "An AsyncSession is one conversation: a task's rollback takes with it what another one has written."
_MEND = "Open a session inside each task: async with sessions() as session."
_HIDES_STATE = ("lock", "sem", "limit", "mutex")
_EXECUTES = ("execute", "scalar", "scalars", "stream", "stream_scalars", "get", "get_one")


@rule(
    "LAB211",
    "one AsyncSession in gathered tasks",
    why=_WHY,
    mend=_MEND,
    proof=_SHARED,
    on=ast.Call,
    calls=("gather",),
)
def gathered(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``gather(f(session), g(session))`` and ``gather(*(f(session) for ...))``."""
    if module.resolve(call.func) != "asyncio.gather":
        return
    alone = [name for one in call.args for name in _used(module, one)]
    for name in sorted({name for name in alone if alone.count(name) > 1} | set(_repeated(module, call))):
        yield call, f"'{name}' in the tasks of one gather()"


@rule(
    "LAB212",
    "one AsyncSession in several tasks",
    why=_WHY,
    mend=_MEND,
    proof=_SHARED,
    on=ast.Call,
    calls=("create_task", "ensure_future"),
)
def shared_by_tasks(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find tasks begun in a loop, or one after the other, with a session from outside."""
    if not call.args or module.awaited(call) or not _begins_task(module, call):
        return
    for name in sorted(set(_used(module, call.args[0]))):
        if _in_loop(module, call, name) or _after_another(module, call, name):
            yield call, f"'{name}' in more than one task"


@rule(
    "LAB213",
    "isolation_level on execute()",
    why="execute() ignores isolation_level without a word: the transaction keeps the level that it has.",
    mend="Set it on create_engine(isolation_level=...), or first of all on session.connection(execution_options=...).",
    proof="run claims/isolation-on-execute",
    on=ast.Call,
    calls=_EXECUTES,
)
def ignored_isolation(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``session.execute(..., execution_options={"isolation_level": ...})``."""
    options = keyword(call, "execution_options")
    if options is None or not isinstance(call.func, ast.Attribute):
        return
    if kind_of(module, call.func.value) in SESSIONS | CONNECTIONS and _names_isolation(module, options):
        yield call, f"isolation_level in the execution_options of {ast.unparse(call.func)}()"


@rule(
    "LAB214",
    "an AsyncSession that nobody closes",
    why="A session that is not closed keeps its connection: when the pool is empty, everybody waits and times out.",
    mend="Write async with sessions() as session.",
    proof="run claims/asyncsession-closing",
    on=ast.Assign,
)
def unclosed(module: Module, node: ast.Assign) -> Iterator[Hit]:
    """Find ``session = sessions()`` in a coroutine that uses it, keeps it to itself and never closes it."""
    function = module.function_of(node)
    match node.targets:
        case [ast.Name(id=name)] if isinstance(function, ast.AsyncFunctionDef):
            if not isinstance(node.value, ast.Call) or kind_of(module, node.value) is not Kind.ASYNC_SESSION:
                return
            if _made_by_hand(module, node.value) and _only_called(module, function, node, name):
                yield node, f"'{name}' is never closed"


RULES = (gathered, shared_by_tasks, ignored_isolation, unclosed)


def _is_shared(module: Module, node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and kind_of(module, node) is Kind.ASYNC_SESSION


def _used(module: Module, work: ast.AST) -> Iterator[str]:
    """Yield the names of the AsyncSessions that the coroutine *work* is called on, or is handed."""
    if not isinstance(work, ast.Call):
        return
    arguments = [*work.args, *(one.value for one in work.keywords)]
    if any(word in ast.unparse(one).lower() for one in arguments for word in _HIDES_STATE):
        return
    receiver = [work.func.value] if isinstance(work.func, ast.Attribute) else []
    yield from {one.id for one in (*receiver, *arguments) if isinstance(one, ast.Name) and _is_shared(module, one)}


def _repeated(module: Module, call: ast.Call) -> Iterator[str]:
    """Yield the sessions that each round of a comprehension among the arguments hands on."""
    for argument in call.args:
        if not isinstance(argument, ast.Starred):
            continue
        value: ast.AST | None = argument.value
        if isinstance(value, ast.Name):
            bindings = module.lookup(value.id, value)
            value = bindings[0].node if len(bindings) == 1 and bindings[0].how == "value" else None
        if isinstance(value, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            bound = {one.id for g in value.generators for one in ast.walk(g.target) if isinstance(one, ast.Name)}
            yield from (name for name in _used(module, value.elt) if name not in bound)


def _begins_task(module: Module, call: ast.Call) -> bool:
    name = module.resolve(call.func) or ""
    if name in {"asyncio.create_task", "asyncio.ensure_future"}:
        return True
    group = call.func.value if isinstance(call.func, ast.Attribute) else None
    if not isinstance(group, ast.Name):
        return False
    bindings = module.lookup(group.id, group)
    return any(
        isinstance(one.node, ast.Call) and module.resolve(one.node.func) == "asyncio.TaskGroup" for one in bindings
    )


def _in_loop(module: Module, call: ast.Call, name: str) -> bool:
    """Tell whether a loop or comprehension repeats *call*, takes no rest, and does not make the session itself."""
    for around, _ in module.above(call):
        if isinstance(around, COMPREHENSIONS):
            return not any(isinstance(one, ast.Await) for one in ast.walk(around))
        if isinstance(around, LOOPS):
            return not _rests(around.body) and not _makes(around, name)
        if isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return False
    return False


def _rests(body: Iterable[ast.AST]) -> bool:
    waits = (ast.Await, ast.AsyncWith, ast.AsyncFor, ast.Return, ast.Break)
    return any(isinstance(one, waits) for one in inside(body))


def _makes(loop: ast.AST, name: str) -> bool:
    return any(
        isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Store) for one in ast.walk(loop)
    )


def _after_another(module: Module, call: ast.Call, name: str) -> bool:
    """Tell whether the statements just before begin a task with the same session, and nothing awaits in between."""
    statement = module.statement_of(call)
    body = getattr(module.parents.get(statement), "body", [])
    if not isinstance(body, list) or statement not in body:
        return False
    for before in reversed(body[: body.index(statement)]):
        for one in calls_in([before]):
            if (
                one.args
                and _begins_task(module, one)
                and not module.awaited(one)
                and name in _used(module, one.args[0])
            ):
                return True
        if _rests([before]):
            return False
    return False


def _names_isolation(module: Module, options: ast.expr) -> bool:
    if isinstance(options, ast.Name):
        bindings = module.lookup(options.id, options)
        shown = bindings[0].node if len(bindings) == 1 and bindings[0].how == "value" else None
    else:
        shown = options
    if isinstance(shown, ast.Dict):
        return any(text(key) == "isolation_level" for key in shown.keys)
    return isinstance(shown, ast.Call) and keyword(shown, "isolation_level") is not None


def _made_by_hand(module: Module, call: ast.Call) -> bool:
    """Tell whether the session comes from its class or a factory; a scoped one is closed elsewhere."""
    return module.sqlalchemy(call.func) == "AsyncSession" or kind_of(module, call.func) is Kind.ASYNC_MAKER


def _only_called(module: Module, function: ast.AST, made: ast.Assign, name: str) -> bool:
    """Tell whether all that happens to the session *name* is that its methods are called, and none of them ends it."""
    uses = [
        one for one in ast.walk(function) if isinstance(one, ast.Name) and one.id == name and one not in made.targets
    ]
    methods = [module.parents.get(one) for one in uses]
    ends = {"close", "aclose", "remove", "__aexit__", "begin"}
    called = [
        one.attr for one in methods if isinstance(one, ast.Attribute) and isinstance(module.parents.get(one), ast.Call)
    ]
    return bool(uses) and len(called) == len(uses) and ends.isdisjoint(called)
