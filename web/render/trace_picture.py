"""A trace as a picture: what an entry comes from on the left, the entry, and what it led to on the right."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.accounts.chart import ROLES
from ledger.amounts.money import to_text
from ledger.journal.entries import EntryFacts, is_number
from ledger.trace.steps import Step, Trace

_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y = 238, 58, 56, 20
_NAME_LETTERS, _TEXT_LETTERS = 27, 37
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
    """Text cut in its middle to fit: what tells ids and places of rows apart stands at their ends. Of figures, which come first, the end goes."""
    if len(text) <= letters:
        return text
    head = letters - 1 if text.lstrip("-")[:1].isdigit() and " " in text else letters // 3
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (letters - head - 1) :]}"


def _events(step: Step) -> tuple[str, str]:
    """'trace.csv rows 1-21' as a count of rows and the place."""
    file, _, rows = step.ref.rpartition(" rows ")
    first, _, last = rows.partition("-")
    if file and is_number(first) and is_number(last):
        return f"{int(last) - int(first) + 1:,} rows", f"{file} {int(first):,}\N{EN DASH}{int(last):,}"
    return step.ref, step.text


@dataclass(slots=True)
class _Node:
    """A box before it has a place: the column it stands in and the node it flows into."""

    column: int
    step: Step
    link: str
    into: int | None = None


def _nodes(trace: Trace, entry: EntryFacts) -> list[_Node]:
    """Columns: what was metered or billed first, documents and grants, the entry, what followed."""
    focus = _Node(2, Step("entry", f"{entry.entry_id:,}", entry.amounts()), f"entry:{entry.entry_id}")
    nodes = [focus]
    parent: dict[int, int] = {}
    for step in trace.sources:
        origin = step.kind == "events" or step.depth > 1
        into = parent.get(step.depth - 1, 0) if origin else 0
        link = "" if step.kind == "events" else f"{step.kind}:{step.ref}"
        nodes.append(_Node(0 if origin else 1, step, link, into))
        parent[step.depth] = len(nodes) - 1
    for line in entry.lines:
        if ROLES[line.role].kind == "revenue" and line.side == ROLES[line.role].side:
            recognised = f"{to_text(line.amount, line.currency)} {line.currency}, {ROLES[line.role].title.lower()}"
            step = Step("recognised", f"{entry.effective_on:%B %Y}", recognised)
            nodes.append(_Node(3, step, f"ledger:{line.entity}/{line.role}"))
    nodes += [_Node(3, step, f"{step.kind}:{step.ref}") for step in trace.results]
    return nodes


def _shown(nodes: list[_Node], column: int) -> list[int]:
    """The nodes of a column that are drawn; the last of a full column counts those that are not."""
    own = [index for index, node in enumerate(nodes) if node.column == column]
    if len(own) > _SHOWN:
        rest = len(own) - _SHOWN + 1
        last = own[_SHOWN - 1]
        nodes[last] = _Node(column, Step("and more", f"{rest} others", "listed below"), "", nodes[last].into)
    return own[:_SHOWN]


def picture(trace: Trace) -> Picture:
    """The picture of an entry's trace, left to right as money flows."""
    entry = trace.entries[0]
    nodes = _nodes(trace, entry)
    columns = [shown for column in range(4) if (shown := _shown(nodes, column))]
    tallest = max(len(column) for column in columns)
    height = tallest * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y + 8
    boxes: dict[int, Box] = {}
    for place, column in enumerate(columns):
        top = (height - len(column) * (_BOX_HEIGHT + _GAP_Y) + _GAP_Y) / 2
        for row, index in enumerate(column):
            node = nodes[index]
            name, line = _events(node.step) if node.step.kind == "events" else (node.step.ref, node.step.text)
            kind = "usage rows" if node.step.kind == "events" else node.step.kind
            boxes[index] = Box(
                4 + place * (_BOX_WIDTH + _GAP_X), top + row * (_BOX_HEIGHT + _GAP_Y), kind, _fit(name, _NAME_LETTERS),
                _fit(line, _TEXT_LETTERS), node.link, focus=index == 0,
            )  # fmt: skip
    curves = []
    for index, box in boxes.items():
        if nodes[index].column == 3:
            curves.append(_curve(boxes[0], box))
        elif index:
            curves.append(_curve(box, boxes.get(nodes[index].into or 0, boxes[0])))
    width = 8 + len(columns) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    return Picture(tuple(boxes.values()), tuple(curves), width, height)


def _curve(left: Box, right: Box) -> str:
    x1, y1 = left.x + left.width, left.y + left.height / 2
    x2, y2 = right.x - 7, right.y + right.height / 2
    middle = (x1 + x2) / 2
    return f"M{x1:.0f},{y1:.0f} C{middle:.0f},{y1:.0f} {middle:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
