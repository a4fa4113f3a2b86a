"""What can be done to a node: small capabilities, and faults that undo themselves as async context managers.

A cluster of anybody's that has the methods of a protocol can be hurt by its context manager::

    async with killed(cluster, "n2") as what:
        ...  # n2 is gone; *what* says which process was killed
    # n2 is back, and takes queries
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class KillsNodes(Protocol):
    """Nodes can be killed without warning, and started again at their old addresses with their old data."""

    async def kill_node(self, node: str) -> str:
        """Kill it (SIGKILL) and return, in words, what was killed: the evidence."""

    async def start_node(self, node: str) -> None:
        """Start it if it is down and return when it takes queries."""


@runtime_checkable
class PausesNodes(Protocol):
    """Nodes can be stopped in their tracks: they keep their connections, and say nothing."""

    async def pause_node(self, node: str) -> str:
        """Stop it (SIGSTOP) and return, in words, what stands still now."""

    async def resume_node(self, node: str) -> None:
        """Let it go on."""


@runtime_checkable
class DrainsNodes(Protocol):
    """Nodes can be taken out of service in an orderly way, as for an upgrade, and started again."""

    async def drain_node(self, node: str) -> str:
        """Drain and end it (SIGTERM), and return, in words, how it ended."""

    async def start_node(self, node: str) -> None:
        """Start it if it is down and return when it takes queries."""


@runtime_checkable
class DisconnectsNodes(Protocol):
    """Nodes can be taken off their network: nothing reaches them, and nothing says so."""

    async def disconnect_node(self, node: str) -> str:
        """Take it off the network and return, in words, what was done."""

    async def reconnect_node(self, node: str) -> None:
        """Put it back."""


@contextlib.asynccontextmanager
async def killed(cluster: KillsNodes, node: str) -> AsyncIterator[str]:
    """Kill a node for as long as the block lasts."""
    async with _undone(cluster.kill_node, cluster.start_node, node) as what:
        yield what


@contextlib.asynccontextmanager
async def paused(cluster: PausesNodes, node: str) -> AsyncIterator[str]:
    """Stop a node in its tracks for as long as the block lasts."""
    async with _undone(cluster.pause_node, cluster.resume_node, node) as what:
        yield what


@contextlib.asynccontextmanager
async def drained(cluster: DrainsNodes, node: str) -> AsyncIterator[str]:
    """Take a node out of service for as long as the block lasts."""
    async with _undone(cluster.drain_node, cluster.start_node, node) as what:
        yield what


@contextlib.asynccontextmanager
async def disconnected(cluster: DisconnectsNodes, node: str) -> AsyncIterator[str]:
    """Take a node off its network for as long as the block lasts."""
    async with _undone(cluster.disconnect_node, cluster.reconnect_node, node) as what:
        yield what


@contextlib.asynccontextmanager
async def _undone(
    hurt: Callable[[str], Awaitable[str]], heal: Callable[[str], Awaitable[None]], node: str
) -> AsyncIterator[str]:
    # Healed even if hurting failed half-way: what a fault was asked of is never left as it is.
    try:
        yield await hurt(node)
    finally:
        await heal(node)
