"""Reports as text: figures right-aligned, totals under a rule; one line a row in a file, folded to its width on a terminal."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from decimal import Decimal
from typing import Any

from ledger.accounts.rulebook import BY_ARRIVAL, RULES
from ledger.amounts.money import grouped
from ledger.invoices.shown import Item, ShownInvoice, TaxTotal
from ledger.journal import references
from ledger.reports.report import Column, Report
from ledger.trace.steps import Trace


def cell(row: dict[str, Any], column: Column) -> str:
    """A value as people read it: amounts grouped, zero amounts as a dash."""
    value = row.get(column.key)
    if value is None:
        return ""
    if column.kind == "amount":
        return grouped(value, row["currency"]) if value else "\N{EN DASH}"
    return str(value)


def grid(header: list[str], rows: list[list[str]], right: list[bool], totals: list[list[str]]) -> str:
    """Cells as aligned text: as wide as it is for a file or another program, folded to its width on a terminal. Nothing is ever cut."""
    if not sys.stdout.isatty():
        return _whole(header, rows, right, totals)
    return folded(header, rows, right, totals, shutil.get_terminal_size().columns)


def _whole(header: list[str], rows: list[list[str]], right: list[bool], totals: list[list[str]]) -> str:
    """A line a row: what reads it may take a hundred thousand of them, and split them at two spaces."""
    from rich.cells import cell_len

    widths = [max(cell_len(line[i]) for line in [header, *rows, *totals]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        spaces = [" " * (width - cell_len(said)) for said, width in zip(cells, widths, strict=True)]
        parts = [
            space + said if is_right else said + space
            for said, space, is_right in zip(cells, spaces, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * width for width in widths)
    below = [rule, *map(line, totals)] if totals else []
    return "\n".join([line(header), rule, *map(line, rows), *below]) + "\n"


def folded(header: list[str], rows: list[list[str]], right: list[bool], totals: list[list[str]], width: int) -> str:
    """The same in lines of a width: texts go on below, figures stay whole, wherever that is wider."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for title, is_right in zip(header, right, strict=True):
        table.add_column(Text(title), justify="right" if is_right else "left", overflow="fold", no_wrap=is_right)
    rule = [Rule(style="") for _ in header]
    table.add_row(*rule)
    for cells in rows:
        table.add_row(*map(Text, cells))
    if totals:
        table.add_row(*rule)
    for cells in totals:
        table.add_row(*map(Text, cells))
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=sys.maxsize), table)
    console.width = max(needed.minimum, min(width, needed.maximum))
    with console.capture() as drawn:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines())


def table_text(report: Report) -> str:
    """A report with its title; columns in which every cell is the same empty value are left out."""
    note = f" ({', '.join(report.notes)})" if report.notes else ""
    heading = f"{report.title}{note}\n\n"
    if not report.rows:
        return f"{heading}{report.empty}\n"
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
    told = [textwrap.fill(text, 96, initial_indent="  -  ", subsequent_indent="     ") for text in BY_ARRIVAL]
    blocks.append("\n".join(["What counts by arrival, not by date", *told, ""]))
    return "\n".join(blocks)


def trace_text(trace: Trace) -> str:
    """A trace as an indented list, from what it comes from to what became of it."""
    lines = [f"{trace.title}\n"]
    for heading, steps in (("comes from", trace.sources), ("led to", trace.results)):
        if steps:
            lines.append(f"\n{heading}\n")
            lines += [f"{'  ' * (step.depth + 1)}{step.kind} {step.ref}: {step.text}\n" for step in steps]
    return "".join(lines)


def invoice_text(invoice: ShownInvoice, *, unfold: bool = False) -> str:
    """An invoice as its reader sees it: items under their groups; unfolded, the usage behind each line."""
    currency = invoice.currency
    called = ", ".join(references.said({"reference": invoice.reference, "external": invoice.external}))
    name = f"Invoice {invoice.number or invoice.ref}" + (f" ({invoice.ref})" if invoice.number else "")
    lines = [
        f"{name}, {invoice.status}",
        f"{invoice.entity_name} to {invoice.customer_name}, issued on {invoice.issued_on}, due on {invoice.due_on}",
        *([called] if called else []),
        "",
    ]
    rows: list[list[str]] = []
    for group in invoice.groups:
        if group.name:
            rows.append([group.name, "", "", grouped(group.amount, currency)])
        indent = "  " if group.name else ""
        for item in group.items:
            rows.append(
                [indent + item.label, _count(item.quantity), _count(item.unit_price), grouped(item.amount, currency)]
            )
            if unfold:
                rows += _unfolded(item, indent + "  ", currency)
    totals = [[f"{tax.name} ({tax.code}) on {grouped(tax.base, currency)}" + _treated(tax), "", "", grouped(tax.tax, currency)]
              for tax in invoice.taxes]  # fmt: skip
    totals.append([f"Total {currency}", "", "", grouped(invoice.total, currency)])
    totals += [
        [what, "", "", grouped(-amount, currency)]
        for what, amount in (
            ("Paid", invoice.paid),
            ("Credited", invoice.credited),
            ("Written off", invoice.written_off),
            ("To the customer's balance", -invoice.to_balance),
        )
        if amount
    ]
    if len(totals) > len(invoice.taxes) + 1:
        totals.append(["Due", "", "", grouped(invoice.due, currency)])
    return "\n".join(lines) + grid(["", "Quantity", "Unit price", "Amount"], rows, [False, True, True, True], totals)


def _treated(tax: TaxTotal) -> str:
    if tax.included:
        return ", included"
    return "" if tax.treatment == "taxable" else f", {tax.treatment.replace('_', ' ')}"


def _unfolded(item: Item, indent: str, currency: str) -> list[list[str]]:
    rows = []
    for line in item.lines:
        period = f" {line.start} to {line.end}" if line.start else ""
        if len(item.lines) > 1 or period:
            rows.append(
                [
                    f"{indent}line {line.id}{period}",
                    _count(line.quantity),
                    _count(line.unit_price),
                    grouped(line.amount, currency),
                ]
            )
        for used in line.usage:
            behind = f", {used.events}" if used.events else ""
            rows.append([f"{indent}  {used.date} {used.document}{behind}", _count(used.quantity), _count(used.unit_price),
                         grouped(used.amount, currency)])  # fmt: skip
    return rows


def _count(number: Decimal | None) -> str:
    return "" if number is None else f"{number:,f}"
