"""Which cluster a user asks for: a name and what that cluster wants to know, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """A cluster's *name*, and options of which each belongs to some clusters.

    *binary* is CockroachDB's program (local); *dsns* lead to a cluster of the user's own (external). *toxiproxy* is a
    real one to lead through: its URL, host:port, an object of toxiproxy-python, or the program that is to be started.
    """

    name: str = "embedded"
    binary: Path | None = None
    dsns: tuple[str, ...] = field(default=(), repr=False)
    toxiproxy: object = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by their names."""
        options = {"binary": self.binary, "dsns": self.dsns, "toxiproxy": self.toxiproxy}
        # One that is empty was given, too: by a variable of a shell that is not set.
        return {name: value for name, value in options.items() if value not in (None, ())}

    def arguments(self) -> tuple[str, ...]:
        """Return the words of a command line that make the same choice; a DSN is left to its reader, who knows it."""
        words = () if self.name == "embedded" else ("--cluster", self.name)
        binary = () if self.binary is None else ("--binary", str(self.binary))
        toxiproxy = ("--toxiproxy", self.toxiproxy) if isinstance(self.toxiproxy, str) else ()
        return (*words, *binary, *toxiproxy, *(("--dsn", "DSN") * len(self.dsns)))
