"""Names mean what the files mean from which they come: in any order, in circles, and in SQLAlchemy itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import sqlalchemy

from lab.audit import audit_paths, audit_source
from lab.audit.module import Module
from lab.audit.places import home
from lab.audit.project import HOPS, Project
from tests.lab.audit.test_files import put

USES = "from {}db import Local\nasync def f():\n    with Local() as s:\n        s.commit()\n"
MAKES = "from sqlalchemy.orm import sessionmaker\nLocal = sessionmaker()\n"


def codes(*paths: Path) -> list[tuple[str, str]]:
    audit = audit_paths(paths)
    assert not audit.troubles
    return [(Path(one.path).name, one.rule.code) for one in audit.findings]


@pytest.mark.parametrize(("maker", "user"), [("db", "a"), ("db", "z")])
def test_the_order_of_files_does_not_matter(tmp_path: Path, maker: str, user: str) -> None:
    put(tmp_path / "app" / "__init__.py", "")
    made = put(tmp_path / "app" / f"{maker}.py", MAKES)
    used = put(tmp_path / "app" / f"{user}.py", USES.format("."))
    assert codes(tmp_path) == codes(used, made) == codes(made, used) == [(used.name, "LAB201")]


def test_a_package_is_followed_though_only_one_of_its_files_is_named(tmp_path: Path) -> None:
    put(tmp_path / "app" / "__init__.py", "")
    put(tmp_path / "app" / "db.py", MAKES)
    used = put(tmp_path / "app" / "z.py", USES.format("app."))
    assert codes(used) == [("z.py", "LAB201")]
    assert [one.rule.code for one in audit_source(used.read_bytes(), str(used))] == ["LAB201"]  # type: ignore[union-attr]


@pytest.mark.parametrize("importing", [".", "app.", ".app.", ""])
def test_folders_without_init_are_packages_where_imports_say_so(tmp_path: Path, importing: str) -> None:
    put(tmp_path / "app" / "db.py", MAKES)
    used = tmp_path / ("z.py" if importing == ".app." else "app/z.py")
    put(used, USES.format(importing))
    assert codes(tmp_path) == [("z.py", "LAB201")]


def test_what_is_none_of_the_audited_files_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "db.py", MAKES)
    used = put(tmp_path / "z.py", USES.format(""))
    assert codes(used) == []


def test_circles_of_imports_values_and_stars_come_to_an_end(tmp_path: Path) -> None:
    put(tmp_path / "app" / "__init__.py", "from .a import *\nfrom .b import *\n")
    put(tmp_path / "app" / "a.py", "from .b import Local\nfrom .b import *\nfrom . import *\nother = missing\n")
    put(tmp_path / "app" / "b.py", "from .a import Local, other\nfrom .a import *\nmissing = other\n")
    put(tmp_path / "app" / "z.py", "from .a import missing\n" + USES.format(".").replace(".db", ".a"))
    assert codes(tmp_path) == []


@pytest.mark.parametrize(("hops", "found"), [(HOPS - 2, 1), (HOPS + 1, 0)])
def test_names_are_handed_on_only_so_far(tmp_path: Path, hops: int, found: int) -> None:
    put(tmp_path / "app" / "__init__.py", "")
    put(tmp_path / "app" / "m0.py", MAKES)
    for number in range(1, hops + 1):
        put(tmp_path / "app" / f"m{number}.py", f"from .m{number - 1} import Local\n")
    put(tmp_path / "app" / "z.py", USES.format(".").replace(".db", f".m{hops}"))
    assert len(codes(tmp_path)) == found


def test_a_file_that_does_not_parse_hands_nothing_on_and_is_told_once(tmp_path: Path) -> None:
    put(tmp_path / "app" / "__init__.py", "")
    put(tmp_path / "app" / "db.py", "Local = (\n")
    put(tmp_path / "app" / "a.py", USES.format("."))
    audit = audit_paths([tmp_path])
    assert [Path(one.path).name for one in audit.troubles] == ["db.py"]
    assert audit.findings == ()


@pytest.mark.parametrize(
    ("line", "name", "canonical"),
    [
        ("from .session import Session", "Session", "sqlalchemy.orm.session.Session"),
        ("from . import Session", "Session", "sqlalchemy.orm.Session"),
        ("from ..engine import Engine as E", "E", "sqlalchemy.engine.Engine"),
        ("from .. import engine", "engine", "sqlalchemy.engine"),
        ("from ....beyond import Session", "Session", None),
    ],
)
def test_a_relative_import_in_sqlalchemy_is_a_name_of_sqlalchemy(line: str, name: str, canonical: str | None) -> None:
    path = str(Path(sqlalchemy.__file__).parent / "orm" / "identity.py")
    assert home(path).name == "sqlalchemy.orm.identity"
    tree = ast.parse(f"{line}\n{name}\n")
    module = Module(tree, path, Project())
    used = tree.body[-1]
    assert isinstance(used, ast.Expr)
    if canonical is not None:
        assert module.resolve(used.value) == canonical
        assert module.sqlalchemy(used.value) == canonical.rpartition(".")[2]
