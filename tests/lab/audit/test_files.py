"""Which files are read, in which order, and what is said of those that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.audit import audit_paths
from lab.audit.files import LARGEST
from lab.errors import UsageError

MISTAKE = "import time\nasync def f():\n    time.sleep(1)\n"


def put(path: Path, content: str | bytes = MISTAKE) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_folders_are_walked_in_order_and_those_of_others_are_not_entered(tmp_path: Path) -> None:
    for name in (
        "b/z.py",
        "b/a.py",
        "a.py",
        "c.txt",
        ".venv/x.py",
        "node_modules/x.py",
        "b/__pycache__/x.py",
        ".git/x.py",
    ):
        put(tmp_path / name)
    audit = audit_paths([tmp_path])
    assert [Path(one.path).relative_to(tmp_path).as_posix() for one in audit.findings] == ["a.py", "b/a.py", "b/z.py"]
    assert audit.files == 3


def test_a_file_that_is_named_twice_is_read_once_and_whatever_its_suffix(tmp_path: Path) -> None:
    script = put(tmp_path / "script")
    assert len(audit_paths([script, script, tmp_path]).findings) == 1


def test_a_path_that_is_not_there_answers_with_the_nearest(tmp_path: Path) -> None:
    put(tmp_path / "source.py")
    with pytest.raises(UsageError, match=r"did you mean .*source\.py"):
        audit_paths([tmp_path / "sourc.py"])


def test_what_does_not_parse_is_told_with_its_line_and_the_rest_is_audited(tmp_path: Path) -> None:
    put(tmp_path / "a.py", "x = 1\ndef broken(:\n")
    put(tmp_path / "b.py")
    audit = audit_paths([tmp_path])
    assert [(Path(one.path).name, one.line) for one in audit.troubles] == [("a.py", 2)]
    assert "does not parse" in audit.troubles[0].problem
    assert [Path(one.path).name for one in audit.findings] == ["b.py"]
    assert not audit.good


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\0\0", "binary"),
        ("x = 1\n".encode("utf-16"), "binary"),
        (b"#" * (LARGEST + 1), f"more than {LARGEST}"),
    ],
)
def test_binary_and_huge_files_are_skipped_with_a_word(tmp_path: Path, content: bytes, said: str) -> None:
    put(tmp_path / "x.py", content)
    audit = audit_paths([tmp_path])
    assert said in audit.skipped[0].why
    assert audit.good


def test_a_link_that_leads_round_in_a_circle_is_skipped_with_a_word(tmp_path: Path) -> None:
    put(tmp_path / "app" / "x.py")
    (tmp_path / "app" / "again").symlink_to(tmp_path)
    audit = audit_paths([tmp_path])
    assert len(audit.findings) == 1
    assert [one.why for one in audit.skipped] == ["a link that leads round in a circle"]


def test_a_link_that_leads_to_itself_or_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "self.py").symlink_to(tmp_path / "self.py")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "gone.py")
    put(tmp_path / "x.py")
    audit = audit_paths([tmp_path])
    assert sorted(Path(one.path).name for one in audit.troubles) == ["nowhere.py", "self.py"]
    assert len(audit.findings) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    assert [one.why for one in audit_paths([tmp_path]).skipped] == ["no regular file"]


def test_a_coding_cookie_is_respected(tmp_path: Path) -> None:
    put(
        tmp_path / "x.py",
        "# coding: latin-1\nimport time\nasync def f():\n    x = 'ä', time.sleep(1)\n".encode("latin-1"),
    )
    (finding,) = audit_paths([tmp_path]).findings
    assert finding.source == "x = 'ä', time.sleep(1)"


@pytest.mark.parametrize(
    "content",
    [b"x = '\xff'\n", b"# coding: no-such\nx = 1\n", b"(" * 300 + b")" * 300, b"x = " + b"-" * 100_000 + b"1\n"],
    ids=["not UTF-8", "unknown coding", "parentheses", "signs"],
)
def test_what_python_itself_refuses_is_trouble_and_no_traceback(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "x.py", content)
    (trouble,) = audit_paths([tmp_path]).troubles
    assert trouble.problem.startswith(("does not parse", "is nested too deeply"))


def test_a_chain_of_calls_as_long_as_a_file_is_no_traceback(tmp_path: Path) -> None:
    chain = "from sqlalchemy import select\nx = select(1)" + ".where(1)" * 900 + ".join('x')\n"
    put(tmp_path / "x.py", chain)
    put(tmp_path / "y.py")
    audit = audit_paths([tmp_path])
    assert "y.py" in {Path(one.path).name for one in audit.findings}
    assert audit.files + len(audit.troubles) >= 2
