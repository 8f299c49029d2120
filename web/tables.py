"""Reports as text for a terminal: figures right-aligned, one line a row, totals under a rule."""

from __future__ import annotations

import textwrap
from typing import Any

from ledger.money import grouped
from ledger.reports import Column, Report
from ledger.rulebook import RULES
from ledger.trace import Trace


def cell(row: dict[str, Any], column: Column) -> str:
    """A value as people read it: amounts grouped, zero amounts as a dash."""
    value = row.get(column.key)
    if value is None:
        return ""
    if column.kind == "amount":
        return grouped(value, row["currency"]) if value else "\N{EN DASH}"
    return str(value)


def grid(header: list[str], rows: list[list[str]], right: list[bool], totals: list[list[str]]) -> str:
    """Cells as aligned text."""
    widths = [max(len(line[i]) for line in [header, *rows, *totals]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        parts = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * width for width in widths)
    lines = [line(header), rule, *(line(cells) for cells in rows)]
    if totals:
        lines += [rule, *(line(cells) for cells in totals)]
    return "\n".join(lines) + "\n"


def table_text(report: Report) -> str:
    """A report with its title; columns in which every cell is the same empty value are left out."""
    note = f" ({', '.join(report.notes)})" if report.notes else ""
    heading = f"{report.title}{note}\n\n"
    if not report.rows:
        return heading + "Nothing to show: no postings match.\n"
    columns = [column for column in report.columns if any(row.get(column.key) is not None for row in report.rows)]
    return heading + grid(
        [column.title for column in columns],
        [[cell(row, column) for column in columns] for row in report.rows],
        [column.kind in ("amount", "number") for column in columns],
        [[cell(row, column) for column in columns] for row in report.totals],
    )


def rules_text() -> str:
    """The rulebook as text."""
    blocks = []
    for rule in RULES.values():
        why = textwrap.fill(f"{rule.why} [{rule.citation}]", 96, initial_indent="     ", subsequent_indent="     ")
        blocks.append(
            f"{rule.number}  {rule.code}: {rule.debit or 'as given'} \N{RIGHTWARDS ARROW} {rule.credit or 'as given'}\n{why}\n"
        )
    return "\n".join(blocks)


def trace_text(trace: Trace) -> str:
    """A trace as an indented list, from what it comes from to what became of it."""
    lines = [f"{trace.title}\n"]
    for heading, steps in (("comes from", trace.sources), ("led to", trace.results)):
        if steps:
            lines.append(f"\n{heading}\n")
            lines += [f"{'  ' * (step.depth + 1)}{step.kind} {step.ref}: {step.text}\n" for step in steps]
    return "".join(lines)
