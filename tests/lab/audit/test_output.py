"""The command, its exit codes, and what it writes for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.audit import RULES
from lab.cli import exit_code

CORPUS = Path(__file__).parent / "corpus"
BAD = CORPUS / "bad" / "isolation.py"
GOOD = CORPUS / "good" / "engines.py"


def test_no_finding_is_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["audit", str(GOOD)]) == 0
    assert capsys.readouterr().out == "1 file: 0 findings\n"


def test_a_finding_is_exit_1_and_says_place_why_proof_and_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["audit", str(BAD)]) == 1
    said = capsys.readouterr().out
    rule = RULES["LAB213"]
    assert said.startswith(f"{BAD}\n  11:18 LAB213 isolation_level on execute(): ")
    assert f"proof lab {rule.proof}\n" in said
    assert said.count(rule.why) == said.count(rule.mend) == 1
    assert said.endswith("1 file: 4 findings\n")


def test_what_does_not_parse_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "x.py"
    broken.write_text("x = 1\nx = (\n", encoding="utf-8")
    assert exit_code(["audit", str(broken)]) == 1
    said = capsys.readouterr().out
    assert f"{broken}:2: does not parse: '(' was never closed" in said
    assert said.endswith("0 findings, 1 file not judged\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-path"], "unknown path 'no-such-path'"),
        ([str(BAD), "--select", "LAB9101"], "did you mean LAB101"),
        ([str(BAD), "--json", "--sarif"], "choose one"),
        ([], "Missing argument"),
        ([""], "empty"),
    ],
)
def test_a_wrong_request_is_exit_2_in_one_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["audit", *arguments]) == 2
    told = capfd.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_rules_are_chosen_by_options(capsys: pytest.CaptureFixture[str]) -> None:
    engines = str(CORPUS / "bad" / "engines.py")
    assert exit_code(["audit", engines, "--select", "lab303,LAB101", "--json"]) == 1
    assert {one["code"] for one in json.loads(capsys.readouterr().out)["findings"]} == {"LAB303"}
    assert exit_code(["audit", engines, "--ignore", "LAB301, LAB302", "--ignore", "LAB303"]) == 0


def test_json_has_every_finding_with_all_that_the_terminal_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["audit", str(BAD), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    rule = RULES["LAB213"]
    assert [one["line"] for one in told["findings"]] == [11, 18, 23, 28]
    first = told["findings"][0]
    assert (first["code"], first["why"], first["mend"]) == (rule.code, rule.why, rule.mend)
    assert first["proof"] == f"lab {rule.proof}"
    assert (told["files"], told["troubles"], told["skipped"]) == (1, [], [])


def test_sarif_points_at_every_finding_and_its_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "a file.py"
    broken.write_text("x = (\n", encoding="utf-8")
    (tmp_path / "b.py").write_bytes(b"\0")
    assert exit_code(["audit", str(BAD), str(tmp_path), "--sarif"]) == 1
    log = json.loads(capsys.readouterr().out)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert log["version"] == "2.1.0"
    assert [rule["id"] for rule in rules] == list(RULES)
    assert len(run["results"]) == 4
    for result in run["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "LAB213"
        assert place["artifactLocation"]["uri"] == BAD.as_uri()
        assert place["region"]["startLine"] >= 1 <= place["region"]["startColumn"]
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    told = [
        (one["level"], one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        for one in invocation["toolExecutionNotifications"]
    ]
    assert told == [("error", broken.as_uri()), ("note", (tmp_path / "b.py").as_uri())]


def test_a_relative_path_is_a_relative_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my app").mkdir()
    (tmp_path / "my app" / "x.py").write_text("import time\nasync def f():\n    time.sleep(1)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert exit_code(["audit", "my app", "--sarif"]) == 1
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "my%20app/x.py"


def test_what_is_skipped_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.py").write_bytes(b"\0")
    assert exit_code(["audit", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'x.py'}: skipped: a binary file\n0 files: 0 findings, 1 skipped\n"


def flake8(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run flake8, isolated from any configuration."""
    command = [sys.executable, "-m", "flake8", "--isolated", "-j1", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_flake8_shows_the_same_findings_at_the_same_places(capsys: pytest.CaptureFixture[str]) -> None:
    shown = flake8("--select=LAB", "--format=%(path)s:%(row)d:%(col)d:%(code)s", CORPUS / "bad")
    assert exit_code(["audit", str(CORPUS / "bad"), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    expected = [f"{one['path']}:{one['line']}:{one['column']}:{one['code']}" for one in findings]
    # flake8 tells two findings of one code and place once.
    assert sorted(set(shown.stdout.split("\n")) - {""}) == sorted(set(expected))
    assert shown.returncode == 1, shown.stderr


def test_flake8_finds_nothing_in_good_code_and_minds_noqa() -> None:
    shown = flake8("--select=LAB", CORPUS / "good")
    assert (shown.stdout, shown.returncode) == ("", 0)


def test_the_plugin_needs_no_flake8() -> None:
    code = "import sys; sys.modules['flake8'] = None; import lab.audit.flake8 as it; print(it.Plugin.name)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "lab-audit\n"
