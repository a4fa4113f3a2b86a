"""A rule is a value: its code, what it says, and the function that finds its mistake."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from lab.audit.module import Module

Hit: TypeAlias = tuple[ast.AST, str]
"""Where the mistake is, and what was seen there."""

N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class Rule:
    """One mistake: *why* it hurts and how to *mend* it, a sentence each; ``lab`` *proof* shows the harm.

    *check* is asked about every node of class *on*; of calls only about those with a name among *calls*.
    """

    code: str
    title: str
    why: str
    mend: str
    proof: str
    on: type
    calls: tuple[str, ...]
    check: Callable[[Module, Any], Iterator[Hit]]

    def candidates(self, module: Module) -> Iterator[Any]:
        """Yield the nodes that the rule has to look at."""
        if self.calls:
            for name in self.calls:
                yield from module.calls.get(name, ())
        else:
            yield from module.nodes.get(self.on, ())


def rule(
    code: str, title: str, *, why: str, mend: str, proof: str, on: type[N], calls: tuple[str, ...] = ()
) -> Callable[[Callable[[Module, N], Iterator[Hit]]], Rule]:
    """Make a rule of the function that finds its mistake."""

    def made(check: Callable[[Module, N], Iterator[Hit]]) -> Rule:
        return Rule(code, title, why, mend, proof, on, calls, check)

    return made
