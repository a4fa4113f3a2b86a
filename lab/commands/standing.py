"""``lab up``, ``lab down``, ``lab status``: clusters that stay, and what killed runs have left."""

from __future__ import annotations

from typing import Any

import click

from lab import standing
from lab.clusters import ClusterChoice
from lab.console import LARGEST_SEED, cluster_option, finish, json_option, out, print_json
from lab.state import survey


@click.command()
@cluster_option
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="decides the proxies' draws"
)
@json_option
def up(cluster: ClusterChoice, seed: int, as_json: bool) -> int:
    """Start a cluster that stays, and print how to reach it."""
    name, description = finish(standing.bring_up(cluster, seed=seed))
    if as_json:
        print_json({"id": name, **description})
        return 0
    out.print(f"{name}: {description['about']}")
    _print_addresses(description)
    out.print("lab down removes it", style="dim")
    return 0


def _print_addresses(info: Any) -> None:
    for node, address in dict(info.get("nodes", {})).items():
        out.print(f"  {node:<8} {address}", soft_wrap=True)
    for what in ("direct", "control"):
        if what in info:
            out.print(f"  {what:<8} {info[what]}", soft_wrap=True)
    for what, url in dict(info.get("places", {})).items():
        out.print(f"  {what:<10} {url}", soft_wrap=True)


@click.command()
@click.argument("ids", nargs=-1)
@json_option
def down(ids: tuple[str, ...], as_json: bool) -> int:
    """Remove standing clusters (all, or those of these IDS) and whatever killed runs have left behind."""
    removed = standing.take_down(ids)
    if as_json:
        print_json({"removed": [info.id for info in removed]})
    for info in () if as_json else removed:
        out.print(f"removed {info.id} ({info.state}, {len(info.processes)} processes)")
    if not removed and not as_json:
        out.print("nothing to remove")
    return 0


@click.command()
@json_option
def status(as_json: bool) -> int:
    """Show standing clusters, runs in progress and what killed ones have left."""
    runs = survey()
    if as_json:
        print_json([{"id": r.id, "state": r.state, "processes": list(r.processes), **r.info} for r in runs])
        return 0
    for info in runs:
        out.print(f"{info.id}: {info.state}, {len(info.processes)} processes")
        _print_addresses(info.info)
    if not runs:
        out.print("nothing is running")
    return 0
