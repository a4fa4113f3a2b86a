"""``lab list``: what there is to run."""

from __future__ import annotations

import click
from rich.table import Table

from lab.clusters import CLUSTERS
from lab.console import json_option, out, print_json
from lab.runbook import find, shipped
from lab.scenarios import SCENARIOS
from lab.studies.shipped import STUDIES
from lab.workloads import WORKLOADS


@click.command(name="list")
@json_option
def list_command(as_json: bool) -> int:
    """List scenarios, workloads, studies, runbooks and clusters."""
    if as_json:
        print_json(
            {
                "scenarios": [
                    {"name": s.name, "title": s.title, "needs": sorted(s.needs), "checks": [c.says for c in s.checks]}
                    for s in SCENARIOS.values()
                ],
                "workloads": [
                    {"name": name, "about": w.about, "checks": [c.says for c in w.checks]}
                    for name, w in WORKLOADS.items()
                ],
                "studies": [
                    {"name": s.name, "title": s.title, "needs": sorted(s.needs), "checks": list(s.says)}
                    for s in STUDIES.values()
                ],
                "runbooks": [
                    {"name": r.name, "title": r.title, "needs": sorted(r.needs)} for r in map(find, shipped())
                ],
                "clusters": sorted(CLUSTERS),
            }
        )
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "what happens", "needs"):
        table.add_column(heading, no_wrap=heading == "scenario")
    for scenario in SCENARIOS.values():
        table.add_row(scenario.name, scenario.title, ", ".join(sorted(scenario.needs)) or "-")
    out.print(table)
    out.print("\n[bold]workloads[/bold], for lab run --workload NAME")
    for name, workload in WORKLOADS.items():
        out.print(f"  {name:<15} {workload.about}", soft_wrap=True)
    out.print("\n[bold]studies[/bold], by name only")
    for study in STUDIES.values():
        out.print(f"{study.name}  {study.title}", soft_wrap=True)
    out.print("\n[bold]runbooks[/bold], for lab rehearse")
    for name in shipped():
        out.print(f"  {name:<27} {find(name).title}", soft_wrap=True)
    out.print(f"\n[bold]clusters[/bold]: {', '.join(sorted(CLUSTERS))}")
    return 0
