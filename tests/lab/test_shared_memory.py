"""What postmaster.pid says is read whatever the folder's name is made of: the file holds that too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab._shared_memory import Segment, recorded_segment
from lab.clusters._postmaster import is_ready


@pytest.mark.parametrize("name", [b"plain", "ünï cö".encode(), b"\xff"])
def test_a_folder_of_any_name_is_read(tmp_path: Path, name: bytes) -> None:
    lines = [b"4711", name, b"1700000000", b"20001", b"", b"127.0.0.1", b"  1234  5678", b"ready   "]
    (tmp_path / "postmaster.pid").write_bytes(b"\n".join(lines) + os.linesep.encode())

    assert recorded_segment(tmp_path) == Segment(4711, 1234, 5678)
    assert is_ready(tmp_path, 4711)
