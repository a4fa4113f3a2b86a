"""Links that lead through a real Toxiproxy, which keeps no record of what its faults did.

So there is a witness. A cut ends connections, and ended ones are counted in Toxiproxy's metrics: bytes that appear
there with the cut are those of live connections that it struck. A toxic ends none. That traffic met it is concluded
from three things: a cut for a moment, when the cluster had just come up, has shown that the nodes do use the link; the
toxic was there when it was taken away; and in between the node that sends through the link has sent something. Bytes
that come in at Toxiproxy would not do: the lab's own calls of its API are some.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import aiohttp

from faults.client import ControlClient, EvidenceInfo
from faults.errors import ControlUnreachable
from faults.topology import LinkName
from faults.toxics import Toxic
from lab.cleanup import all_of

NOTICED: Final = 2.0
"""Seconds in which connections that were cut show in the metrics."""

POLL: Final = 0.05

_CARRIED: Final = re.compile(r'^toxiproxy_proxy_received_bytes_total\{[^}]*proxy="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE)


class Witness(Protocol):
    """Sees the network from outside."""

    async def sent_bytes(self, service: str) -> int:
        """Return the bytes that have gone out at a service's network interfaces since it was started."""


class ToxiproxyLinks:
    """The link proxies of the Toxiproxy behind *control*, seen by *witness*."""

    def __init__(self, control: ControlClient, witness: Witness) -> None:
        self.control = control
        self._witness = witness
        self._records: defaultdict[tuple[str, str], list[EvidenceInfo]] = defaultdict(list)
        self._since: dict[tuple[str, str], tuple[float, int]] = {}
        self._used: frozenset[str] = frozenset()

    async def find_used(self, links: Iterable[LinkName]) -> None:
        """Cut *links* for a moment, to learn which of them have connections: only those can be said to be bent."""
        names = [str(link) for link in links]
        before = await self._carried()
        await all_of(*(self.control.disable(name) for name in names))
        after = await self._grown(before, names)
        await all_of(*(self.control.enable(name) for name in names))
        self._used = frozenset(name for name in names if after[name] > before[name])

    async def bend(self, link: LinkName, toxic: Toxic, name: str) -> None:
        """Put a toxic on what the link's source sends."""
        await self.control.add(str(link), toxic, name=name, stream="upstream")
        self._since[str(link), name] = time.time(), await self._witness.sent_bytes(link.source)

    async def straighten(self, link: LinkName, name: str) -> None:
        """Take the toxic away, and put on record whether traffic met it."""
        since, before = self._since.pop((str(link), name))
        sent = await self._witness.sent_bytes(link.source) - before
        in_force = any(toxic.name == name for toxic in (await self.control.proxy(str(link))).toxics)
        await self.control.remove(str(link), name)
        self._note(link, name, since, events=int(sent > 0 and in_force and str(link) in self._used))

    async def cut(self, link: LinkName) -> None:
        """Cut the link, and put on record what was cut."""
        name, since, before = str(link), time.time(), await self._carried()
        await self.control.disable(name)
        size = (await self._grown(before, [name]))[name] - before[name]
        self._note(link, "down", since, events=int(size > 0), size=size)

    async def join(self, link: LinkName) -> None:
        """Let the link work again."""
        await self.control.enable(str(link))

    async def reset(self) -> None:
        """Let every link work, without toxics."""
        await self.control.reset()

    def evidence(self, link: LinkName, name: str) -> list[EvidenceInfo]:
        """Return the records of a fault of a link, the oldest first."""
        return list(self._records[str(link), name])

    def _note(self, link: LinkName, name: str, since: float, *, events: int, size: int = 0) -> None:
        now = time.time()
        first, last = (since, now) if events else (None, None)
        self._records[str(link), name].append(
            EvidenceInfo(str(link), name, name, "upstream", since, now, first, last, events, size, events, [])
        )

    async def _grown(self, before: Counter[str], names: Sequence[str]) -> Counter[str]:
        """Return the bytes of ended connections once they have grown for all *names*, or after NOTICED seconds."""
        deadline = time.monotonic() + NOTICED
        while True:
            after = await self._carried()
            if all(after[name] > before[name] for name in names) or time.monotonic() > deadline:
                return after
            await asyncio.sleep(POLL)

    async def _carried(self) -> Counter[str]:
        """Return the bytes that ended connections had carried, by proxy."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=NOTICED)) as client,
                client.get(f"{self.control.url}/metrics") as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControlUnreachable(f"no metrics at {self.control.url}: {str(error) or 'timed out'}") from error
        carried: Counter[str] = Counter()
        for proxy, value in _CARRIED.findall(text):
            carried[proxy] += int(float(value))
        return carried
