"""Ctrl-C while the command is loading is answered like any other."""

from __future__ import annotations

import builtins
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
