"""``lab check``: a recorded history, judged by a model."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.text import Text

from lab.checking import MODELS, Checked, Options, check_file, choose_model, operations_of
from lab.checks.cycles import LEVELS, Level
from lab.console import EXIT, FilePath, err, json_option, out, print_json
from lab.errors import EnvironmentProblem, UsageError, unknown_name
from lab.history import Json
from lab.report.terminal import MARKS, STYLES
from lab.report.witness import dot, label_of, svg
from lab.verdict import Anomaly, merge

MOST_SHOWN = 5
"""Anomalies that are told in the terminal; JSON has all that were kept."""


def _models(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        for model in MODELS.values():
            out.print(f"  {model.name:<12} {model.says}", soft_wrap=True)
        context.exit()


@click.command()
@click.argument("files", nargs=-1, required=True, type=FilePath(path_type=Path))
@click.option("--model", required=True, help=f"{', '.join(MODELS)}; --models explains them")
@click.option("--models", is_flag=True, is_eager=True, expose_value=False, callback=_models, help="explain the models")
@click.option("--level", help=f"of transactions: {', '.join(LEVELS)}  [default: serializable]")
@click.option("--realtime", is_flag=True, help="look for anomalies of real time as well; told, not failed, if allowed")
@click.option("--total", type=int, help="of a bank; that of the first read if absent")
@click.option("--negative", is_flag=True, help="balances of a bank may be negative")
@click.option("--group", type=click.IntRange(min=2), help="keys of a group of a long fork; told by the reads if absent")
@click.option("--initial", help="what a register holds at first, as JSON  [default: null]")
@json_option
@click.option("--svg", "svg_file", type=FilePath(dir_okay=False, path_type=Path), help="draw the first witness here")
@click.option("--dot", "dot_file", type=FilePath(dir_okay=False, path_type=Path), help="the same in the DOT language")
def check(
    files: tuple[Path, ...],
    model: str,
    level: str | None,
    realtime: bool,
    total: int | None,
    negative: bool,
    group: int | None,
    initial: str | None,
    as_json: bool,
    svg_file: Path | None,
    dot_file: Path | None,
) -> int:
    """Judge recorded histories (FILES) by a model: journals of the lab, Jepsen's EDN and JSON, its text logs."""
    if (svg_file or dot_file) and len(files) > 1:
        raise UsageError("--svg and --dot draw the witness of one file; name one")
    choose_model(model)
    options = Options(_level(level), realtime, total, negative, group, _json(initial))
    checked = [_checked(path, model, options) for path in files]
    if as_json:
        print_json([checked_to_json(one) for one in checked])
    for one in () if as_json else checked:
        for line in lines_of(one):
            out.print(line, soft_wrap=True)
    if svg_file or dot_file:
        _draw(checked[0], svg_file, dot_file)
    return EXIT[merge(one.finding.verdict for one in checked)]


def _checked(path: Path, model: str, options: Options) -> Checked:
    if not err.is_terminal:
        return check_file(path, model, options)
    with err.status(f"judging {path}"):
        return check_file(path, model, options)


def _level(name: str | None) -> Level | None:
    for level in LEVELS:
        if level == name:
            return level
    if name is not None:
        raise unknown_name("level", name, LEVELS)
    return None


def _json(text: str | None) -> Json:
    if text is None:
        return None
    try:
        value: Json = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--initial is not JSON: {error}; a string needs its quotes: '\"{text}\"'") from error
    return value


def checked_to_json(one: Checked) -> dict[str, object]:
    """Return a file that was judged as JSON data."""
    return {
        "file": str(one.path),
        "model": one.model.name,
        "check": one.finding.check,
        "verdict": one.finding.verdict.value,
        "why": one.finding.why,
        "operations": one.operations,
        "anomalies": [msgspec.to_builtins(anomaly) for anomaly in one.finding.anomalies],
        "witnesses": list(one.finding.operations),
        "seconds": round(one.seconds, 3),
    }


def lines_of(one: Checked) -> list[Text]:
    """Return what a terminal shows of a file: the verdict, why, and the witnesses step by step."""
    finding = one.finding
    style = STYLES[finding.verdict]
    head = Text.assemble(
        (f"{MARKS[finding.verdict]} {finding.verdict.value:<12}", style),
        f" {one.path}, {one.model.name}: {one.operations:,} operations in {one.seconds:.2f} s",
    )
    lines = [head, Text(f"    {finding.why}", style=style)]
    for anomaly in finding.anomalies[:MOST_SHOWN]:
        lines += _told(anomaly)
    more = len(finding.anomalies) - MOST_SHOWN
    return [*lines, Text(f"    and {more} more; --json has them", style="dim")] if more > 0 else lines


def _told(anomaly: Anomaly) -> list[Text]:
    if not anomaly.cycle:
        return [Text.assemble("    ", (anomaly.name, "bold"), f": {anomaly.why}")]
    steps = [
        Text.assemble(f"        T{step.source} ", (f"{step.kind:<8}", "cyan"), f" T{step.target}   {step.because}")
        for step in anomaly.cycle[:MOST_SHOWN]
    ]
    more = len(anomaly.cycle) - MOST_SHOWN
    head = Text.assemble("    ", (anomaly.name, "bold"), f": a circle of {len(anomaly.cycle)} steps")
    return [head, *steps, *([Text(f"        and {more} more", style="dim")] if more > 0 else [])]


def _draw(one: Checked, svg_file: Path | None, dot_file: Path | None) -> None:
    """Draw the shortest cycle, or the first anomaly if there is none."""
    anomalies = sorted(one.finding.anomalies, key=lambda anomaly: (not anomaly.cycle, len(anomaly.cycle)))
    if not anomalies:
        err.print(f"lab: {one.path} has no anomaly, so nothing is drawn", markup=False)
        return
    labels = {operation.index: label_of(operation) for operation in operations_of(one.path, anomalies[0].operations)}
    for path, draw in ((svg_file, svg), (dot_file, dot)):
        if path is not None:
            try:
                path.write_text(draw(anomalies[0], labels), encoding="utf-8")
            except OSError as error:
                raise EnvironmentProblem(f"cannot write {path}: {error.strerror}", "name another file") from error
