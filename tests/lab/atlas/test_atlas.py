"""The error atlas: the committed page is what a fresh run measures, and no decision contradicts the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.atlas import Atlas, Measured, Moment, all_cells, atlas_of, judge, rows_of, to_json, to_markdown
from lab.clusters.base import Cluster
from lab.retry.classify import Decision
from lab.verdict import Verdict

PAGE = Path(__file__).parents[3] / "docs" / "error-atlas.md"
REPEATED = frozenset({Decision.RETRY, Decision.RETRY_LATER, Decision.RETRY_ONCE})


@pytest.fixture(scope="module")
async def atlas(cluster: Cluster) -> Atlas:
    """The atlas of this machine, measured once."""
    if cluster.name != "embedded":
        pytest.skip("the committed page was measured on the embedded cluster")
    return await atlas_of(cluster)


async def test_the_committed_page_is_what_a_fresh_run_measures(atlas: Atlas) -> None:
    """Versions and widths do not count; rows do. If one differs: lab atlas --write docs/error-atlas.md, and read it."""
    assert rows_of(to_markdown(atlas)) == rows_of(PAGE.read_text(encoding="utf-8"))


async def test_every_fault_struck_exactly_once(atlas: Atlas) -> None:
    """A cell whose fault did not strike says nothing."""
    assert [one.cell.name for one in atlas.cells if not one.fired] == []


async def test_a_cell_that_may_be_retried_was_never_applied(atlas: Atlas) -> None:
    """The one promise that a retry policy lives on."""
    assert [one.cell.name for one in atlas.cells if one.decision in REPEATED and one.applied] == []


async def test_what_was_applied_is_told_as_done_or_as_unknown(atlas: Atlas) -> None:
    """An error that means failure for good must not hide an effect either; nothing is ever applied twice."""
    told = {None, Decision.UNKNOWN}
    assert [one.cell.name for one in atlas.cells if one.applied and one.decision not in told] == []
    assert max(one.applied for one in atlas.cells) == 1


async def test_a_unit_without_an_error_was_applied(atlas: Atlas) -> None:
    """What the pool mends behind the application's back is really mended."""
    assert [one.cell.name for one in atlas.cells if one.view is None and not one.applied] == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("fault", ["reset", "close (FIN)", "black hole"])
@pytest.mark.parametrize(
    ("request_side", "reply_side"),
    [(Moment.COMMIT, Moment.COMMIT_REPLY), (Moment.AUTOCOMMIT, Moment.AUTOCOMMIT_REPLY)],
)
async def test_a_lost_request_and_a_lost_acknowledgement_look_the_same(
    atlas: Atlas, driver: str, fault: str, request_side: Moment, reply_side: Moment
) -> None:
    """The client sees the very same error; the truth is opposite."""
    lost, unheard = (_cell(atlas, moment, fault, driver) for moment in (request_side, reply_side))
    assert (lost.view, lost.invalidated, lost.decision) == (unheard.view, unheard.invalidated, unheard.decision)
    assert (lost.applied, unheard.applied) == (0, 1)


async def test_the_record_of_a_firing_agrees_with_the_database(atlas: Atlas) -> None:
    """What the proxy says was committed is there; what was never sent is not."""
    ruled = [one for one in atlas.cells if one.forwarded is not None and one.view is not None]
    assert [one.cell.name for one in ruled if one.answer == "COMMIT" and one.applied != 1] == []
    assert [one.cell.name for one in ruled if not one.forwarded and one.applied] == []


async def test_json_and_page_have_every_cell(atlas: Atlas) -> None:
    """Machines get what people get."""
    rows = [line for line in rows_of(to_markdown(atlas)) if line.startswith("| ") and "| driver |" not in line]
    assert len(to_json(atlas)["cells"]) == len(rows) == len(all_cells())
    assert judge(atlas.cells) is Verdict.PASS


def test_an_atlas_without_cells_is_no_pass() -> None:
    """Doubt is never a pass."""
    assert judge(()) is Verdict.INCONCLUSIVE


def _cell(atlas: Atlas, moment: Moment, fault: str, driver: str) -> Measured:
    return next(
        one for one in atlas.cells if (one.cell.moment, one.cell.fault.name, one.cell.driver) == (moment, fault, driver)
    )
