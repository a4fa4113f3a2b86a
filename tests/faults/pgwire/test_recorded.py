"""Real conversations of both drivers, recorded on their way to a real PostgreSQL, then followed in any split."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.pgwire.errors import NotPostgres
from faults.pgwire.framing import Framer
from faults.pgwire.session import REPLIES, REQUESTS, Session, Statement
from tests.faults.pgwire.bench import DRIVERS, AsyncpgClient, Client, Database, connect, outcome
from tests.faults.pgwire.test_framing import split
from tests.faults.wire import soon

Data = list[tuple[str, bytes]]


@dataclass
class Tap:
    """A listener in front of a database that writes down what passes: ("c", bytes) of the client, ("s", bytes)."""

    upstream: Database
    recordings: list[Data] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recording: Data = []
        self.recordings.append(recording)
        there, to_there = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        await asyncio.gather(carry("c", reader, to_there, recording), carry("s", there, writer, recording))


async def carry(side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recording: Data) -> None:
    try:
        while data := await reader.read(65536):
            recording.append((side, data))
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def talk(client: Client) -> None:
    """Say everything that drivers say."""
    await client.run("SELECT 1; SELECT 2")
    for number in range(7):  # psycopg prepares at the sixth
        await client.run("SELECT $1::int", number)
    assert await outcome(client.run("SELECT 1/$1::int", 0)) == "22012"
    await client.run("BEGIN")
    assert await outcome(client.run("no sql")) == "42601"
    assert await outcome(client.run("SELECT 1")) == "25P02"
    await client.run("ROLLBACK")
    await client.run("CREATE TEMP TABLE c(a int, b text)")
    await client.run("LISTEN l")
    await client.run("NOTIFY l, 'heard'")
    await client.run("SET application_name = 'renamed'")
    assert len((await client.run("SELECT repeat('x', $1::int)", 40_000))[0][0]) == 40_000
    await (asyncpg_only(client) if isinstance(client, AsyncpgClient) else psycopg_only(client))
    await client.run("COMMIT /* the last */")


async def asyncpg_only(client: Client) -> None:
    await client.raw.executemany("INSERT INTO c VALUES ($1, $2)", [(n, "b") for n in range(300)])
    await client.raw.copy_records_to_table("c", records=[(n, "c" * 100) for n in range(500)])

    async def drop(_data: bytes) -> None:
        pass

    assert await client.raw.copy_from_query("SELECT * FROM c", output=drop) == "COPY 800"
    async with client.raw.transaction():
        cursor = await client.raw.cursor("SELECT a FROM c")
        assert len(await cursor.fetch(10)) == len(await cursor.fetch(10)) == 10


async def psycopg_only(client: Client) -> None:
    raw = client.raw
    async with raw.pipeline():
        for number in range(30):
            await raw.execute("INSERT INTO c VALUES (%s, %s)", (number, "b"))
    async with raw.cursor() as cursor:
        async with cursor.copy("COPY c FROM STDIN") as writer:
            for number in range(500):
                await writer.write_row((number, "c" * 100))
        async with cursor.copy("COPY c TO STDOUT") as reader:
            assert len([row async for row in reader.rows()]) == 530
    async with raw.transaction(), raw.cursor("named") as cursor:
        await cursor.execute("SELECT a FROM c")
        assert len(await cursor.fetchmany(10)) == 10


@pytest.fixture(scope="module", params=[(d, tls) for d in DRIVERS for tls in (False, True)], ids=str)
async def recording(request: pytest.FixtureRequest, database: Database) -> Data:
    """A conversation of a driver; the second kind begins with a refused request for encryption."""
    driver, tls = request.param
    tap = Tap(database)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
    there = replace(database, port=server.sockets[0].getsockname()[1])
    options = {} if not tls else {"ssl": "prefer"} if driver == "asyncpg" else {"sslmode": "prefer"}
    client = await connect(there, driver, "recorded", **options)
    closing: Callable[[], Awaitable[None]] = client.raw.close
    await soon(talk(client))
    await soon(closing())
    server.close()
    await soon(server.wait_closed())
    return max(tap.recordings, key=len)


def follow(data: Data) -> tuple[list[tuple[str, str, str | None]], bytes, bytes, Session]:
    """Return kind, SQL and answer of each statement, what came out for either side, and the session."""
    session, client, server = Session(), Framer(REQUESTS, startup=True), Framer(REPLIES)
    statements: list[Statement] = []
    out = {"c": b"", "s": b""}
    for side, part in data:
        for piece in (client if side == "c" else server).feed(part) if session.begun or side == "c" else ():
            out[side] += piece.raw
            if piece.kind >= 0 and side == "c":
                statement = session.request(piece)
                statements += [statement] if statement is not None else []
            elif piece.kind >= 0:
                session.reply(piece)
    return [(s.kind, s.sql, s.answer) for s in statements], out["c"], out["s"], session


def test_every_statement_of_a_driver_is_seen_with_its_answer(recording: Data) -> None:
    statements, sent, received, session = follow(recording)
    assert sent == b"".join(part for side, part in recording if side == "c")
    assert received == b"".join(part for side, part in recording if side == "s")[-len(received) :]
    assert [statement for statement in statements if statement[2] is None] == []
    said = [(kind, answer) for kind, _, answer in statements]
    assert said[0] == ("CONNECT", "ready")
    for expected in (("BEGIN", "BEGIN"), ("ROLLBACK", "ROLLBACK"), ("LISTEN", "LISTEN"), ("COMMIT", "COMMIT")):
        assert expected in said
    assert {"22012", "42601", "25P02"} <= {answer for _, answer in said}
    assert sum(kind == "COPY" for kind, _ in said) == 2
    assert (session.application_name, session.status, list(session.pending)) == ("renamed", "I", [])
    assert session.pid is not None


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 10**7), max_size=200))
def test_a_recorded_conversation_is_the_same_however_it_is_split(recording: Data, cuts: list[int]) -> None:
    parts = [(side, part) for side, whole in recording for part in split(whole, cuts)]
    (statements, sent, received, session), expected = follow(parts), follow(recording)
    assert (statements, sent, received) == expected[:3]
    assert session.application_name == "renamed"


@settings(deadline=None, max_examples=50)
@given(data=st.binary(min_size=8, max_size=64))
def test_a_beginning_is_either_followed_or_somebody_elses(data: bytes) -> None:
    try:
        follow([("c", data)])
    except NotPostgres:
        return
    except Exception as error:
        assert "claims a length" in str(error)  # noqa: PT017 - either is right
