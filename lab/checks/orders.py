"""The invariants of a shop: the stock is never negative, stock and sold add up, every order is paid exactly once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from lab.history import History, Json, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def stock_kept(*, products: int, stock: int) -> Check:
    """Every ok read, and the final "stock", has all *products*: {"product": [left, sold]} with *stock* in sum."""

    def judge(history: History) -> Judgement:
        reads = [operation for operation in history.of_kind("read") if operation.outcome is Outcome.OK]
        problems = {o.index: problem for o in reads if (problem := _out_of_balance(o.result, products, stock))}
        if problems:
            index, problem = next(iter(problems.items()))
            return failed(f"operation {index}: {problem}", problems)
        final = _final(history)
        if final is None:
            return inconclusive("the final stock was never read")
        if problem := _out_of_balance(final.get("stock"), products, stock):
            return failed(f"final read: {problem}")
        if not reads:
            return inconclusive("no snapshot was read during the run")
        return passed(f"stock and sold add up in each of {len(reads):,} snapshots and at the end")

    return Check("stock kept", f"of {products} products, what is left and what is sold make {stock} each", judge)


def paid_once() -> Check:
    """The final "orders" [unit, price, quantity] and "payments" [unit, amount] match: one payment for each sale."""
    return Check("paid once", "every order is paid exactly once, and nothing else is", _judge_payments)


def _judge_payments(history: History) -> Judgement:
    final = _final(history)
    orders, payments = (final.get("orders"), final.get("payments")) if final else (None, None)
    if not isinstance(orders, list) or not isinstance(payments, list):
        return inconclusive("the final orders and payments were never read")
    due, paid = _by_unit(_dues(orders)), _by_unit(_rows(payments, 2))
    wrong = sorted(unit for unit in {*due, *paid} if due.get(unit) != paid.get(unit))
    if wrong:
        unit = wrong[0]
        operations = (o.index for o in history.operations if o.unit in wrong)
        why = f"{len(wrong)} orders are not paid exactly once; unit {unit} owes {due.get(unit, [])}"
        return failed(f"{why} and paid {paid.get(unit, [])}", operations)
    if not due:
        return inconclusive("nothing was sold")
    return passed(f"each of {len(due):,} orders is paid once")


def _out_of_balance(state: Json, products: int, stock: int) -> str | None:
    if not isinstance(state, dict) or len(state) != products:
        return f"not {products} products, but {state!r:.200}"
    for product, pair in state.items():
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(number) is int for number in pair):
            return f"product {product} has no stock and sold: {pair!r:.200}"
        left, sold = (number for number in pair if isinstance(number, int))
        if left < 0:
            return f"the stock of product {product} is {left}"
        if left + sold != stock:
            return f"of product {product}, {left} in stock and {sold} sold make {left + sold} instead of {stock}"
    return None


def _dues(orders: Iterable[Json]) -> Iterator[tuple[str, int]]:
    for unit, price, quantity in _rows(orders, 3):
        if quantity:
            yield unit, price * quantity


def _rows(rows: Iterable[Json], width: int) -> Iterator[tuple]:  # type: ignore[type-arg]
    for row in rows:
        if isinstance(row, list) and len(row) == width:
            yield tuple(row)


def _by_unit(amounts: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for unit, amount in amounts:
        found[unit].append(amount)
    return {unit: sorted(each) for unit, each in found.items()}


def _final(history: History) -> dict[str, Json] | None:
    state = history.final.state if history.final is not None else None
    return state if isinstance(state, dict) else None
