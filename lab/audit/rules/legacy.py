"""LAB1xx: forms of SQLAlchemy 1.x that 2.0 has removed, ignores, or keeps only for old code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lab.audit.kinds import CONNECTIONS, SESSIONS, Kind, kind_of
from lab.audit.module import Module
from lab.audit.nodes import keyword, says, text
from lab.audit.reading import called
from lab.audit.rule import Hit, rule

_STYLE = "run claims/legacy-query"
_NAMES = ("session", "db_session", "dbsession", "_session")
_JOINS = ("join", "outerjoin")
_LOADERS = ("joinedload", "selectinload", "subqueryload", "lazyload", "contains_eager", "raiseload", "defer", "undefer")


@rule(
    "LAB101",
    "legacy Query",
    why="session.query() has no asynchronous form and gets nothing new; select() is one style for all.",
    mend="Write session.scalars(select(Model).where(...)).",
    proof=_STYLE,
    on=ast.Call,
    calls=("query",),
)
def session_query(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``session.query(...)``."""
    if _is_query(module, call) and not _then_get(module, call):
        yield call, f"{ast.unparse(call.func)}()"


@rule(
    "LAB102",
    "legacy Query.get()",
    why="Query.get() is legacy and has no asynchronous form.",
    mend="Write session.get(Model, key).",
    proof=_STYLE,
    on=ast.Call,
    calls=("query",),
)
def query_get(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``session.query(Model).get(key)``."""
    if _is_query(module, call) and _then_get(module, call):
        yield call, f"{ast.unparse(call.func)}(...).get()"


@rule(
    "LAB103",
    "declarative_base()",
    why="declarative_base() makes a class that type checkers do not understand.",
    mend="Write class Base(DeclarativeBase): ...",
    proof="run claims/typed-models",
    on=ast.Call,
    calls=("declarative_base",),
)
def legacy_base(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``declarative_base()``."""
    if module.sqlalchemy(call.func) == "declarative_base":
        yield call, "declarative_base()"


@rule(
    "LAB104",
    "Column() in a mapped class",
    why="A column declared by Column() has no type that a checker can see, and says nothing of None.",
    mend="Write name: Mapped[type] = mapped_column(...).",
    proof="run claims/typed-models",
    on=ast.ClassDef,
)
def untyped_column(module: Module, node: ast.ClassDef) -> Iterator[Hit]:
    """Find a mapped class whose columns are made by ``Column()``, at its first one."""
    assigned = [one for one in node.body if isinstance(one, (ast.Assign, ast.AnnAssign))]
    targets = {t.id for one in assigned for t in _targets(one) if isinstance(t, ast.Name)}
    if "__tablename__" not in targets:
        return
    columns = [
        one for one in assigned if isinstance(one.value, ast.Call) and module.sqlalchemy(one.value.func) == "Column"
    ]
    if columns:
        yield columns[0], f"{len(columns)} of {node.name}'s columns"


@rule(
    "LAB105",
    "an engine that executes",
    why="Engine.execute() is gone from SQLAlchemy 2.0: this raises AttributeError.",
    mend="Write with engine.begin() as connection: connection.execute(...).",
    proof=_STYLE,
    on=ast.Call,
    calls=("execute", "scalar"),
)
def engine_executes(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``engine.execute(...)``."""
    if isinstance(call.func, ast.Attribute) and kind_of(module, call.func.value) in {Kind.ENGINE, Kind.ASYNC_ENGINE}:
        yield call, f"{ast.unparse(call.func)}()"


@rule(
    "LAB106",
    "autocommit=True",
    why="The autocommit of SQLAlchemy 1.x is gone: 2.0 raises an error, or ignores it and rolls the work back.",
    mend='Begin and commit explicitly, or set isolation_level="AUTOCOMMIT" on an engine made for that.',
    proof=_STYLE,
    on=ast.Call,
    calls=(
        "Session",
        "sessionmaker",
        "AsyncSession",
        "async_sessionmaker",
        "scoped_session",
        "execution_options",
        "text",
    ),
)
def library_autocommit(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``Session(autocommit=True)`` and ``execution_options(autocommit=True)``."""
    if says(keyword(call, "autocommit"), True) and (module.sqlalchemy(call.func) or _of_known(module, call)):
        yield call, "autocommit=True"


@rule(
    "LAB107",
    "future=True",
    why="future=True chose the style of 2.0 in SQLAlchemy 1.4; since 2.0 it does nothing, but misleads readers.",
    mend="Leave it out.",
    proof="run claims/future-mode",
    on=ast.Call,
    calls=("create_engine", "create_async_engine", "Session", "sessionmaker", "AsyncSession", "async_sessionmaker"),
)
def future_mode(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``create_engine(..., future=True)`` and the same of sessions."""
    if says(keyword(call, "future"), True) and module.sqlalchemy(call.func):
        yield call, "future=True"


@rule(
    "LAB108",
    "select([...])",
    why="SQLAlchemy 2.0 takes columns one by one: a list raises ArgumentError.",
    mend="Write select(a, b), and case((condition, value), else_=...).",
    proof=_STYLE,
    on=ast.Call,
    calls=("select", "case"),
)
def list_of_columns(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``select([...])`` and ``case([...])``."""
    name = module.sqlalchemy(call.func)
    if name in {"select", "case"} and call.args and isinstance(call.args[0], (ast.List, ast.ListComp)):
        yield call, f"{name}([...])"


@rule(
    "LAB109",
    'lazy="dynamic"',
    why="A dynamic relationship is a legacy Query: it has no asynchronous form and loads at the first touch.",
    mend="Write WriteOnlyMapped[...] = relationship(), and select from it explicitly.",
    proof=_STYLE,
    on=ast.Call,
    calls=("relationship", "backref", "relation"),
)
def dynamic_relationship(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``relationship(lazy="dynamic")``."""
    if text(keyword(call, "lazy")) == "dynamic" and module.sqlalchemy(call.func):
        yield call, 'lazy="dynamic"'


@rule(
    "LAB110",
    "relationships named by strings",
    why="SQLAlchemy 2.0 takes no strings in join() and loader options: this raises ArgumentError.",
    mend="Name the attribute: join(User.addresses), selectinload(User.addresses).",
    proof=_STYLE,
    on=ast.Call,
    calls=(*_JOINS, *_LOADERS),
)
def string_names(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``.join("addresses")`` of a statement or a query, and ``joinedload("addresses")``."""
    if not call.args or text(call.args[0]) in {None, "*"}:
        return
    if module.sqlalchemy(call.func) in _LOADERS:
        yield call, ast.unparse(call)
        return
    receiver = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr in _JOINS else None
    if kind_of(module, receiver) in {Kind.QUERY, Kind.STATEMENT}:
        yield call, f"{called(call)}({ast.unparse(call.args[0])})"


@rule(
    "LAB111",
    "SQL in a bare string",
    why="SQLAlchemy 2.0 executes no bare strings: this raises ObjectNotExecutableError or ArgumentError.",
    mend='Write text("...") around it, with :parameters.',
    proof=_STYLE,
    on=ast.Call,
    calls=("execute", "scalar", "scalars", "stream"),
)
def bare_string(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``session.execute("SELECT ...")``."""
    if not isinstance(call.func, ast.Attribute) or not call.args:
        return
    string = isinstance(call.args[0], ast.JoinedStr) or text(call.args[0]) is not None
    if string and kind_of(module, call.func.value) in SESSIONS | CONNECTIONS:
        yield call, f"{ast.unparse(call.func)}() of a string"


@rule(
    "LAB112",
    "bound metadata",
    why="MetaData(bind=...) is gone from SQLAlchemy 2.0: this raises TypeError.",
    mend="Hand the engine or the connection to the call that needs it: metadata.create_all(engine).",
    proof=_STYLE,
    on=ast.Call,
    calls=("MetaData",),
)
def bound_metadata(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``MetaData(bind=engine)``."""
    if keyword(call, "bind") is not None and module.sqlalchemy(call.func) == "MetaData":
        yield call, "MetaData(bind=...)"


@rule(
    "LAB113",
    "subtransactions",
    why="Session.begin(subtransactions=True) is gone from SQLAlchemy 2.0: this raises TypeError.",
    mend="Begin once, at the outside; a savepoint is begin_nested().",
    proof=_STYLE,
    on=ast.Call,
    calls=("begin",),
)
def subtransactions(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find ``session.begin(subtransactions=True)``."""
    if says(keyword(call, "subtransactions"), True) and _of_known(module, call):
        yield call, "begin(subtransactions=True)"


RULES = (
    session_query,
    query_get,
    legacy_base,
    untyped_column,
    engine_executes,
    library_autocommit,
    future_mode,
    list_of_columns,
    dynamic_relationship,
    string_names,
    bare_string,
    bound_metadata,
    subtransactions,
)


def _is_query(module: Module, call: ast.Call) -> bool:
    """Tell whether a call is ``query()`` of a session: one that is known, or by its name where SQLAlchemy is used."""
    if not isinstance(call.func, ast.Attribute):
        return False
    receiver = call.func.value
    kind = kind_of(module, receiver)
    if kind is not None:
        return kind is Kind.SESSION
    last = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", "")
    return (
        last.lower() in _NAMES
        and module.imports("sqlalchemy", "flask_sqlalchemy", "sqlmodel")
        and not _is_something_else(module, receiver)
    )


def _is_something_else(module: Module, receiver: ast.AST) -> bool:
    """Tell whether a name is bound to what is visibly no session of SQLAlchemy."""
    if not isinstance(receiver, ast.Name):
        return False
    for binding in module.lookup(receiver.id, receiver):
        if binding.how in {"definition", "import"}:
            return True
        shown = binding.node.func if isinstance(binding.node, ast.Call) else binding.node
        root = (module.resolve(shown) or "sqlalchemy").partition(".")[0]
        if root not in {"sqlalchemy", "flask_sqlalchemy", "sqlmodel"}:
            return True
    return False


def _then_get(module: Module, call: ast.Call) -> bool:
    around = module.parents.get(call)
    return (
        isinstance(around, ast.Attribute) and around.attr == "get" and isinstance(module.parents.get(around), ast.Call)
    )


def _of_known(module: Module, call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and kind_of(module, call.func.value) is not None


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]
