"""The report says what the journals hold, in a page, in JUnit XML and in Markdown, whatever words are in them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cli import exit_code
from lab.errors import EnvironmentProblem
from lab.history import Operation, Outcome, percentile
from lab.report.junit import junit_xml
from lab.report.live_server import live_view
from lab.report.markdown import summary_md
from lab.report.page.bins import Bins
from lab.report.page.charts import chart_data
from lab.report.page.commands import run_command
from lab.report.page.html import page_html
from lab.verdict import Verdict
from tests.lab.report.made import HOSTILE, PLAN, recorded, report_of, run_of, write_journal

SHA256 = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""Of the files of uplot 1.6.32, as its package has them."""


class Elements(HTMLParser):
    """The elements of a page, and the text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("name", SHA256)
def test_what_comes_from_others_is_what_they_published(name: str) -> None:
    assert hashlib.sha256(files("lab.report.page").joinpath("assets", name).read_bytes()).hexdigest() == SHA256[name]


def test_a_page_tells_verdicts_first_then_every_run_with_its_charts_ledger_findings_and_commands() -> None:
    page = page_html(report_of())
    text = " ".join("".join(Elements(page).words).split())

    places = [text.index(words) for words in ("1 fail", "gateway-lost", "Throughput", "Latency", "Faults", "Ledger")]
    assert places == sorted(places)
    assert "reported done, yet not in the database" in text
    assert text.index("✘ fail serial") < text.index("? inconclusive recovers") < text.index("✔ pass conserved")
    assert "lab run gateway-lost --cluster embedded --seed 7" in text
    assert "lab replay run.jsonl" in text
    assert "ANOMALY" in text
    assert "hermitage" in text
    assert page.count('role="img"') == 1


def test_a_page_needs_nothing_from_anywhere() -> None:
    page = Elements(page_html(report_of()))

    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]  # or a browser asks the live view for one
    assert [script.get("src") for script in page.all("script")] == [None, None, None]
    assert {str(a["href"]).partition(",")[0][:1] for a in page.all("a")} <= {"#", "d"}


def test_hostile_words_stay_words() -> None:
    plain, page = (Elements(page_html(report_of(text))) for text in ("", HOSTILE))

    assert [tag for tag, _ in page.found] != []
    assert len(page.all("script")) == len(plain.all("script")) == 3
    assert page.all("img") == []
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    assert not [href for a in page.all("a") if (href := str(a["href"])).startswith("javascript")]
    assert any("{{7*7}}" in word for word in page.words)


def test_the_policy_of_a_page_lets_its_own_scripts_run_and_no_others() -> None:
    page = page_html(report_of(HOSTILE))
    (policy,) = [meta["content"] for meta in Elements(page).all("meta") if meta.get("http-equiv")]

    assert policy is not None
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_a_page_without_data_is_small_and_one_of_many_operations_hardly_larger() -> None:
    assert len(page_html(report_of(operations=4))) < 200_000
    assert len(page_html(report_of(operations=40_000))) < 300_000


@settings(max_examples=25)
@given(st.text(max_size=40))
def test_junit_and_markdown_take_any_words(text: str) -> None:
    report = report_of(text, 4)
    junit, markdown = junit_xml(report), summary_md(report)

    ET.fromstring(junit.encode())  # noqa: S314 - our own
    (row,) = [line for line in markdown.splitlines() if line.startswith("| gateway-lost |")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 10
    assert not re.search(r"(?<!\\)<", markdown)


def test_junit_counts_failures_and_takes_doubt_for_an_error() -> None:
    root = ET.fromstring(junit_xml(report_of(HOSTILE)).encode())  # noqa: S314 - our own
    (run, study) = root.findall("testsuite")

    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "4", "1", "1")
    assert (run.get("tests"), run.get("failures"), run.get("errors"), study.get("tests")) == ("3", "1", "1", "1")
    assert [[child.tag for child in case] for case in run.findall("testcase")] == [["failure"], ["error"], []]
    assert all(case.get("classname") and case.get("name") and float(case.get("time", "")) >= 0 for case in run)
    assert {"name", "tests", "failures", "errors", "time"} == set(run.keys())


def test_markdown_says_what_did_not_pass_and_why() -> None:
    lines = summary_md(report_of()).splitlines()

    assert lines[0] == "## ❌ **fail**: 1 pass, 1 fail, 0 inconclusive"
    assert "- ❌ **fail** **serial**: not so" in lines
    assert "- 1 units said to be done: lost" in lines


def test_charts_have_the_faults_with_their_evidence_within_and_those_that_were_never_healed() -> None:
    data = json.loads(json.dumps(chart_data(report_of().parts[0])))

    assert [(span["from"], span["to"], span["fired"]) for span in data["faults"]] == [
        (1.0, 2.0, True),
        (3.0, data["end"], None),
    ]
    assert data["faults"][0]["evidence"] == [1.5, 1.6]
    assert max(data["pool"]["out"]) == 6
    assert sum(data["ok"]) * data["width"] == pytest.approx(399, abs=1)


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(1e-4, 60), st.sampled_from(Outcome)), min_size=1, max_size=60))
def test_bins_count_every_operation_however_it_is_added_and_percentiles_are_2_percent_right(
    drawn: list[tuple[float, float, Outcome]],
) -> None:
    operations = [Operation(n, 0, "read", None, o, at, at + took) for n, (at, took, o) in enumerate(drawn)]
    at_once, one_by_one = Bins(16), Bins(16)
    at_once.add(operations)
    for operation in operations:
        one_by_one.add([operation])

    assert at_once.timeline() == one_by_one.timeline()
    assert at_once.count == len(operations)
    times = sorted(operation.seconds for operation in operations if operation.outcome is Outcome.OK)
    assert at_once.percentile(0.99) == (pytest.approx(percentile(times, 0.99), rel=0.021) if times else None)


def test_the_command_to_repeat_a_run_names_all_that_is_not_the_default() -> None:
    run = run_of()
    other = type(run)(**{**{name: getattr(run, name) for name in run.__struct_fields__}, "isolation": "READ COMMITTED",
        "workload": "list-append", "plan": {**PLAN, "seed": 8}})  # fmt: skip

    assert run_command(run) == "lab run gateway-lost --cluster embedded --seed 7"
    assert run_command(other) == (
        "lab run gateway-lost --cluster embedded --seed 7 "
        "--workload list-append --isolation read-committed --plan plan.json"
    )
    assert run_command(run_of("somebodys-own")) is None
    hop = msgspec.structs.replace(run, asked=("--toxiproxy", "http://127.0.0.1:8474"))
    assert run_command(hop) == ("lab run gateway-lost --cluster embedded --toxiproxy http://127.0.0.1:8474 --seed 7")
    theirs = msgspec.structs.replace(
        run, cluster="external: one of your own", asked=("--cluster", "external", "--dsn", "DSN")
    )
    assert run_command(theirs) == "lab run gateway-lost --cluster external --dsn DSN --seed 7"
    assert run_command(msgspec.structs.replace(theirs, asked=())) == run_command(theirs)


def test_a_journal_that_was_cut_is_reported_up_to_there_and_never_passes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    write_journal(whole)
    write_journal(cut, closed=False)

    assert exit_code(["report", str(cut), "--out", str(tmp_path / "folder")]) == 3
    page = (tmp_path / "folder" / "report.html").read_text()
    assert "Incomplete: the journal was cut after 3.50 s" in page
    assert (tmp_path / "folder" / "junit.xml").exists()
    assert "Incomplete" in (tmp_path / "folder" / "summary.md").read_text()
    exit_code(["report", str(whole), "--out", str(tmp_path / "one.html")])
    assert "Incomplete: the journal" not in (tmp_path / "one.html").read_text()


def test_a_report_that_cannot_be_written_is_told_with_the_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path / "a.jsonl")
    (tmp_path / "file").write_text("")

    assert exit_code(["report", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "file" / "x")]) == 4
    assert "--out" in capfd.readouterr().err


def test_a_report_keeps_the_findings_of_a_scenario_that_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_journal(path)
    path.write_text(path.read_text().replace('"scenario":"steady"', '"scenario":"somebodys-own"'))

    assert exit_code(["report", str(path), "--out", str(tmp_path / "one.html")]) == 0
    assert "its findings are those of the time" in (tmp_path / "one.html").read_text()


async def events_of(answer: aiohttp.ClientResponse, first: bytes) -> list[tuple[str, dict[str, object]]]:
    """Return all events of a stream, which has to end."""
    async with asyncio.timeout(20):
        text = (first + await answer.read()).decode()
    return [
        (event.partition("\n")[0].removeprefix("event: "), json.loads(event.partition("\ndata: ")[2]))
        for event in text.split("\n\n")
        if event
    ]


async def test_a_live_view_tells_what_is_new_once_and_ends_with_the_whole_report() -> None:
    report = report_of()
    async with aiohttp.ClientSession() as session:
        async with live_view(lambda: report, every=0.02) as server:
            address = f"http://127.0.0.1:{server.port}"
            async with session.get(address) as page:
                assert "data-live" in await page.text()
            answer = await session.get(f"{address}/events")
            first = await answer.content.readuntil(b"\n\n")
        events = await events_of(answer, first)

    assert events[0][0] == "news"
    assert events[-1][0] == "end"
    assert {"p0-facts", "head", "summary"} <= set(events[0][1]["pieces"])  # type: ignore[call-overload]
    assert events[-1][1] == {"parts": {}, "pieces": {}, "charts": {}, "title": "fail · resilience report"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example"])
async def test_a_live_view_answers_to_no_other_name(host: str) -> None:
    async with live_view(report_of) as server, aiohttp.ClientSession() as session:
        for path in ("", "events"):
            address = f"http://127.0.0.1:{server.port}/{path}"
            async with session.get(address, headers={"Host": host}) as answer:
                assert answer.status == 403


async def test_a_port_that_is_taken_is_told() -> None:
    async with live_view(report_of) as server:
        with pytest.raises(EnvironmentProblem, match="--port"):
            async with live_view(report_of, server.port):
                pass


def test_verdicts_of_a_report_are_those_of_its_runs_and_studies() -> None:
    assert report_of().verdicts == (Verdict.FAIL, Verdict.PASS)
    assert len(recorded(run_of()).history.operations) == 400
