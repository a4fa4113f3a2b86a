"""The command: JSON and nothing else on stdout, files where they were asked for, the exit code of the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from click.testing import CliRunner

from lab.commands.validate import validate
from lab.errors import EnvironmentProblem, UsageError


@pytest.mark.usefixtures("root")
def test_a_wrong_policy_ends_with_1_and_is_reported_in_every_form(tmp_path: Path) -> None:
    files = {"--junit": tmp_path / "junit.xml", "--badge": tmp_path / "badge.svg"}
    options = [word for option, path in files.items() for word in (option, str(path))]
    place = "lab.retry.wrong:swallow"
    ended = CliRunner().invoke(validate, [place, "--json", *options], standalone_mode=False, catch_exceptions=False)
    told = json.loads(ended.stdout)
    assert (ended.return_value, told["policy"], told["accepted"]) == (1, place, False)
    assert told["dimensions"]["safety"] == "fail"
    assert Xml.parse(files["--junit"]).getroot().get("tests") == str(len(told["cases"]))  # noqa: S314 - our own
    assert "rejected" in files["--badge"].read_text()


def test_a_policy_that_is_none_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError):
        CliRunner().invoke(validate, ["no_such_module_at_all:x"], standalone_mode=False, catch_exceptions=False)


def test_a_file_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    arguments = ["lab.retry.wrong:swallow", "--junit", str(tmp_path / "none" / "x.xml")]
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        CliRunner().invoke(validate, arguments, standalone_mode=False, catch_exceptions=False)
