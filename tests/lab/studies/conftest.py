"""Where the studies of these tests run."""

from __future__ import annotations

import pytest

from lab.clusters.postgres import PostgresServer
from lab.db.target import Address, Target


@pytest.fixture(scope="session")
def target(postgres: PostgresServer) -> Target:
    """The shared server."""
    address = Address(postgres.host, postgres.port)
    return Target("postgresql", (address,), postgres.user, postgres.password, postgres.database)
