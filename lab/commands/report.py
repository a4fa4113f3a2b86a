"""``lab report``: the page of recorded runs."""

from __future__ import annotations

from pathlib import Path

import click

from lab._collector import no_collector
from lab.console import EXIT, FilePath, err
from lab.report.files import write_page, write_pages
from lab.report.page.content import Report, report_of_journals


@click.command()
@click.argument("journals", nargs=-1, required=True, type=FilePath(path_type=Path))
@click.option(
    "--out",
    type=FilePath(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="a page (.html, .htm), or a folder that also gets junit.xml and summary.md",
)
def report(journals: tuple[Path, ...], out: Path) -> int:
    """Write the page of recorded runs (JOURNALS), judged again, without a database."""
    with no_collector():
        made = report_of_journals(journals)
        page = _written(made, out)
    err.print(f"{made.verdict.value}: {page}", markup=False, soft_wrap=True)
    return EXIT[made.verdict]


def _written(made: Report, out: Path) -> Path:
    if out.suffix in (".html", ".htm") and not out.is_dir():
        write_page(made, out)
        return out
    write_pages(made, out)
    return out / "report.html"
