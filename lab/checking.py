"""Judging a recorded history by a model: anybody's, in any format that `lab.formats` reads, with no database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.checks import (
    bank,
    counter,
    linearizable,
    long_fork,
    monotonic,
    sequential,
    serializable,
    set_full,
    set_kept,
)
from lab.checks.cycles import Level, Lists
from lab.checks.resolution import settled
from lab.errors import UsageError, unknown_name
from lab.formats import Format, read_history, read_operations
from lab.formats.detect import detect
from lab.history import History, Json, Operation
from lab.verdict import Check, Finding


@dataclass(frozen=True, slots=True)
class Options:
    """How strict a model is. *realtime* looks for anomalies of real time, and tells them where *level* allows them."""

    level: Level | None = None
    realtime: bool = False
    total: int | None = None
    negative: bool = False
    group: int | None = None
    initial: Json = None


@dataclass(frozen=True, slots=True)
class Model:
    """What a history can be judged by: the *kinds* of its operations, and the check that *options* make of it."""

    name: str
    says: str
    kinds: frozenset[str]
    check: Callable[[Options, History], Check]
    takes: frozenset[str] = frozenset()


def _lists(workload: Lists) -> Callable[[Options, History], Check]:
    def check(options: Options, _: History) -> Check:
        return serializable(workload, level=_level(options), realtime=options.realtime)

    return check


def _level(options: Options) -> Level:
    return options.level or "serializable"


def _register(options: Options, history: History) -> Check:
    return linearizable(keyed=is_keyed(history.operations), initial=options.initial)


def is_keyed(operations: Iterable[Operation]) -> bool:
    """Tell whether there are many registers: whether what is written are pairs of a key and a value."""
    written = [operation.value for operation in operations if operation.kind == "write"]
    swapped = [operation.value for operation in operations if operation.kind == "cas"]
    return any(isinstance(value, list) for value in written) or any(
        isinstance(value, list) and len(value) == 2 and isinstance(value[1], list) for value in swapped
    )


TRANSACTIONS = frozenset({"txn", ""})

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "list-append",
            "transactions that append to lists and read them whole",
            TRANSACTIONS,
            _lists("list-append"),
            frozenset({"level", "realtime"}),
        ),
        Model(
            "rw-register",
            "transactions that write and read registers",
            TRANSACTIONS,
            _lists("rw-register"),
            frozenset({"level", "realtime"}),
        ),
        Model(
            "register",
            "linearizable registers: read, write, cas",
            frozenset({"read", "write", "cas"}),
            _register,
            frozenset({"initial"}),
        ),
        Model(
            "bank",
            "transfers that leave the total as it is, and reads of all accounts",
            frozenset({"read", "transfer"}),
            lambda options, _: bank(total=options.total, negative=options.negative),
            frozenset({"total", "negative"}),
        ),
        Model("set", "elements added, and a last read of all", frozenset({"add", "read"}), lambda _o, _h: set_kept()),
        Model(
            "set-full",
            "elements added, and reads of all the while",
            frozenset({"add", "read"}),
            lambda options, _: set_full(linearizable=options.realtime),
            frozenset({"realtime"}),
        ),
        Model(
            "long-fork",
            "reads of several keys that are written once each",
            frozenset({"read", "write", "txn"}),
            lambda options, _: long_fork(group=options.group),
            frozenset({"group"}),
        ),
        Model("counter", "a counter added to and read", frozenset({"add", "read"}), lambda _o, _h: counter()),
        Model(
            "monotonic",
            "rows added with the next number and a timestamp",
            frozenset({"add", "read"}),
            lambda _o, _h: monotonic(),
        ),
        Model(
            "sequential",
            "keys written in order, and read in the other",
            frozenset({"read", "write"}),
            lambda _o, _h: sequential(),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was judged: what the model finds, in how many operations, and in how many seconds."""

    path: Path
    model: Model
    finding: Finding
    operations: int
    seconds: float


def check_file(path: Path, model: str, options: Options | None = None) -> Checked:
    """Judge a history by the model of this name.

    Transactions of other people's formats are judged as they are read, in memory for their columns only. Raises
    MalformedFile, naming the line, for a file that cannot be read, and UsageError for an unknown model, an option that
    it does not take, or a history of other operations.
    """
    chosen, options = choose_model(model), options or Options()
    _refuse_others(chosen, options)
    begun = time.perf_counter()
    if chosen.kinds is TRANSACTIONS and detect(path) is not Format.JOURNAL:
        finding, count = _streamed(path, chosen, options)
    else:
        history = read_history(path)
        _refuse_other_kinds(path, chosen, history.operations)
        check = chosen.check(options, history)
        finding = (settled(check) if history.final is not None else check)(history)
        count = len(history.operations)
    return Checked(path, chosen, finding, count, time.perf_counter() - begun)


def choose_model(name: str) -> Model:
    """Return the model of a name; raise UsageError with the nearest names for an unknown one."""
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]


def _refuse_others(model: Model, options: Options) -> None:
    given = {name for name in Options.__dataclass_fields__ if getattr(options, name) not in (None, False)}
    if given - model.takes:
        names = ", ".join(sorted(given - model.takes))
        takes = ", ".join(sorted(model.takes)) or "none"
        raise UsageError(f"the model {model.name} does not take {names}; it takes: {takes}")


def _refuse_other_kinds(path: Path, model: Model, operations: Iterable[Operation]) -> None:
    kinds = {operation.kind for operation in operations}
    if kinds and not kinds & model.kinds:
        wanted = ", ".join(sorted(model.kinds - {""}))
        raise UsageError(
            f"{path}: no operation of {wanted}, but {', '.join(sorted(kinds))}: it is no {model.name} history"
        )


def _streamed(path: Path, model: Model, options: Options) -> tuple[Finding, int]:
    from lab.checks.cycles.columns import NoTransactions, collect
    from lab.checks.cycles.judge import judge_transactions

    workload: Lists = "rw-register" if model.name == "rw-register" else "list-append"
    try:
        transactions = collect(read_operations(path), registers=workload == "rw-register")
    except NoTransactions as error:
        raise UsageError(f"{path}: {error}: it is no {model.name} history") from error
    level = _level(options)
    judgement = judge_transactions(transactions, workload, level=level, realtime=options.realtime)
    return judgement.named(level), len(transactions)


def operations_of(path: Path, indexes: Iterable[int]) -> list[Operation]:
    """Return the operations of these indexes, read from the file once more: those that a witness is about."""
    wanted = set(indexes)
    return [operation for operation in read_operations(path) if operation.index in wanted] if wanted else []
