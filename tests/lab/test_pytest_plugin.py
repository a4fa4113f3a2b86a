"""The pytest plugin as other people's suites meet it: real pytest processes, real clusters, nothing left behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from lab import pytest_plugin
from lab.clusters import CLUSTERS
from lab.testing import MOMENTS
from tests.conformance.clusters import take_standin_images
from tests.lab.test_cli import environment, eventually, left_behind

pytest_plugins = "pytester"

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "orders"
DOCS = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- run: (\w+\.py) -->\n```python\n(.*?)```", re.DOTALL)
PATIENCE = 110

HEAVY = ("sqlalchemy", "asyncpg", "psycopg", "aiohttp", "numpy", "msgspec", "lab.testing", "lab.clusters", "faults")

USE = """
import asyncio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

async def write(engine):
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS t (a int)"))
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO t VALUES (1)"))
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, root: Path) -> Iterator[pytest.Pytester]:
    """A suite of somebody else's, where every warning is an error, whose clusters leave nothing."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n")
    yield pytester
    assert left_behind(root) == []


def run(suite: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *arguments, timeout=PATIENCE)


def of_report(folder: Path) -> dict[str, dict[str, Any]]:
    tests = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tests"]
    return {test["test"].rpartition("::")[2]: test for test in tests}


# --- without a cluster ------------------------------------------------------------------------------------------------


def test_a_session_that_does_not_use_the_lab_imports_nothing_of_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        f"""
        import sys

        def test_nothing(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("resilience-lab")
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """
    )
    result = run(suite, "--lab-seed", "3")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["resilience lab: cluster embedded, seed 3 *"])
    result.stdout.no_fnmatch_line("*faults struck*")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("'lost-akc'", "unknown fault 'lost-akc': did you mean lost-ack*"),
        ("'4000'", "unknown fault '4000': did you mean 40001*"),
        ("'00000-at-commit'", "fault '00000-at-commit': sqlstate '00000' is none*"),
        ("'latency@2'", "fault 'latency' lasts until it is healed: it has no moments to count"),
        ("faults='lost-ack'", "resilience: faults=[[]...[]] is a list, not 'lost-ack'"),
        ("3", "a fault is a name, a rule, a toxic or a fault of faults.plan, not 3"),
        ("'reset', must_fir=False", "unknown option of resilience 'must_fir': did you mean must_fire*"),
        ("needs=['server crush']", "unknown capability 'server crush': did you mean server crash*"),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused_in_one_line_when_collected(
    suite: pytest.Pytester, arguments: str, said: str
) -> None:
    suite.makepyfile(f"import pytest\n\n@pytest.mark.resilience({arguments})\ndef test_it(): ...")
    result = suite.runpytest_inprocess("-p", "no:cacheprovider", "--collect-only")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*test_it: {said}"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lab-cluster", "embeded"], "*--lab-cluster: unknown cluster 'embeded': did you mean embedded*"),
        (["--lab-seed", "-1"], "*--lab-seed: a seed is 0 or more*"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_is_collected(
    suite: pytest.Pytester, arguments: list[str], said: str
) -> None:
    result = suite.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_a_cluster_that_this_machine_cannot_run_is_an_error_of_one_line(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(lab_url): ...")
    result = suite.runpytest_inprocess("-p", "no:cacheprovider", "--lab-cluster", "external")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["resilience lab: the cluster 'external' needs its addresses: *"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_plugin_knows_the_names_of_all_clusters() -> None:
    assert set(pytest_plugin.CLUSTER_NAMES) == set(CLUSTERS)


@pytest.mark.parametrize("name", MOMENTS)
def test_a_fault_has_its_row_in_the_docs(name: str) -> None:
    assert f"| `{name}` | {MOMENTS[name].says} |" in DOCS


@pytest.mark.parametrize("name", sorted(pytest_plugin.USES | {"lab_seed"}))
def test_a_fixture_is_in_the_docs(name: str) -> None:
    assert re.search(rf"^\|.*`{name}`", DOCS, re.MULTILINE)


# --- with one ---------------------------------------------------------------------------------------------------------

EVERYTHING = """
from lab.testing import NotFired

async def test_engine(lab_engine):
    await write(lab_engine)

def test_loops_of_a_synchronous_test(lab_engine):
    asyncio.run(write(lab_engine))
    asyncio.run(write(lab_engine))

@pytest.mark.resilience(faults=["lost-ack@2", "40001-at-commit@2", "reset", "57P01-at-commit@2"])
async def test_struck(lab_engine):
    with pytest.raises(DBAPIError):
        await write(lab_engine)

@pytest.mark.resilience("lost-ack@3")
async def test_silent(lab_engine):
    await write(lab_engine)

@pytest.mark.resilience("lost-ack@3", must_fire=False)
async def test_silent_and_allowed(lab_engine):
    await write(lab_engine)

@pytest.mark.resilience("lost-request", armed=False)
async def test_by_hand(lab_engine, lab_moment):
    await write(lab_engine)
    async with lab_moment:
        with pytest.raises(DBAPIError):
            await write(lab_engine)
    assert (lab_moment.fired, lab_moment.applied) == (1, 0)

@pytest.mark.resilience(needs=["node kill"])
def test_beyond_it(): ...

async def test_a_block(lab_engine, lab_faults):
    await write(lab_engine)
    with pytest.raises(NotFired, match="no statement matched"):
        with lab_faults("lost-ack", application_name="somebody else"):
            await write(lab_engine)
    with lab_faults("lost-ack") as fault, pytest.raises(DBAPIError):
        await write(lab_engine)
    assert fault.applied == 1

def test_left_armed(lab_faults):
    lab_faults.arm("gateway-down", must_fire=False)

def test_healed_by_then(lab_dsn):
    import psycopg
    psycopg.connect(lab_dsn).close()

def test_names(lab_faults, lab_scenario):
    with pytest.raises(Exception, match="did you mean latency"):
        lab_faults("latncy")
    with pytest.raises(Exception, match="did you mean n1|there are n1, n2, n3"):
        lab_faults("latency", on="n9")
    with pytest.raises(Exception, match="did you mean latency"):
        lab_scenario("latncy")
"""


def test_fixtures_and_marker_do_what_they_say_and_the_report_tells(suite: pytest.Pytester, tmp_path: Path) -> None:
    suite.makepyfile(USE + EVERYTHING)
    report = tmp_path / "report"
    result = run(suite, "-o", "asyncio_mode=auto", "--lab-report", report, "-rs", "--strict-markers")
    result.assert_outcomes(passed=12, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "fault 'lost-ack@3#1' did not strike (no statement matched): the test shows nothing about it",
            "resilience lab: * faults struck in * tests, on PostgreSQL *",
            "SKIPPED * the cluster 'embedded' lacks node kill",
        ]
    )
    found = of_report(report)
    assert found["test_silent[lost-ack@3]"]["outcome"] == "failed"
    [struck] = found["test_struck[lost-ack@2]"]["faults"]
    assert (struck["events"], struck["applied"]) == (1, 1)
    assert "test_struck[lost-ack@2]" in (report / "summary.md").read_text(encoding="utf-8")
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "1 statements struck, of which the server has done 1" in page
    suite_of_tests = ET.parse(report / "junit.xml").getroot().find("testsuite[@name='tests']")  # noqa: S314
    assert suite_of_tests is not None
    wrong = {case.get("name", "").rpartition("::")[2] for case in suite_of_tests.iter("testcase") if len(case)}
    assert wrong == {"test_silent[lost-ack@3]"}


@pytest.mark.slow
def test_every_example_of_the_docs_passes(suite: pytest.Pytester) -> None:
    blocks = dict(BLOCK.findall(DOCS))
    assert len(blocks) == DOCS.count("```python")
    for name, source in blocks.items():
        (suite.path / name).write_text(source, encoding="utf-8")
    result = run(suite, "-o", "asyncio_mode=auto")
    result.assert_outcomes(passed=sum(source.count("def test_") for source in blocks.values()) + 2)


@pytest.mark.slow
def test_strict_asyncio_and_anyio_share_a_session(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        USE
        + """
@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param

@pytest.mark.asyncio
@pytest.mark.resilience("lost-ack@2")
async def test_strict(lab_engine):
    with pytest.raises(DBAPIError):
        await write(lab_engine)

@pytest.mark.anyio
@pytest.mark.resilience("lost-ack@2")
async def test_anyio(anyio_backend, lab_engine):
    with pytest.raises(DBAPIError):
        await write(lab_engine)
"""
    )
    run(suite, "-o", "asyncio_mode=strict").assert_outcomes(passed=2)


@pytest.mark.slow
def test_each_worker_of_xdist_has_a_cluster_of_its_own_and_the_report_is_one(
    suite: pytest.Pytester, tmp_path: Path
) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_where(lab_dsn, lab_faults, worker_id, number):
            print(f"<{worker_id} {lab_dsn}>")
            with lab_faults("latency") as fault:
                import psycopg
                psycopg.connect(lab_dsn).close()

        def test_traffic(lab_scenario):
            assert lab_scenario("lost-acks").verdict == "pass"
        """
    )
    report = tmp_path / "report"
    result = run(suite, "-n", "2", "--dist", "each", "-rP", "--lab-report", report)
    result.assert_outcomes(passed=6)
    places = {*re.findall(r"<(gw\d) (\S+)>", result.stdout.str())}
    assert len({worker for worker, _ in places}) == len({dsn for _, dsn in places}) == 2
    found = of_report(report)
    assert set(found) == {"test_where[0]", "test_where[1]", "test_traffic"}
    assert len(found["test_traffic"]["journals"]) == 2
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.count('data-chart="ops"') - page.count(".chart[data-chart") == 2


# --- the example ------------------------------------------------------------------------------------------------------


def example(root: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments]
    done = subprocess.run(
        command, cwd=EXAMPLE, env=environment(root), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert left_behind(root) == []
    return done.returncode, done.stdout + done.stderr


def test_the_example_finds_the_one_fault_that_a_wrong_policy_does_not_survive(root: Path) -> None:
    code, output = example(root, "--policy", "wrong", "-k", "placed_once and (lost or 40001)")
    assert code == 1, output
    failed = re.findall(r"^FAILED \S+::(\S+)", output, re.MULTILINE)
    assert failed == ["test_an_order_is_placed_once_whatever_strikes[lost-ack]"]
    assert " 3 passed" in output


@pytest.mark.slow
def test_the_whole_suite_of_the_example_passes(root: Path) -> None:
    code, output = example(root)
    assert code == 0, output


@pytest.mark.slow
def test_the_suite_of_the_example_finds_all_that_is_wrong_with_the_wrong_policy(root: Path) -> None:
    code, output = example(root, "--policy", "wrong")
    failed = set(re.findall(r"^FAILED \S+::(\S+)", output, re.MULTILINE))
    assert code == 1
    assert {
        "test_an_order_is_placed_once_whatever_strikes[lost-ack]",
        "test_an_order_is_placed_once_whatever_strikes[ambiguous-commit]",
        "test_a_lost_acknowledgement_is_an_order_all_the_same",
        "test_the_policy_is_safe",
    } <= failed


@pytest.mark.soak
@pytest.mark.cluster
def test_the_suite_of_the_example_runs_on_containers(root: Path, tmp_path: Path) -> None:
    take_standin_images()
    code, output = example(root, "--lab-cluster", "compose", f"--lab-report={tmp_path}", "-k", "gateway or lost-ack")
    if "resilience lab: no Docker engine" in output:
        pytest.skip("no Docker engine answers")
    assert code == 0, output
    assert "3 containers behind Toxiproxy" in (tmp_path / "report.html").read_text(encoding="utf-8")


# --- the end ----------------------------------------------------------------------------------------------------------

WAITS = "import time\n\ndef test_waits(lab_url):\n    print('waiting', flush=True)\n    time.sleep(600)\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_an_ended_session_has_left_is_gone_at_once_or_with_the_next(
    tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    (tmp_path / "test_it.py").write_text(WAITS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", str(tmp_path)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(root), text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert any("waiting" in line for line in process.stdout)
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
    if number != signal.SIGKILL:
        assert left_behind(root) == []
    else:
        assert left_behind(root) != []
        (tmp_path / "test_it.py").write_text("def test_next(lab_url): ...", encoding="utf-8")
        subprocess.run(command, cwd=tmp_path, env=environment(root), timeout=PATIENCE, check=True)
    eventually(lambda: left_behind(root) == [])
