# ruff: noqa: E501 - a table has a row for each cell
"""What is expected in every cell and look: the facts for SQLAlchemy 2.0, asyncpg 0.3x and psycopg 3, as data.

Measured on PostgreSQL; the times are not part of it. A name that stands twice has two outcomes, the two ends of a race:
asyncpg's connect, while the proxy finds no server behind it, is reset before or after it has sent its first words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_CELLS: Final = """
FIN, idle, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
FIN, idle, asyncpg on | no error; 3 opened; pool 0/3/0; works
FIN, idle, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
FIN, idle, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, idle, psycopg on | no error; 3 opened; pool 0/3/0; works
FIN, idle, psycopg resilient | no error; 3 opened; pool 0/3/0; works
FIN, idle, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
FIN, ping, asyncpg on | no error; 3 opened; pool 0/3/0; works
FIN, ping, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
FIN, ping, psycopg on | no error; 3 opened; pool 0/3/0; works
FIN, ping, psycopg resilient | no error; 3 opened; pool 0/3/0; works
FIN, ping, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
FIN, in tx, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
FIN, in tx, asyncpg on | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
FIN, in tx, asyncpg resilient | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
FIN, in tx, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, in tx, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, in tx, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, in tx, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, COMMIT, asyncpg off | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
FIN, COMMIT, asyncpg on | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
FIN, COMMIT, asyncpg resilient | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
FIN, COMMIT, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, COMMIT, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, COMMIT, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
FIN, COMMIT, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, idle, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
RST, idle, asyncpg on | no error; 3 opened; pool 0/3/0; works
RST, idle, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
RST, idle, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, idle, psycopg on | no error; 3 opened; pool 0/3/0; works
RST, idle, psycopg resilient | no error; 3 opened; pool 0/3/0; works
RST, idle, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
RST, ping, asyncpg on | no error; 3 opened; pool 0/3/0; works
RST, ping, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
RST, ping, psycopg on | no error; 3 opened; pool 0/3/0; works
RST, ping, psycopg resilient | no error; 3 opened; pool 0/3/0; works
RST, ping, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
RST, in tx, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
RST, in tx, asyncpg on | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
RST, in tx, asyncpg resilient | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
RST, in tx, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, in tx, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, in tx, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, in tx, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, COMMIT, asyncpg off | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
RST, COMMIT, asyncpg on | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
RST, COMMIT, asyncpg resilient | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
RST, COMMIT, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, COMMIT, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, COMMIT, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
RST, COMMIT, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
black hole, idle, asyncpg off | hangs; pool 1/3/0
black hole, idle, asyncpg on | hangs; pool 1/3/0
black hole, idle, asyncpg resilient | 1 x raw lab.ConnectTimedOut; 3 opened; pool 0/3/0; works
black hole, idle, psycopg off | hangs; pool 1/3/0
black hole, idle, psycopg on | hangs; pool 1/3/0
black hole, idle, psycopg resilient | 1 x raw lab.ConnectTimedOut; 3 opened; pool 0/3/0; works
black hole, idle, psycopg sync resilient | 1 x OperationalError psycopg.ConnectionTimeout; 3 opened; pool 0/3/0; works
black hole, ping, asyncpg on | hangs; pool 1/3/0
black hole, ping, asyncpg resilient | 1 x raw lab.ConnectTimedOut; 3 opened; pool 0/3/0; works
black hole, ping, psycopg on | hangs; pool 1/3/0
black hole, ping, psycopg resilient | 1 x raw lab.ConnectTimedOut; 3 opened; pool 0/3/0; works
black hole, ping, psycopg sync resilient | 1 x OperationalError psycopg.ConnectionTimeout; 3 opened; pool 0/3/0; works
black hole, in tx, asyncpg off | hangs; pool 1/3/0
black hole, in tx, asyncpg on | hangs; pool 1/3/0
black hole, in tx, asyncpg resilient | 1 x OperationalError TimeoutError; 1 opened; pool 0/3/0; works
black hole, in tx, psycopg off | hangs; pool 1/3/0
black hole, in tx, psycopg on | hangs; pool 1/3/0
black hole, in tx, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
black hole, in tx, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
black hole, COMMIT, asyncpg off | hangs; pool 1/3/0
black hole, COMMIT, asyncpg on | hangs; pool 1/3/0
black hole, COMMIT, asyncpg resilient | 1 x OperationalError TimeoutError; 3 opened; pool 0/3/0; works
black hole, COMMIT, psycopg off | hangs; pool 1/3/0
black hole, COMMIT, psycopg on | hangs; pool 1/3/0
black hole, COMMIT, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
black hole, COMMIT, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, idle, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
refused, idle, asyncpg on | 1 x raw ConnectionRefusedError; 3 opened; pool 0/3/0; works
refused, idle, asyncpg resilient | 1 x raw ConnectionRefusedError; 3 opened; pool 0/3/0; works
refused, idle, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, idle, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, idle, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, idle, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, ping, asyncpg on | 1 x raw ConnectionRefusedError; 3 opened; pool 0/3/0; works
refused, ping, asyncpg resilient | 1 x raw ConnectionRefusedError; 3 opened; pool 0/3/0; works
refused, ping, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, ping, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, ping, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, in tx, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
refused, in tx, asyncpg on | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
refused, in tx, asyncpg resilient | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
refused, in tx, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, in tx, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, in tx, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, in tx, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, COMMIT, asyncpg off | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
refused, COMMIT, asyncpg on | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
refused, COMMIT, asyncpg resilient | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
refused, COMMIT, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, COMMIT, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, COMMIT, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
refused, COMMIT, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, idle, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
restart, idle, asyncpg on | no error; 3 opened; pool 0/3/0; works
restart, idle, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
restart, idle, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, idle, psycopg on | no error; 3 opened; pool 0/3/0; works
restart, idle, psycopg resilient | no error; 3 opened; pool 0/3/0; works
restart, idle, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
restart, ping, asyncpg on | 1 x raw ConnectionResetError; 3 opened; pool 0/3/0; works
restart, ping, asyncpg on | 1 x raw asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
restart, ping, asyncpg resilient | 1 x raw ConnectionResetError; 3 opened; pool 0/3/0; works
restart, ping, asyncpg resilient | 1 x raw asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
restart, ping, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, ping, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, ping, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, in tx, asyncpg off | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
restart, in tx, asyncpg on | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
restart, in tx, asyncpg resilient | 1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works
restart, in tx, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, in tx, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, in tx, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, in tx, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, COMMIT, asyncpg off | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
restart, COMMIT, asyncpg on | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
restart, COMMIT, asyncpg resilient | 1 x DBAPIError asyncpg.ConnectionDoesNotExistError 08003; 3 opened; pool 0/3/0; works
restart, COMMIT, psycopg off | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, COMMIT, psycopg on | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, COMMIT, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
restart, COMMIT, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
stopped, idle, asyncpg off | hangs; pool 1/3/0
stopped, idle, asyncpg on | hangs; pool 1/3/0
stopped, idle, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
stopped, idle, psycopg off | hangs; pool 1/3/0
stopped, idle, psycopg on | hangs; pool 1/3/0
stopped, idle, psycopg resilient | no error; 3 opened; pool 0/3/0; works
stopped, idle, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
stopped, ping, asyncpg on | hangs; pool 1/3/0
stopped, ping, asyncpg resilient | no error; 3 opened; pool 0/3/0; works
stopped, ping, psycopg on | hangs; pool 1/3/0
stopped, ping, psycopg resilient | no error; 3 opened; pool 0/3/0; works
stopped, ping, psycopg sync resilient | no error; 3 opened; pool 0/3/0; works
stopped, in tx, asyncpg off | hangs; pool 1/3/0
stopped, in tx, asyncpg on | hangs; pool 1/3/0
stopped, in tx, asyncpg resilient | 1 x OperationalError TimeoutError; 3 opened; pool 0/3/0; works
stopped, in tx, psycopg off | hangs; pool 1/3/0
stopped, in tx, psycopg on | hangs; pool 1/3/0
stopped, in tx, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
stopped, in tx, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
stopped, COMMIT, asyncpg off | hangs; pool 1/3/0
stopped, COMMIT, asyncpg on | hangs; pool 1/3/0
stopped, COMMIT, asyncpg resilient | 1 x OperationalError TimeoutError; 3 opened; pool 0/3/0; works
stopped, COMMIT, psycopg off | hangs; pool 1/3/0
stopped, COMMIT, psycopg on | hangs; pool 1/3/0
stopped, COMMIT, psycopg resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
stopped, COMMIT, psycopg sync resilient | 1 x psycopg.OperationalError; 3 opened; pool 0/3/0; works
"""

_LOOKS: Final = """
pool_recycle, asyncpg | kept while in use, open while idle, replaced at the next checkout
pool_recycle, psycopg | kept while in use, open while idle, replaced at the next checkout
FIFO, asyncpg | 10 users in turn were served by 5 of 5 connections
FIFO, psycopg | 10 users in turn were served by 5 of 5 connections
LIFO, asyncpg | 10 users in turn were served by 1 of 5 connections
LIFO, psycopg | 10 users in turn were served by 1 of 5 connections
pool_timeout, asyncpg | sqlalchemy.TimeoutError, no sooner than pool_timeout; the pool stays at 1 in use
pool_timeout, psycopg | sqlalchemy.TimeoutError, no sooner than pool_timeout; the pool stays at 1 in use
overflow, asyncpg | 3 at once, 1 kept afterwards and used again
overflow, psycopg | 3 at once, 1 kept afterwards and used again
reset on return, asyncpg | the next user sees 0 rows of an open transaction, and its COMMIT commits 0
reset on return, psycopg | the next user sees 0 rows of an open transaction, and its COMMIT commits 0
no reset on return, asyncpg | the next user sees 1 rows of an open transaction, and its COMMIT commits 1
no reset on return, psycopg | the next user sees 1 rows of an open transaction, and its COMMIT commits 1
SET leaks, asyncpg | after SET LOCAL the next user has 0, after SET 1234ms
SET leaks, psycopg | after SET LOCAL the next user has 0, after SET 1234ms
terminated in tx (sqlalchemy#13241), asyncpg | asyncpg.InterfaceError, then another connection, which works; 0 in use
terminated in tx (sqlalchemy#13241), psycopg | OperationalError psycopg.AdminShutdown 57P01, then another connection, which works; 0 in use
cancelled task, asyncpg | CancelledError, its connection replaced at the next checkout; 0 in use, 1 idle
cancelled task, psycopg | CancelledError, its connection replaced at the next checkout; 0 in use, 1 idle
late, but alive, asyncpg | OperationalError TimeoutError, its connection replaced
late, but alive, psycopg | psycopg.OperationalError, its connection replaced
first host refuses, one DSN, asyncpg | goes on to the next
first host refuses, one DSN, psycopg | goes on to the next
first host a black hole, one DSN, asyncpg | raw TimeoutError
first host a black hole, one DSN, psycopg | goes on to the next
spread, one DSN, asyncpg | [6, 0, 0] connections; n1 lost: [0, 6, 0]; n1 back: [0, 6, 0]
spread, one DSN, psycopg | [6, 0, 0] connections; n1 lost: [0, 6, 0]; n1 back: [0, 6, 0]
spread, resilient, asyncpg | [2, 2, 2] connections; n1 lost: [0, 2, 2] after 2 x raw ConnectionRefusedError; n1 back: [1, 3, 2]
spread, resilient, psycopg | [2, 2, 2] connections; n1 lost: [0, 2, 2] after 2 x psycopg.OperationalError; n1 back: [1, 3, 2]
vanished, question not acknowledged, asyncpg | without tcp_user_timeout: hangs; with: DBAPIError asyncpg.ConnectionDoesNotExistError 08003
vanished, question not acknowledged, psycopg | without tcp_user_timeout: hangs; with: psycopg.OperationalError
vanished, answer never comes, asyncpg | without keepalive: hangs; with: DBAPIError asyncpg.ConnectionDoesNotExistError 08003
vanished, answer never comes, psycopg | without keepalive: hangs; with: psycopg.OperationalError
"""


def _read(lines: str) -> Mapping[str, Sequence[str]]:
    known: dict[str, list[str]] = {}
    for line in lines.split("\n"):
        name, divided, text = line.partition(" | ")
        if divided:
            known.setdefault(name, []).append(text)
    return known


EXPECTED: Final = {**_read(_CELLS), **_read(_LOOKS)}
"""Name of a cell or look -> what may be seen there."""
