"""The witness of a failed check as a picture: its cycle of dependencies, in DOT for other tools or in SVG."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from lab.history import Json, Operation
from lab.verdict import Anomaly, Dependency

MOST_NODES = 12
"""Transactions of a cycle that are drawn; of a longer one the first, and how many are left out."""

WIDTH = 860.0
LINE = 17.0
BOX_HEIGHT = 46.0
CHARACTER = 6.7
LONGEST_LABEL = 44

COLOURS = {
    "ww": ("#b03a0a", "#f4915f"),
    "wr": ("#1a67a8", "#6cb2f0"),
    "rw": ("#b4235a", "#f27aa5"),
    "process": ("#59626e", "#a3adb8"),
    "realtime": ("#59626e", "#a3adb8"),
}
"""Of each kind of dependency: readable on what is light, and on what is dark."""

OTHER = "other"
"""A kind that has no colour: it has that of the text."""


def _edges(colours: Mapping[str, str]) -> str:
    return "".join(
        f".edge.{kind}{{stroke:{colour}}}.word.{kind},.head.{kind}{{fill:{colour}}}" for kind, colour in colours.items()
    )


STYLE = f"""
svg{{background:#fff;color:#1f2328;font:13px system-ui,sans-serif}}
.box{{fill:#f6f8fa;stroke:#8c959f}}.name{{font-weight:600}}.small{{font-size:12px}}text{{fill:currentColor}}
{_edges({kind: light for kind, (light, _) in COLOURS.items()})}
@media(prefers-color-scheme:dark){{svg{{background:#0d1117;color:#e6edf3}}.box{{fill:#161b22;stroke:#6e7681}}
{_edges({kind: dark for kind, (_, dark) in COLOURS.items()})}}}
"""

PAGE_STYLE = _edges({kind: f"light-dark({light},{dark})" for kind, (light, dark) in COLOURS.items()})
"""The colours for a page that has the picture within, in the theme that its reader chose."""


def label_of(operation: Operation) -> str:
    """Return what a transaction did in a few words; of what failed or is unknown, what it had asked for."""
    body = operation.result if isinstance(operation.result, list) else operation.value
    said = ", ".join(_micro(micro) for micro in body) if isinstance(body, list) else f"{operation.kind} {body}"
    return said if len(said) <= LONGEST_LABEL else f"{said[: LONGEST_LABEL - 1]}…"


def _micro(micro: Json) -> str:
    if not isinstance(micro, list) or len(micro) != 3:
        return str(micro)
    what, key, value = micro
    shown = "[" + " ".join(map(str, value)) + "]" if isinstance(value, list) else "" if value is None else str(value)
    return f"{what} {key} {shown}".rstrip()


def dot(anomaly: Anomaly, labels: Mapping[int, str]) -> str:
    """Return the cycle of an anomaly in the DOT language. *labels* says what each operation did."""
    lines = [f"digraph {_quoted(anomaly.name)} {{", "  node [shape=box, fontname=sans]; edge [fontname=sans];"]
    for index in dict.fromkeys(step.source for step in anomaly.cycle):
        text = f"T{index}\\n{_dot_text(labels.get(index, ''))}"
        lines.append(f'  T{index} [label="{text}"];')
    for step in anomaly.cycle:
        colour, _ = COLOURS.get(step.kind, ("black", ""))
        tip = _dot_text(step.because)
        lines.append(f'  T{step.source} -> T{step.target} [label="{step.kind}", color="{colour}", tooltip="{tip}"];')
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    return f'"{_dot_text(text)}"'


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float

    def edge_towards(self, x: float, y: float) -> tuple[float, float]:
        """Return where the way from the middle to a point leaves the box."""
        dx, dy = x - self.x, y - self.y
        scale = min(
            self.width / 2 / abs(dx) if dx else math.inf,
            BOX_HEIGHT / 2 / abs(dy) if dy else math.inf,
        )
        return self.x + dx * scale, self.y + dy * scale


def svg(anomaly: Anomaly, labels: Mapping[int, str], style: str = STYLE) -> str:
    """Return the cycle of an anomaly as an SVG that needs nothing else, with its sentences below.

    An anomaly without a cycle shows the operations that it names. *style* is the style sheet that goes into it; a page
    that has the picture within brings its own.
    """
    steps = anomaly.cycle[:MOST_NODES]
    names = list(dict.fromkeys([step.source for step in steps] or anomaly.operations[:MOST_NODES]))
    left_out = len(anomaly.cycle) - len(steps)
    height = _height(len(names))
    boxes = {name: _box(place, len(names), height, labels.get(name, "")) for place, name in enumerate(names)}
    mark = f"{zlib.crc32(anomaly.why.encode()):x}"  # a page has many pictures, and one place for names
    drawn = [_arrow(step, boxes, mark) for step in steps if step.target in boxes]
    if left_out:
        drawn.append(_gap(boxes[names[-1]], boxes[names[0]], left_out))
    drawn += [_drawn_box(name, box, labels.get(name, "")) for name, box in boxes.items()]
    sentences = [f"{step.kind}: {step.because}" for step in steps] or [anomaly.why]
    lines = [line for sentence in sentences for line in _wrapped(sentence)]
    drawn += [_text(24, height + 30 + LINE * place, line, "small") for place, line in enumerate(lines)]
    whole = height + 40 + LINE * len(lines)
    heads = "".join(_arrow_head(kind, mark) for kind in (*COLOURS, OTHER))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {whole:g}" width="{WIDTH:g}" role="img">'
        f"<title>{escape(f'{anomaly.name}: {anomaly.why}')}</title><style>{style}</style><defs>{heads}</defs>"
        f"{_text(24, 28, anomaly.name, 'name')}{''.join(drawn)}</svg>\n"
    )


def _height(count: int) -> float:
    return 150.0 if count <= 2 else 190.0 + 42.0 * (count - 2)


def _box(place: int, count: int, height: float, label: str) -> _Box:
    angle = math.pi + 2 * math.pi * place / count
    middle = 40 + (height - 40) / 2
    width = max(90.0, CHARACTER * len(label) + 24)
    reach = (WIDTH - width) / 2 - 24
    return _Box(WIDTH / 2 + reach * math.cos(angle), middle + (height / 2 - 60) * math.sin(angle), width)


def _drawn_box(name: int, box: _Box, label: str) -> str:
    left, top = box.x - box.width / 2, box.y - BOX_HEIGHT / 2
    return "".join(
        (
            f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{BOX_HEIGHT:g}" rx="6"/>',
            _text(box.x, box.y - 5, f"T{name}", "name", middle=True),
            _text(box.x, box.y + 13, label, "small", middle=True),
        )
    )


def _arrow(step: Dependency, boxes: Mapping[int, _Box], mark: str) -> str:
    one, other = boxes[step.source], boxes[step.target]
    dx, dy = other.x - one.x, other.y - one.y
    length = math.hypot(dx, dy) or 1.0
    bend = 38.0
    over_x, over_y = (one.x + other.x) / 2 + bend * dy / length, (one.y + other.y) / 2 - bend * dx / length
    (x1, y1), (x2, y2) = one.edge_towards(over_x, over_y), other.edge_towards(over_x, over_y)
    dash = ' stroke-dasharray="5 4"' if step.kind == "realtime" else ""
    at_x, at_y = (x1 + 2 * over_x + x2) / 4 + 12 * dy / length, (y1 + 2 * over_y + y2) / 4 + 4 - 12 * dx / length
    kind = step.kind if step.kind in COLOURS else OTHER  # a journal may hold any word
    return (
        f'<path class="edge {kind}" d="M{x1:.1f} {y1:.1f}Q{over_x:.1f} {over_y:.1f} {x2:.1f} {y2:.1f}" fill="none" '
        f'stroke="currentColor" stroke-width="2"{dash} marker-end="url(#{kind}-{mark})">'
        f"<title>{escape(step.because)}</title></path>"
        f'<text class="word {kind}" x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="middle" font-weight="600">'
        f"{escape(step.kind)}</text>"
    )


def _gap(last: _Box, first: _Box, left_out: int) -> str:
    middle_x, middle_y = (last.x + first.x) / 2, (last.y + first.y) / 2
    way = f"M{last.x:.1f} {last.y:.1f}L{first.x:.1f} {first.y:.1f}"
    return (
        f'<path d="{way}" stroke="currentColor" stroke-dasharray="2 6"/>'
        f"{_text(middle_x, middle_y, f'… {left_out:,} more …', 'small', middle=True)}"
    )


def _arrow_head(kind: str, mark: str) -> str:
    return (
        f'<marker id="{kind}-{mark}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path class="head {kind}" d="M0 0L10 5L0 10z" fill="currentColor"/></marker>'
    )


def _text(x: float, y: float, text: str, style: str, *, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}"{anchor}>{escape(text)}</text>'


def _wrapped(sentence: str) -> list[str]:
    longest = int((WIDTH - 48) / CHARACTER)
    lines, line = [], ""
    for word in sentence.split():
        if line and len(line) + 1 + len(word) > longest:
            lines.append(line)
            line = f"    {word}"
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
