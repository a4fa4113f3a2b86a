"""Claims about finding legacy code: warnings, an environment variable, and the parser of Python."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.orm import Query, Session

from lab.errors import EnvironmentProblem
from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import PATIENCE, Bench, sa_warnings, url_of
from lab.studies.claims.models import Author

LEGACY: Final = (
    "session.query(Author).all()",
    "session.query(Author.name).filter_by(id=1).first()",
    "db.session.query(Author).count()",
    "self.s.query(Author).first()",
    "(ask := session.query)(Author).first()",
    "getattr(session, 'query')(Author).first()",
    "Query(Author, session).first()",
    "Session.query(session, Author).first()",
)
"""Eight ways to make a legacy Query, on purpose; each is run to see that it does."""

INNOCENT: Final = (
    "frame.query('id > 1')",
    "session.query('a search in a music service')",
    "# session.query(Author) was here",
    "'call session.query(Author) no more'",
)
"""Four lines that make none; the second has a session that is not SQLAlchemy's."""

_PROBE = """
import sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from sqlalchemy import create_engine, Column, Integer
    from sqlalchemy.ext.declarative import declarative_base
    from sqlalchemy.orm import Session
    class Author(declarative_base()):
        __tablename__ = "claims_author"
        id = Column(Integer, primary_key=True)
    with Session(create_engine(sys.stdin.read())) as session:
        rows = session.query(Author).all()
        session.query(Author).get(1)
print(sum("sqlalchemy" in one.category.__module__ for one in caught), len(rows))
"""
"""A program in the legacy style; its URL comes by standard input, as it holds a password."""


async def warn_20(bench: Bench) -> Measured:
    """Run a legacy program with SQLALCHEMY_WARN_20=1 and without, and count the warnings."""
    await bench.fresh(authors=2)
    url = url_of(bench.cluster.direct, "psycopg").render_as_string(hide_password=False)
    plain, loud = await asyncio.gather(_probe(url, {}), _probe(url, {"SQLALCHEMY_WARN_20": "1"}))
    return Measured(
        f"{loud} warnings with it, {plain} without",
        (
            Part(
                "SQLALCHEMY_WARN_20=1 shows deprecated call sites that are silent without it",
                loud > plain,
                f"{loud} warnings with it and {plain} without, for 4 legacy calls",
            ),
        ),
    )


async def _probe(url: str, more: dict[str, str]) -> int:
    """Return how many warnings the program gives; raise EnvironmentProblem if it does not come to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "SQLALCHEMY_WARN_20"} | more
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROBE, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )
    try:
        async with asyncio.timeout(2 * PATIENCE):
            answer, trouble = await process.communicate(url.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = trouble.decode(errors="replace").strip().splitlines()[-1:]
        raise EnvironmentProblem(
            f"the legacy program ended with {process.returncode}: {''.join(said)}", "run it by hand"
        )
    count, rows = map(int, answer.split())
    if rows != 2:
        raise EnvironmentProblem(f"the legacy program read {rows} rows instead of 2", "run it by hand")
    return count


async def future_warning(bench: Bench) -> Measured:
    """Turn warnings into errors, as a CI would, and see which legacy calls are stopped."""
    await bench.fresh(authors=1)
    return await asyncio.to_thread(_future_warning, bench.sync_engine())


def _future_warning(engine: Engine) -> Measured:
    with Session(engine) as session:
        calls: dict[str, Callable[[], object]] = {
            "Query.get": lambda: session.query(Author).get(1),  # noqa: LAB102
            "Query.all": lambda: session.query(Author).all(),  # noqa: LAB101
            "Query.filter": lambda: session.query(Author).filter(Author.id == 1).first(),  # noqa: LAB101
        }
        with sa_warnings() as seen:
            for call in calls.values():
                call()
        stopped = {
            kind: [name for name, call in calls.items() if _stops(call, kind)]
            for kind in (FutureWarning, DeprecationWarning)
        }
    kinds = sorted({kind.__name__ for kind in seen})
    everything = stopped[DeprecationWarning]
    return Measured(
        f"{', '.join(kinds)}; stops {len(everything)} of {len(calls)} calls",
        (
            Part(
                "the warnings about legacy calls are FutureWarnings",
                bool(seen) and all(issubclass(kind, FutureWarning) for kind in seen),
                f"{', '.join(kinds)}; -W error::FutureWarning stops {len(stopped[FutureWarning])} calls",
            ),
            Part(
                "as blocking errors they stop every legacy call",
                len(everything) == len(calls),
                f"{len(everything)} of {len(calls)} ({', '.join(everything)})",
            ),
        ),
    )


def _stops(call: Callable[[], object], kind: type[Warning]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", kind)
        try:
            call()
        except Warning:
            return True
    return False


async def ast_finds_legacy(bench: Bench) -> Measured:
    """Run every snippet with a Query that counts itself, then look for it with a parser and with grep."""
    await bench.fresh(authors=1)
    return await asyncio.to_thread(_ast_finds_legacy, bench.sync_engine())


def _ast_finds_legacy(engine: Engine) -> Measured:
    truly = [line for line in LEGACY if _makes_a_query(engine, line)]
    parsed = [line for line in truly if _matches(line)]
    grepped = [line for line in truly if re.search(r"session\.query\(", line)]
    false = [line for line in INNOCENT if _matches(line)]
    false_of_grep = [line for line in INNOCENT if re.search(r"session\.query\(", line)]
    unseen = None if len(truly) < len(LEGACY) else len(parsed) == len(truly)
    return Measured(
        f"{len(parsed)} of {len(truly)} legacy calls; grep {len(grepped)}",
        (
            Part(
                "an AST search for session.query( finds every legacy query",
                unseen,
                f"{len(parsed)} of {len(truly)} forms that make a Query; grep {len(grepped)}",
            ),
            Part(
                "it is better than a text search: fewer false alarms",
                len(false) < len(false_of_grep),
                f"{len(false)} false alarms of {len(INNOCENT)}; grep {len(false_of_grep)}",
            ),
        ),
    )


class Holder:
    """What has a session as an attribute, under any name."""

    def __init__(self, session: Session) -> None:
        self.session = self.s = session


def _makes_a_query(engine: Engine, line: str) -> bool:
    made = []

    class Counting(Query[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **options)

    with Session(engine, query_cls=Counting) as session:
        known = {"session": session, "db": Holder(session), "self": Holder(session), "Author": Author}
        exec(line, known | {"Query": Counting, "Session": Session})  # noqa: S102 - the constants above
    return bool(made)


def _matches(line: str) -> bool:
    """Tell whether a parser finds `session.query(`, under any path that ends so."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "query"
        and ast.unparse(node.func.value).rpartition(".")[2] == "session"
        for node in ast.walk(ast.parse(line))
    )


CLAIMS = (
    Claim(
        "warn-20",
        "SQLALCHEMY_WARN_20=1 surfaces deprecated call sites",
        (False,),
        "under 2.0 nothing reads it; it is for 1.4. Use -W error::DeprecationWarning and `lab audit`",
        warn_20,
    ),
    Claim(
        "future-warning",
        "FutureWarning deprecations, treated as blocking errors, prevent runtime failures",
        (False, False),
        "filter sqlalchemy.exc.SADeprecationWarning; what is legacy but not deprecated never warns",
        future_warning,
    ),
    Claim(
        "ast-finds-legacy",
        "The fastest way to identify legacy patterns is an AST parser for session.query(",
        (False, True),
        "look for .query( on whatever holds a Session, for aliases and for Query(...): `lab audit` does",
        ast_finds_legacy,
    ),
)
