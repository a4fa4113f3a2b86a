"""What the control API shows of proxies, toxics, connections and evidence, as JSON objects."""

from __future__ import annotations

from faults.evidence import EvidenceBook
from faults.proxy import PlacedToxic, Proxy
from faults.toxics import attributes_of

Json = dict[str, object]


def describe_toxic(placed: PlacedToxic) -> Json:
    """Return a toxic as the API shows it."""
    return {
        "attributes": attributes_of(placed.toxic),
        "name": placed.name,
        "type": placed.toxic.kind,
        "stream": placed.stream,
        "toxicity": int(placed.toxicity) if placed.toxicity.is_integer() else placed.toxicity,
    }


def describe_proxy(proxy: Proxy) -> Json:
    """Return a proxy as the API shows it: upstream toxics first, each stream in order of creation."""
    toxics = sorted(proxy.toxics.values(), key=lambda placed: (placed.stream != "upstream", placed.order))
    return {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.enabled,
        "protocol": proxy.protocol,
        "vanished": proxy.vanished,
        "failed_dials": proxy.failed_dials,
        "toxics": [describe_toxic(placed) for placed in toxics],
    }


def describe_connections(proxy: Proxy) -> list[Json]:
    """Return the live connections of a proxy; *server_side* is our address towards the upstream."""
    return [
        {
            "id": connection.id,
            "client": connection.client,
            "server_side": connection.server_side,
            "since": connection.since,
            "upstream_bytes": connection.upstream.bytes,
            "downstream_bytes": connection.downstream.bytes,
        }
        for connection in proxy.connections.values()
        if not connection.over
    ]


def describe_evidence(book: EvidenceBook) -> list[Json]:
    """Return every record of a server, the oldest first."""
    return [
        {
            "proxy": record.proxy,
            "name": record.name,
            "type": record.kind,
            "stream": record.stream,
            "since": record.since,
            "until": record.until,
            "first": record.first,
            "last": record.last,
            "events": record.events,
            "bytes": record.bytes,
            "connections": record.connections,
            "touched": [
                {"connection": t.connection, "client": t.client, "events": t.events, "bytes": t.bytes}
                for t in record.touched.values()
            ],
        }
        for record in book
    ]
