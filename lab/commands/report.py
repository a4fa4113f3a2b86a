"""``lab report``: the page of recorded runs."""

from __future__ import annotations

from pathlib import Path

import click

from lab.console import EXIT, FilePath, err
from lab.report.files import write_page, write_pages
from lab.report.page.content import report_of_journals


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
    made = report_of_journals(journals)
    if out.suffix in (".html", ".htm") and not out.is_dir():
        write_page(made, out)
        page = out
    else:
        write_pages(made, out)
        page = out / "report.html"
    err.print(f"{made.verdict.value}: {page}", markup=False, soft_wrap=True)
    return EXIT[made.verdict]
