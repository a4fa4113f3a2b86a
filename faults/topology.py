"""The links between nodes: one proxy for each ordered pair, so that each direction can be bent or cut by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

Direction: TypeAlias = Literal["both", "to", "from"]
"""Which links of a node: both ways, those to it, or those from it."""

DIRECTIONS: Final[tuple[Direction, ...]] = ("both", "to", "from")


class LinkName(NamedTuple):
    """The proxy through which *source* reaches *target*."""

    source: str
    target: str

    def __str__(self) -> str:
        """Return its name on the control API."""
        return f"{self.source}-to-{self.target}"


def links_between(nodes: Sequence[str]) -> list[LinkName]:
    """Return the link of every ordered pair of nodes."""
    return [LinkName(source, target) for source in nodes for target in nodes if source != target]


def links_of(node: str, nodes: Sequence[str], direction: Direction) -> Iterator[LinkName]:
    """Yield the links that lead to or from a node."""
    for link in links_between(nodes):
        if (direction != "from" and link.target == node) or (direction != "to" and link.source == node):
            yield link
