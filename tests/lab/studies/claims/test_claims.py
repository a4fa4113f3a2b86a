"""Every claim on a real database: as true as expected, and the page says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.clusters.base import Cluster
from lab.commands.run import choose_both
from lab.errors import UsageError
from lab.observer import Nobody
from lab.report.figures import suite_to_json
from lab.studies.base import StudyResult
from lab.studies.claims import CLAIMS, STUDIES
from lab.studies.claims.base import FIGURE
from lab.studies.claims.page import RunData, read, rows_of, to_markdown
from lab.suite import Suite
from lab.verdict import Verdict
from tests.lab.studies.test_hermitage import WIDTH, printed

PAGE = Path(__file__).parents[4] / "docs" / "claims.md"
ALONE = next(study for study in STUDIES if study.name == "claims/row-not-tuple")


@pytest.fixture(scope="module")
async def result(cluster: Cluster) -> StudyResult:
    """All claims, measured once."""
    if cluster.name != "embedded":
        pytest.skip("the committed page was measured on the embedded cluster")
    return await STUDIES[0].run(cluster, 7, Nobody())


@pytest.fixture(scope="module")
def data(result: StudyResult) -> RunData:
    """The same as the page is made of it."""
    return read(result.data)


async def test_every_claim_is_as_true_as_expected(result: StudyResult) -> None:
    """If one is not, a library has changed: read what was seen, then correct the expectation and the page."""
    assert [finding.why for finding in result.findings if finding.verdict is not Verdict.PASS] == []
    assert result.verdict is Verdict.PASS
    assert [row[0] for row in result.table.rows] == [claim.name for claim in CLAIMS]


async def test_the_committed_page_is_what_a_fresh_run_measures(data: RunData) -> None:
    """If it is not, the page itself says how to make it anew."""
    assert rows_of(to_markdown(data)) == rows_of(PAGE.read_text(encoding="utf-8"))


async def test_a_change_of_one_part_is_a_change_of_the_page(data: RunData) -> None:
    page = to_markdown(data)
    line = next(line for line in page.splitlines() if line.startswith("| session.query() is deprecated"))
    assert rows_of(page.replace(line, line.replace("| no ", "| yes"))) != rows_of(page)
    assert rows_of(page.replace(line, line.replace("0 warnings", "9 warnings"))) == rows_of(page)


async def test_the_table_fits_into_80_columns_and_cuts_nothing(cluster: Cluster, result: StudyResult) -> None:
    lines = printed(Suite("embedded", cluster.about, 7, (), studies=(result,)))
    assert max(map(len, lines)) <= WIDTH
    assert [row for row in result.table.rows if len(row[2]) > FIGURE] == []
    assert [line for line in lines if "…" in line] == []


async def test_a_claim_alone_shows_its_parts_the_sentence_and_the_advice(cluster: Cluster) -> None:
    alone = await ALONE.run(cluster, 7, Nobody())
    suite = Suite("embedded", cluster.about, 7, (), studies=(alone,))
    lines = printed(suite)
    told = " ".join(" ".join(lines).split())

    assert (alone.name, alone.verdict) == ("claims/row-not-tuple", Verdict.PASS)
    assert max(map(len, lines)) <= WIDTH
    assert "execute().one() gives the instance no Row; scalar_one(): Author" in told
    assert 'instead of ORM instances": partly' in told
    json = suite_to_json(suite)
    assert json["studies"][0]["data"]["claims"][0]["parts"][4] == {  # type: ignore[index,call-overload]
        "says": "execute().one() gives the instance",
        "holds": False,
        "seen": "Row; scalar_one(): Author",
    }


def test_an_unknown_claim_is_answered_with_the_nearest() -> None:
    for name in ("claims/preping", "pre-ping"):
        with pytest.raises(UsageError, match="did you mean claims/pre-ping"):
            choose_both([name])
    assert [study.name for study in choose_both(["claims/pre-ping"])[1]] == ["claims/pre-ping"]


def test_each_claim_has_a_name_of_its_own_and_every_part_an_expectation() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert [claim.name for claim in CLAIMS if not (claim.expect and claim.sentence and claim.instead)] == []
