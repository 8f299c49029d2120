"""A trace as a picture: what an entry comes from on the left, the entry, and what it led to on the right."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.trace import Step, Trace

_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y = 214, 58, 64, 20
_SHOWN = 4  # boxes in a column; what is beyond them is counted


@dataclass(frozen=True, slots=True)
class Box:
    """A thing in the picture: its kind, its name, a line about it, and what it links to."""

    x: float
    y: float
    kind: str
    name: str
    text: str
    ref: str
    focus: bool = False
    width: int = _BOX_WIDTH
    height: int = _BOX_HEIGHT


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes and the curves between them, left to right as money flows."""

    boxes: tuple[Box, ...]
    curves: tuple[str, ...]
    width: float
    height: float


def _fit(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _column(steps: list[Step]) -> list[tuple[str, str, str, str]]:
    rows = [
        (step.kind, step.ref, step.text, "" if step.kind == "events" else f"{step.kind}:{step.ref}")
        for step in steps[:_SHOWN]
    ]
    if len(steps) > _SHOWN:
        rows[-1] = ("and more", f"{len(steps) - _SHOWN + 1} others", "listed below", "")
    return rows


def _events(step: Step) -> tuple[str, str]:
    """'trace.csv rows 1-21' as a count of rows and the place."""
    file, _, rows = step.ref.rpartition(" rows ")
    first, _, last = rows.partition("-")
    if file and first.isdigit() and last.isdigit():
        return f"{int(last) - int(first) + 1:,} rows", f"{file} {int(first):,}\N{EN DASH}{int(last):,}"
    return step.ref, step.text


def picture(trace: Trace) -> Picture:
    """The picture of an entry's trace: origins, its document, the entry, what followed."""
    entry = trace.entries[0]
    document = next(iter(trace.sources), None)
    origins = list(trace.sources[1:])
    columns: list[list[tuple[str, str, str, str]]] = []
    if origins:
        columns.append(_column(origins))
    if document is not None:
        columns.append([(document.kind, document.ref, document.text, f"{document.kind}:{document.ref}")])
    columns.append([("entry", f"{entry.entry_id:,}", entry.amounts(), f"entry:{entry.entry_id}")])
    if trace.results:
        columns.append(_column(list(trace.results)))
    tallest = max(len(column) for column in columns)
    height = tallest * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y + 8
    boxes: list[Box] = []
    curves: list[str] = []
    previous: list[Box] = []
    for index, column in enumerate(columns):
        x = 4 + index * (_BOX_WIDTH + _GAP_X)
        top = (height - len(column) * (_BOX_HEIGHT + _GAP_Y) + _GAP_Y) / 2
        current = []
        for row, (kind, ref, text, link) in enumerate(column):
            name, line = _events(Step(kind, ref, text)) if kind == "events" else (ref, text)
            shown = "usage rows" if kind == "events" else kind
            focus = kind == "entry" and link == f"entry:{entry.entry_id}"
            y = top + row * (_BOX_HEIGHT + _GAP_Y)
            current.append(Box(x, y, shown, _fit(name, 27), _fit(line, 36), link, focus))
        curves += [_curve(left, right) for left in previous for right in current]
        boxes += current
        previous = current
    width = 8 + len(columns) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    return Picture(tuple(boxes), tuple(curves), width, height)


def _curve(left: Box, right: Box) -> str:
    x1, y1 = left.x + left.width, left.y + left.height / 2
    x2, y2 = right.x - 7, right.y + right.height / 2
    middle = (x1 + x2) / 2
    return f"M{x1:.0f},{y1:.0f} C{middle:.0f},{y1:.0f} {middle:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
