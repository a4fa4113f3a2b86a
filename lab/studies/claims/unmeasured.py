"""What the document says and nothing here measures, with the reason."""

from __future__ import annotations

from typing import Final

_OLD = "about SQLAlchemy 1.4; the lab needs 2.0, and both cannot be installed together"
_WORTH = "a judgement of worth: nothing that a measurement could show would make it false"

UNMEASURED: Final[tuple[tuple[str, str], ...]] = (
    ("In 1.4 session.query() could silently trigger connections and autocommit transactions", _OLD),
    ("future=True in 1.4 surfaces deprecation warnings that map directly to 2.0 requirements", _OLD),
    ("Warnings treated as informational guarantee runtime failures upon upgrading to 2.0", _OLD),
    ("Upgrading is a fundamental architectural shift rather than a simple version bump", _WORTH),
    ("Decoupling persistence models from API contracts is the production standard", _WORTH),
    ("MappedAsDataclass and typed columns align with modern Python typing standards", _WORTH),
    (
        "Typed columns let IDEs and type checkers infer exact column types",
        "it takes a type checker, which the lab does not need; what is left of it at run time is nullability",
    ),
    (
        "Implicit autocommit and connection borrowing lead to connection exhaustion and deadlocks",
        "2.0 has no implicit autocommit (explicit-boundaries); what exhausts a pool today is asyncsession-closing",
    ),
    (
        "The migration eliminates implicit state leakage",
        "too vague to be wrong; one state that leaks, SET to the next user of a connection, is a matter of the pool",
    ),
    (
        "selectinload() trades slight network overhead for predictable memory and index utilization",
        "rows and statements are counted (joined-vs-selectin); whether an index is used depends on your statistics",
    ),
    (
        "pool_size=20, max_overflow=10, pool_recycle=1800",
        "settings, not claims: what each does under every fault is a matter of the pool",
    ),
    (
        "Distributed databases require tuning of statement timeouts and connection validation intervals",
        "a matter of the pool; lab.db.resilient_engine sets them all",
    ),
    (
        "pool_pre_ping=True is critical for cloud-managed databases",
        "their networks are not here; what it does for each way in which a connection dies is (pre-ping)",
    ),
)
"""(sentence, reason)."""
