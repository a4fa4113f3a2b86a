"""A command loads what it needs; Ctrl-C meanwhile is answered like any other."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest

from lab.entry import main


def test_an_interrupt_while_loading_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    load = builtins.__import__

    def interrupted(name: str, *rest: Any, **more: Any) -> Any:
        if name == "lab.cli":
            raise KeyboardInterrupt
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", interrupted)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 130
    assert capfd.readouterr().err == "lab: interrupted\n"


def test_a_command_that_only_looks_does_not_load_what_others_run_with() -> None:
    code = "import sys; from lab.cli import command_called; command_called('status'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert "lab.commands.standing" in loaded
    assert not {"sqlalchemy", "numpy", "aiohttp", "docker", "lab.commands.run"} & set(loaded)
