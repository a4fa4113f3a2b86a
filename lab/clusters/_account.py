"""The account that a PostgreSQL server runs as: it refuses root, so root lends it the account nobody."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.errors import EnvironmentProblem


@dataclass(frozen=True, slots=True)
class Account:
    """A user to start programs as; *uid* and *gid* are None for the user that we are."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path) -> None:
        """Give *path* to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def start(
        self, command: Sequence[str | Path], environment: Mapping[str, str], output: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start *command* in a session of its own, so that the terminal's Ctrl-C reaches the lab alone.

        Raises:
            OSError: the program cannot be executed by the account.
        """
        return subprocess.Popen(
            command,
            cwd="/",
            env={key: value for key, value in environment.items() if not key.startswith("PG")} | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )


def server_account() -> Account:
    """Return the account for a database server: nobody if we are root, else ourselves.

    Raises:
        EnvironmentProblem: we are root and there is no account nobody.
    """
    if os.geteuid() != 0:
        return Account("you")
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EnvironmentProblem("there is no account 'nobody' for the server", "run as an ordinary user") from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
