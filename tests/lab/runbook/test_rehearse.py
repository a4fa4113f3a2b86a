"""Runbooks are rehearsed on a real cluster: by the book, by a person, and by one who is told nothing."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from lab.clusters.base import ON_THE_WAY, Capability, Cluster
from lab.errors import NotCapable, UsageError
from lab.journal import read_journal
from lab.replay import recheck, repeatable
from lab.runbook import Drill, Runbook, find, mystery, parse, problems_of, rehearse_on, shipped
from lab.runbook.ability import nodes_of, require_able
from lab.runbook.desk import Desk
from lab.runbook.log import comparison, markdown, read_drills, write_drill
from lab.runbook.stage import Stage
from lab.verdict import Verdict
from tests.lab.runbook.test_parse import GOOD
from tests.lab.test_cli import environment, lab, left_behind, read_until, running

QUICK = "rolling-upgrade"
"""The runbook of the ordinary suite; the others are marked slow."""


def explain(drill: Drill) -> str:
    """Return everything that a rehearsal showed."""
    return "\n".join([*map(str, drill.findings), *map(str, drill.steps)])


class Script:
    """An operator who types what was written down before."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)

    async def next(self) -> str | None:
        """Return the next line."""
        return self._lines.pop(0) if self._lines else None


def test_every_shipped_runbook_is_in_order() -> None:
    count, problems = problems_of([])

    assert (count, problems) == (10, [])
    assert all(find(name).title for name in shipped())


@pytest.mark.parametrize("name", [n if n == QUICK else pytest.param(n, marks=pytest.mark.slow) for n in shipped()])
async def test_a_runbook_heals_what_it_injects(name: str, cluster: Cluster, seed: int, journal: Path) -> None:
    drill = await rehearse_on(cluster, find(name), seed=seed, journal=journal)

    assert drill.verdict is Verdict.PASS, explain(drill)
    times = [drill.times.detect, drill.times.diagnose, drill.times.mitigate, drill.times.recover]
    assert None not in times
    assert times == sorted(times, key=lambda seconds: seconds or 0.0)
    assert drill.service.operations > 0
    assert [span for span in drill.faults if span.fired]


def short(text: str = GOOD) -> Runbook:
    """Return a runbook with little patience, after *text*."""
    return parse(text.replace("recover: 5 s", "recover: 0.3 s"), "short.md")


async def test_a_remedy_that_does_not_heal_fails_its_verification(cluster: Cluster, seed: int, journal: Path) -> None:
    wrong = short(GOOD.replace("gateway {node} up", "app recycle"))

    drill = await rehearse_on(cluster, wrong, seed=seed, journal=journal)

    assert drill.verdict is Verdict.FAIL
    assert [finding.check for finding in drill.findings if finding.verdict is Verdict.FAIL] == ["remedy"]
    assert drill.times.recover is None
    await cluster.healthy(10.0)


async def test_signals_that_do_not_show_fail_the_rehearsal(cluster: Cluster, seed: int, journal: Path) -> None:
    blind = short(GOOD.replace("=> < 3", "=> < 1").replace("detect: 5 s", "detect: 0.1 s"))

    drill = await rehearse_on(cluster, blind, seed=seed, journal=journal)

    assert [finding.check for finding in drill.findings if finding.verdict is Verdict.FAIL] == ["signals"]
    await cluster.healthy(10.0)


async def test_a_service_level_out_of_its_bounds_fails_the_rehearsal(
    cluster: Cluster, seed: int, journal: Path
) -> None:
    strict = parse(GOOD.replace("p99: 8 s", "p99: 0.0001 s"), "strict.md")

    drill = await rehearse_on(cluster, strict, seed=seed, journal=journal)

    assert [finding.check for finding in drill.findings if finding.verdict is Verdict.FAIL] == ["service level"]


class _Lacking:
    name = "embedded"
    capabilities = frozenset({Capability.TOXICS})
    node_names = ("n1",)


def test_what_a_cluster_lacks_is_named_before_anything_is_touched() -> None:
    lacking: Cluster = _Lacking()  # type: ignore[assignment]
    only_nodes = parse(GOOD.replace("otherwise: gateway one node down\n", ""), "x.md")

    with pytest.raises(NotCapable, match="'x' needs gateway loss, node kill, which the cluster 'embedded'"):
        require_able(only_nodes, lacking)
    with pytest.raises(NotCapable, match="'storm' needs wire rules"):
        require_able(replace(find("connection-storm"), name="storm"), lacking)
    many = parse(GOOD.replace("answers every node => = 3", "answers every node => = 5"), "many.md")
    assert nodes_of(many, {"postgresql"}) == 5
    lacking.capabilities = ON_THE_WAY  # type: ignore[misc]
    with pytest.raises(NotCapable, match=r"'node-slow' needs 3 nodes, and the cluster 'embedded' has 1$"):
        require_able(find("node-slow"), lacking)


def played(said: Sequence[str]) -> str:
    """Return what a person has seen."""
    return "\n".join(said)


async def test_an_operator_acts_and_the_lab_verifies(cluster: Cluster, seed: int, journal: Path) -> None:
    said: list[str] = []
    desk = Desk(
        Script("help", "show remedy", "status", "reboot n1", "app servd", "done", "diagnosed gateway",
               "gateway every node up", *["done"] * 10),
        mystery=False, within=2.0, prompt=False,
    )  # fmt: skip

    drill = await rehearse_on(
        cluster, short(), seed=seed, journal=journal, player=desk, mode="operator", say=said.append
    )

    assert drill.verdict is Verdict.PASS, explain(drill)
    assert drill.diagnosis == "gateway"
    for sign in ("give up", "gateway {node} up", "2 of 3 answer", "unknown command 'reboot'", "did you mean served",
                 "not healed", "diagnosed: gateway", "healed"):  # fmt: skip
        assert sign in played(said), sign


async def test_a_mystery_is_told_at_the_end_only(cluster: Cluster, seed: int, journal: Path) -> None:
    said: list[str] = []
    chosen = mystery([short()], seed)(cluster)
    told_before: list[str] = []

    class Watching(Script):
        async def next(self) -> str | None:
            told_before[:] = said
            return await super().next()

    desk = Desk(
        Watching(
            "show Remedy", "ping {node}", "answers every node", "diagnosed short", "gateway every node up", "done"
        ),
        mystery=True,
        prompt=False,
    )
    drill = await rehearse_on(cluster, chosen, seed=seed, journal=journal, player=desk, mode="mystery", say=said.append)

    assert drill.verdict is Verdict.PASS, explain(drill)
    assert "A node is lost" not in played(told_before)
    assert "name the node" in played(told_before)
    assert "it was: A node is lost [short]: gateway one node down" in played(said)
    assert "you said: short, which is right" in played(said)


@pytest.mark.parametrize("lines", [("give up",), ()], ids=["gives up", "hangs up"])
async def test_who_gives_up_has_failed_and_all_is_healed(
    lines: tuple[str, ...], cluster: Cluster, seed: int, journal: Path
) -> None:
    said: list[str] = []
    desk = Desk(Script(*lines), mystery=True, prompt=False)

    drill = await rehearse_on(
        cluster, short(), seed=seed, journal=journal, player=desk, mode="mystery", say=said.append
    )

    assert drill.verdict is Verdict.FAIL
    assert "it was: A node is lost" in played(said)
    await cluster.healthy(10.0)


async def test_a_cancelled_rehearsal_is_healed(cluster: Cluster, seed: int, journal: Path) -> None:
    begun = asyncio.Event()

    async def hang(_stage: Stage) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(rehearse_on(cluster, short(), seed=seed, journal=journal, player=hang))
    async with asyncio.timeout(60):
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await cluster.healthy(10.0)
    assert [span.fault.partition(" of ")[0] for span in read_journal(journal).history.faults] == ["gateway"]


async def test_drills_are_kept_and_shown_beside_the_last_one(
    cluster: Cluster, seed: int, journal: Path, tmp_path: Path
) -> None:
    drill = await rehearse_on(cluster, short(), seed=seed, journal=journal)
    later = replace_started(drill)
    folder = tmp_path / "drills"

    write_drill(drill, folder)
    data, page = write_drill(later, folder, journal)

    first, second = read_drills(folder)
    assert (first, msgspec.structs.replace(second, journal="")) == (drill, later)
    assert f"| journal | [{second.journal}](" in page.read_text(encoding="utf-8")
    judged = recheck(folder / second.journal)
    assert judged.verdict is Verdict.PASS
    assert {"signals", "remedy", "service level", "conserved"} <= {finding.check for finding in judged.findings}
    with pytest.raises(UsageError, match=f"'lab rehearse short --seed {seed}' rehearses again"):
        repeatable(folder / second.journal, judged.journal)
    assert data.suffix == ".json"
    assert f"last drill ({drill.started}, automatic)" in page.read_text(encoding="utf-8")
    assert "| time to recover |" in markdown(drill, None)
    assert [line.split()[0] for line in comparison([drill, later])] == ["runbook", "short", "short"]


def replace_started(drill: Drill) -> Drill:
    """Return the drill as if it had been a year later."""
    return msgspec.structs.replace(drill, started="2999-01-01T00:00:00+00:00")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_checks_lists_and_refuses(root: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.md"
    wrong.write_text(GOOD.replace("app served", "app servd"), encoding="utf-8")

    good, bad = lab(root, "rehearse", "--check"), lab(root, "rehearse", "--check", wrong)
    unknown, none = lab(root, "rehearse", "node-los"), lab(root, "rehearse")

    assert (good.returncode, good.stdout) == (0, "10 runbooks in order\n")
    assert bad.returncode == 2
    assert f"{wrong}:24: unknown signal 'servd'" in bad.stdout
    assert (unknown.returncode, none.returncode) == (2, 2)
    assert "unknown runbook 'node-los': did you mean node-lost" in unknown.stderr
    assert left_behind(root) == []


@pytest.mark.slow
def test_ctrl_c_heals_and_leaves_nothing(root: Path) -> None:
    with running(root, "rehearse", "node-lost", "--operator") as process:
        read_until(process, "'help' names the commands")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGINT
    assert "everything was healed, stopped and removed" in told
    assert left_behind(root) == []


@pytest.mark.slow
def test_a_mystery_is_played_in_a_terminal(root: Path) -> None:
    ours, theirs = pty.openpty()
    runbook = root / "gone.md"
    runbook.write_text(GOOD, encoding="utf-8")
    command = [sys.executable, "-m", "lab.cli", "rehearse", str(runbook), "--mystery", "--seed", "5"]
    with subprocess.Popen(command, env=environment(root), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            answers = {b"'help' names": b"gateway every node up\n", b"->  done": b"done\n"}
            while True:
                seen += (chunk := _read(ours))
                for sign in [sign for sign in answers if sign in seen]:
                    os.write(ours, answers.pop(sign))
                if not chunk:
                    break
            process.wait(60)
        finally:
            process.kill()
            os.close(ours)

    assert process.returncode == 0, seen.decode()
    assert b"lab> " in seen
    assert b"it was: A node is lost [gone]" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end is closed
        return b""
