"""Links that lead through a real Toxiproxy, which keeps no record of what its faults did.

So there is a witness. A cut ends connections, and ended ones are counted in Toxiproxy's metrics: bytes that appear
there with the cut are those of live connections that it struck. A toxic stays on them; that traffic met it is seen from
the bytes that came in at Toxiproxy's network interface between its arming, read back, and its removal.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from typing import Final, Protocol

import aiohttp

from faults.client import ControlClient, EvidenceInfo
from faults.errors import ControlUnreachable
from faults.topology import LinkName
from faults.toxics import Toxic

SERVICE: Final = "toxiproxy"

NOTICED: Final = 2.0
"""Seconds in which connections that were cut show in the metrics."""

POLL: Final = 0.05

_CARRIED: Final = re.compile(r'^toxiproxy_proxy_received_bytes_total\{[^}]*proxy="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE)


class Witness(Protocol):
    """Sees the network from outside."""

    async def received_bytes(self, service: str) -> int:
        """Return the bytes that have come in at a service's network interfaces so far."""


class ToxiproxyLinks:
    """The link proxies of the Toxiproxy behind *control*, seen by *witness*."""

    def __init__(self, control: ControlClient, witness: Witness) -> None:
        self.control = control
        self._witness = witness
        self._records: defaultdict[tuple[str, str], list[EvidenceInfo]] = defaultdict(list)
        self._since: dict[tuple[str, str], tuple[float, int]] = {}

    async def bend(self, link: LinkName, toxic: Toxic, name: str) -> None:
        """Put a toxic on what the link's source sends."""
        await self.control.add(str(link), toxic, name=name, stream="upstream")
        self._since[str(link), name] = time.time(), await self._witness.received_bytes(SERVICE)

    async def straighten(self, link: LinkName, name: str) -> None:
        """Take the toxic away, and put on record whether traffic met it."""
        since, before = self._since.pop((str(link), name))
        seen = await self._witness.received_bytes(SERVICE) - before
        in_force = any(toxic.name == name for toxic in (await self.control.proxy(str(link))).toxics)
        await self.control.remove(str(link), name)
        self._note(link, name, since, events=int(seen > 0 and in_force))

    async def cut(self, link: LinkName) -> None:
        """Cut the link, and put on record what was cut."""
        since, before = time.time(), (await self._carried())[str(link)]
        await self.control.disable(str(link))
        after, deadline = before, time.monotonic() + NOTICED
        while after == before and time.monotonic() < deadline:
            await asyncio.sleep(POLL)
            after = (await self._carried())[str(link)]
        self._note(link, "down", since, events=int(after > before), size=after - before)

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
