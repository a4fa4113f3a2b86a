"""Which versions of what a run depends on are installed here."""

from __future__ import annotations

import importlib.metadata

PACKAGES = ("resilience-lab", "sqlalchemy", "asyncpg", "psycopg", "tenacity")


def versions() -> dict[str, str]:
    """Return the version of each package that a run depends on."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
