"""The workbook: the books of one entity for an auditor, every total a live formula over the detail beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import openpyxl
import xlsxwriter
from sqlalchemy import Connection, text
from xlsxwriter.utility import xl_col_to_name

from adapters.files.streamed_sheet import TEXT_MAX, StreamedSheet
from ledger.accounts.chart import CONTRACT_LIABILITIES
from ledger.amounts.dates import month_end
from ledger.amounts.money import exponent, to_decimal
from ledger.errors import Refused
from ledger.journal.references import CALLED, external_said
from ledger.proof import seals
from ledger.reports.aging import ar_aging
from ledger.reports.report import Column, Filters, Report, last_day, sides
from ledger.reports.tax import tax
from ledger.reports.trial_balance import account_balances, gl_account_sql
from ledger.reports.wallet import wallet
from revrec.reports.audit_logs import contracts
from revrec.reports.contract_balances import contract_balances
from revrec.reports.roll_forwards import deferred_roll_forward
from revrec.reports.waterfall import REVENUE_ROLES, waterfall

ROWS_MAX = 1_048_576 - 1  # Excel's rows, less the heading: a journal of more goes on in another sheet
_REPORT_ROWS_MAX = ROWS_MAX
_SHEET_NAME_MAX = 31


def _amount_format(currency: str) -> str:
    places = "0" * exponent(currency)
    number = f"#,##0.{places}" if places else "#,##0"
    return f"{number};[Red]-{number};{number}"


@dataclass(slots=True)
class _Book:
    """A workbook under construction with the formats its sheets share."""

    file: Any
    currency: str
    formats: dict[tuple[str, int], Any] = field(default_factory=dict)

    def format(self, name: str, currency: str = "") -> Any:
        """A style; amounts with the places of a currency, the book's own by default."""
        currency = currency or self.currency
        key = (name, exponent(currency))
        if key not in self.formats:
            base: dict[str, Any] = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
            styles: dict[str, dict[str, Any]] = {
                "text": {"num_format": "@"},
                "title": {"bold": True, "font_size": 16},
                "label": {"font_color": "#57606A"},
                "head": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "text_wrap": True},
                "head_right": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "align": "right"},
                "date": {"num_format": "yyyy-mm-dd", "align": "left"},
                "amount": {"num_format": _amount_format(currency)},
                "total": {"num_format": _amount_format(currency), "bold": True, "top": 1},
                "total_text": {"bold": True, "top": 1},
                "number": {"num_format": "0"},
                "decimal": {"num_format": "0.############"},
                "pass": {"bold": True, "font_color": "#0B6E4F", "align": "center"},
                "head_center": {"bold": True, "bg_color": "#E8F1EC", "bottom": 1, "align": "center"},
                "link": {"font_color": "#0B6E4F", "underline": 1},
            }
            self.formats[key] = self.file.add_format(base | styles[name])
        return self.formats[key]


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    kind: str = "text"


def _write_cell(book: _Book, sheet: Any, row: int, column: int, kind: str, value: Any, currency: str) -> None:
    if value is None:
        return
    if kind == "amount":
        sheet.write_number(row, column, to_decimal(value, currency), book.format("amount", currency))
    elif kind == "number":
        _write_number(book, sheet, row, column, value)
    elif kind == "date":
        sheet.write_datetime(row, column, value, book.format("date"))
    else:
        # write_string never makes a formula or a link of what a document says.
        sheet.write_string(row, column, str(value)[:TEXT_MAX], book.format("text"))


def _write_number(book: _Book, sheet: Any, row: int, column: int, value: Any) -> None:
    """A count, a share or a price, which reports give as numbers or as text."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        sheet.write_string(row, column, str(value)[:TEXT_MAX], book.format("text"))
        return
    whole = number == number.to_integral_value()
    sheet.write_number(row, column, number, book.format("number" if whole else "decimal"))


def _sheet(book: _Book, name: str, columns: tuple[_Column, ...], *, wide: bool = True, kind: type | None = None) -> Any:
    sheet = book.file.add_worksheet(name, kind)
    for index, column in enumerate(columns):
        sheet.set_column(index, index, column.width)
        right = column.kind in ("amount", "number")
        sheet.write_string(0, index, column.title, book.format("head_right" if right else "head"))
    sheet.freeze_panes(1, 0)
    sheet.repeat_rows(0)
    if wide:
        sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.set_paper(9)
    sheet.set_footer("&L&F, &A&RPage &P of &N")
    return sheet


_LINES = (
    _Column("Entry", 9, "number"),
    _Column("Line", 6, "number"),
    _Column("Effective", 11, "date"),
    _Column("Code", 8),
    _Column("Account", 34),
    _Column("Debit", 15, "amount"),
    _Column("Credit", 15, "amount"),
    _Column("Net", 15, "amount"),
    _Column("Customer", 18),
    _Column("Subject", 26),
    _Column("Product", 14),
    _Column("Currency", 9),
    _Column("Rule", 24),
    _Column("Document", 34),
    _Column("Occurred", 11, "date"),
    _Column("Posted at (UTC)", 19),
    _Column("Posted by", 14),
    _Column("Reverses", 9, "number"),
    _Column("Reference", 18),
    _Column("External ids", 24),
)

_CODE, _TITLE, _GL_JOINS = gl_account_sql("l")
_LINES_SQL = f"""
    select l.entry_id, l.line, l.effective_on, {_CODE}, {_TITLE},
           case when l.side = 'debit' and l.functional_amount > 0 then l.functional_amount end,
           case when l.side = 'credit' and l.functional_amount > 0 then l.functional_amount end,
           case l.side when 'debit' then l.functional_amount else -l.functional_amount end,
           c.ref, l.subject, nullif(l.product, ''), l.currency, l.rule, d.type || ':' || d.ref, l.occurred_on,
           to_char(l.posted_at, 'YYYY-MM-DD HH24:MI:SS'), l.posted_by, l.reverses, {CALLED} as called
    from journal_line l
    {_GL_JOINS}
    join customer c on c.customer_id = l.customer_id
    join document d on d.document_id = l.document_id and d.customer_id in (l.customer_id, 0)
    where l.entity = :entity and r.kind <> 'memorandum'
      and (cast(:since as date) is null or l.effective_on >= :since)
      and (cast(:as_of as date) is null or l.effective_on <= :as_of)
      and (cast(:known_at as timestamptz) is null or l.posted_at <= :known_at)
    order by l.effective_on, l.entry_id, l.line, l.side desc
"""


def _lines(connection: Connection, filters: Filters) -> Iterator[Any]:
    """The journal's lines, with the columns of `_LINES`, a few thousand at a time."""
    parameters = {
        "entity": filters.entity,
        "since": filters.since,
        "as_of": filters.as_of,
        "known_at": filters.known_at,
    }
    for *line, called in connection.execute(text(_LINES_SQL), parameters, execution_options={"yield_per": 5_000}):
        yield *line, (called or {}).get("reference"), ", ".join(external_said(called or {})) or None


@dataclass(slots=True)
class _Journal:
    """The journal's sheets as written: (sheet, rows) of each, and where each account's first line is."""

    sheets: list[tuple[str, int]] = field(default_factory=list)
    first: dict[str, tuple[str, int]] = field(default_factory=dict)

    def noting(self, sheet: str, lines: Iterator[Any]) -> Iterator[Any]:
        """Lines as they pass into a sheet."""
        for row, line in enumerate(lines, 2):
            if line[3] not in self.first:
                self.first[line[3]] = sheet, row
            yield line


def _write_lines(book: _Book, connection: Connection, filters: Filters) -> _Journal:
    """The journal, one debit or credit a row, over as many sheets as it needs."""
    journal = _Journal()
    written = journal.sheets
    kinds = [column.kind for column in _LINES]
    formats = [book.format(kind) for kind in kinds]
    lines = _lines(connection, filters)
    while (first := next(lines, None)) is not None:
        name = f"Journal {len(written) + 1}" if written else "Journal"
        sheet = _sheet(book, name, _LINES, kind=StreamedSheet)
        rows = sheet.stream(
            journal.noting(name, chain([first], islice(lines, ROWS_MAX - 1))), kinds, exponent(book.currency), formats
        )
        sheet.autofilter(0, 0, rows, len(_LINES) - 1)
        written.append((name, rows))
    return journal


def _over_journal(written: list[tuple[str, int]], template: str) -> str:
    """A formula over every journal sheet: `{code}` and `{net}` stand for its columns."""
    parts = [
        template.format(
            debit=f"'{name}'!$F$2:$F${rows + 1}", credit=f"'{name}'!$G$2:$G${rows + 1}",
            code=f"'{name}'!$D$2:$D${rows + 1}", net=f"'{name}'!$H$2:$H${rows + 1}",
        )
        for name, rows in written
    ]  # fmt: skip
    return "+".join(parts) or "0"


_TRIAL = (
    _Column("Code", 8),
    _Column("Account", 40),
    _Column("Role", 22),
    _Column("Opening", 15, "amount"),
    _Column("Movement", 15, "amount"),
    _Column("Closing", 15, "amount"),
    _Column("Debit", 15, "amount"),
    _Column("Credit", 15, "amount"),
    _Column("Journal", 15, "amount"),
    _Column("Difference", 13, "amount"),
)


def _write_trial_balance(
    book: _Book, sheet: Any, connection: Connection, filters: Filters, journal: _Journal
) -> dict[str, int]:
    """Each account's opening, movement and closing balance, the movement beside the sum of its journal lines.

    Codes lead to an account's first line. Returns the row of each role's account, and under "" the last one.
    """
    amount = book.format("amount")
    opening = {}
    if filters.since is not None:
        before = replace(filters, since=None, as_of=filters.since - timedelta(days=1))
        opening = {(b.code, b.role): b.net for b in account_balances(connection, before)}
    balances = account_balances(connection, replace(filters, since=None))
    balances = [b for b in balances if b.net or opening.get((b.code, b.role)) or b.code in journal.first]
    rows: dict[str, int] = {}
    for row, balance in enumerate(balances, 1):
        excel = row + 1
        if balance.code in journal.first:
            name, line = journal.first[balance.code]
            sheet.write_url(row, 0, f"internal:'{name}'!D{line}", book.format("link"), balance.code)
        else:
            sheet.write_string(row, 0, balance.code, book.format("text"))
        for column, value in ((1, balance.title), (2, balance.role)):
            sheet.write_string(row, column, value, book.format("text"))
        was = to_decimal(opening.get((balance.code, balance.role), 0), balance.currency)
        net = to_decimal(balance.net, balance.currency)
        sheet.write_number(row, 3, was, amount)
        sheet.write_number(row, 4, net - was, amount)
        sheet.write_formula(row, 5, f"=D{excel}+E{excel}", amount, net)
        sheet.write_formula(row, 6, f"=MAX(F{excel},0)", amount, max(net, Decimal(0)))
        sheet.write_formula(row, 7, f"=MAX(-F{excel},0)", amount, max(-net, Decimal(0)))
        summed = _over_journal(journal.sheets, f"SUMIFS({{net}},{{code}},A{excel})")
        sheet.write_formula(row, 8, f"={summed}", amount, net - was)
        sheet.write_formula(row, 9, f"=ROUND(E{excel}-I{excel},{exponent(book.currency)})", amount, 0)
        rows.setdefault(balance.role, row)
    last = len(balances) + 1
    sheet.write_string(last, 1, "Total", book.format("total_text"))
    debits = sum((to_decimal(b.net, b.currency) for b in balances if b.net > 0), Decimal(0))
    for column in range(3, len(_TRIAL)):
        letter = "ABCDEFGHIJ"[column]
        formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(book.currency)})"
        sheet.write_formula(last, column, formula, book.format("total"), debits if column in (6, 7) else Decimal(0))
    sheet.autofilter(0, 0, max(last - 1, 1), len(_TRIAL) - 1)
    return rows | {"": last}


def _functional(connection: Connection, filters: Filters, *roles: str) -> dict[tuple[str, str], int]:
    """What each of the roles' sub-ledger accounts holds in the entity's currency, debits above zero, by customer and subject."""
    source, parameters = sides(replace(filters, since=None), *roles)
    rows = connection.execute(
        text(
            f"select c.ref, x.subject, sum(x.sign * x.functional_amount)::bigint as net from ({source}) x"
            " join customer c on c.customer_id = x.customer_id group by 1, 2"
        ),
        parameters,
    )
    return {(row.ref, row.subject): row.net for row in rows}


def _with_functional(report: Report, title: str, of_row: Callable[[Mapping[str, Any]], int]) -> Report:
    """A report with one column more: what a row counts for in the entity's currency."""
    return replace(
        report,
        columns=(*report.columns, Column(_COUNTS, title, "amount")),
        rows=tuple({**row, _COUNTS: of_row(row)} for row in report.rows),
    )


def _tax_payable(connection: Connection, filters: Filters, currency: str) -> Report:
    """Tax payable as posted: by month, code and currency, and what that counts for in the entity's currency."""
    source, parameters = sides(replace(filters, since=None), "tax_payable")
    found = connection.execute(
        text(
            "select to_char(x.effective_on, 'YYYY-MM') as month, x.subject, x.currency, sum(-x.sign * x.amount)::bigint as amount,"
            f" sum(-x.sign * x.functional_amount)::bigint as functional from ({source}) x group by 1, 2, 3 order by 1, 2, 3"
        ),
        parameters,
    )
    columns = (
        Column("month", "Month"), Column("code", "Tax code"), Column("currency", "Currency"), Column("tax", "Tax", "amount"),
        Column(_COUNTS, f"Tax ({currency})", "amount"),
    )  # fmt: skip
    rows = tuple(
        {
            "month": row.month,
            "code": row.subject.removeprefix("tax:"),
            "currency": row.currency,
            "tax": row.amount,
            _COUNTS: row.functional,
        }
        for row in found
    )
    return Report("tax-payable", "Tax payable", columns, rows, sums=False)


# The column that says what an amount counts for in the entity's currency.
_COUNTS = "functional"


def _write_report(book: _Book, name: str, report: Report) -> tuple[str, int]:
    """A report as a sheet, amounts totalled by formulas; returns its name and number of rows. Raises Refused where a sheet can't hold it."""
    _require_fits(report)
    columns = tuple(
        _Column(c.title, 14 if c.kind in ("amount", "date", "number") else 20, c.kind) for c in report.columns
    )
    sheet = _sheet(book, name, columns)
    for row, values in enumerate(report.rows, 1):
        for index, column in enumerate(report.columns):
            currency = book.currency if column.key == _COUNTS else values["currency"]
            _write_cell(book, sheet, row, index, column.kind, values.get(column.key), currency)
    last = len(report.rows) + 1
    if report.rows:
        sheet.autofilter(0, 0, last - 1, len(columns) - 1)
        for offset, totals in enumerate(report.totals):
            _write_totals(book, sheet, last + offset, report, totals)
        if any(column.key == _COUNTS for column in report.columns):
            _write_counted_total(book, sheet, last + len(report.totals), report)
    return name, len(report.rows)


def _require_fits(report: Report) -> None:
    """Raise Refused where a sheet can't hold a report: what is beyond its last row would be gone without a word."""
    below = len(report.totals) + 1  # rows of totals
    if len(report.rows) + below > _REPORT_ROWS_MAX:
        raise Refused(
            "report", f"{report.name} of {len(report.rows):,} rows",
            f"expected at most {_REPORT_ROWS_MAX - below:,}, which a sheet holds: ask for less of it, or for CSV",
        )  # fmt: skip


def _write_totals(book: _Book, sheet: Any, row: int, report: Report, totals: Mapping[str, Any]) -> None:
    """A row of totals: formulas where it is the one sum of all rows, else what the report says."""
    last = len(report.rows) + 1
    for index, column in enumerate(report.columns):
        value = totals.get(column.key)
        if column.kind != "amount":
            text_ = value if isinstance(value, str) else ("Total" if index == 0 else "")
            sheet.write_string(row, index, text_, book.format("total_text"))
        elif value is not None:
            total = to_decimal(value, totals["currency"])
            if report.sums and len(report.totals) == 1:
                letter = xl_col_to_name(index)
                formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(totals['currency'])})"
                sheet.write_formula(row, index, formula, book.format("total"), total)
            else:
                sheet.write_number(row, index, total, book.format("total"))


def _write_counted_total(book: _Book, sheet: Any, row: int, report: Report) -> None:
    """The total of what amounts count for, whatever currencies they are in."""
    index = [column.key for column in report.columns].index(_COUNTS)
    letter, last = xl_col_to_name(index), len(report.rows) + 1
    total = sum((to_decimal(values[_COUNTS], book.currency) for values in report.rows), Decimal(0))
    sheet.write_string(row, 0, f"Total in {book.currency}", book.format("total_text"))
    formula = f"=ROUND(SUM({letter}2:{letter}{last}),{exponent(book.currency)})"
    sheet.write_formula(row, index, formula, book.format("total"), total)


def _sum_of(reports: Mapping[str, Report], sheet: str, key: str) -> str:
    """A formula for the total of one of a report's columns."""
    report = reports[sheet]
    letter = _letter(report, key)
    return f"SUM('{sheet}'!{letter}2:{letter}{len(report.rows) + 1})" if report.rows else "0"


def write(connection: Connection, path: Path, filters: Filters) -> str:
    """Write an entity's workbook: cover, checks, trial balance, journal, and the reports that have to agree with it.

    Returns what was written in a few words. Raises Refused in books without postings.
    """
    entity = connection.execute(
        text("select entity, name, currency from entity where entity = :entity"), {"entity": filters.entity}
    ).one()
    home = entity.currency
    with xlsxwriter.Workbook(str(path), {"constant_memory": False, "strings_to_formulas": False}) as file:
        book = _Book(file, home)
        cover, checks = file.add_worksheet("Cover"), file.add_worksheet("Checks")
        as_of = filters.as_of or month_end(last_day(connection, filters))
        trial_balance = _sheet(book, "Trial balance", _TRIAL)
        journal = _write_lines(book, connection, filters)
        if not journal.sheets:
            raise Refused("export", "workbook", "expected postings to export; none match")
        rows = _write_trial_balance(book, trial_balance, connection, filters, journal)
        reports = _reports(connection, filters, home, as_of)
        for name, report in reports.items():
            _write_report(book, name, report)
        ties = [
            ("Debits equal credits over the journal", _over_journal(journal.sheets, "SUM({debit})-SUM({credit})")),
            ("Trial balance sums to zero", f"'Trial balance'!F{rows[''] + 1}"),
            ("Every account's movement equals its journal lines", f"SUMPRODUCT(ABS('Trial balance'!J2:J{rows['']}))"),
            *_ties(reports, rows, whole=filters.since is None),
        ]
        _write_checks(book, checks, ties)
        _write_cover(book, cover, _facts(connection, entity, filters, as_of, journal), len(ties))
        cover.activate()
    lines = sum(count for _, count in journal.sheets)
    return f"{lines:,} journal lines, {len(ties)} checks"


def _reports(connection: Connection, filters: Filters, home: str, as_of: date) -> dict[str, Report]:
    """The sheets after the journal: what was asked for, as of its last day, with what counts in the entity's currency."""
    until = replace(filters, since=None)  # what is open, left or agreed is so as of a day
    receivables = _functional(connection, filters, "accounts_receivable")
    credits_ = _functional(connection, filters, "customer_credits")
    return {
        "Revenue waterfall": waterfall(connection, replace(filters, transaction=False)),
        "Deferred roll-forward": deferred_roll_forward(connection, filters),
        "Contract balances": contract_balances(connection, filters),
        "Receivables": _with_functional(
            ar_aging(connection, replace(until, as_of=as_of)), f"Due ({home})",
            lambda row: receivables.get((row["customer"], f"invoice:{row['invoice']}"), 0),
        ),
        "Wallets": _with_functional(
            wallet(connection, until), f"Liability ({home})", lambda row: -credits_.get((row["customer"], f"grant:{row['grant']}"), 0)
        ),
        "Tax": tax(connection, filters),
        "Tax payable": _tax_payable(connection, filters, home),
        "Contracts": contracts(connection, until),
    }  # fmt: skip


def _ties(reports: Mapping[str, Report], rows: dict[str, int], *, whole: bool) -> list[tuple[str, str]]:
    """What of the reports has to be the trial balance's, as formulas that come to zero."""
    deferred = "+".join(_balance(rows, role) for role in CONTRACT_LIABILITIES)
    closing = reports["Deferred roll-forward"]
    found = [
        ("Receivables by age equal accounts receivable", f"{_sum_of(reports, 'Receivables', _COUNTS)}-{_balance(rows, 'accounts_receivable')}"),
        ("Wallets' liability equals customer credits", f"{_sum_of(reports, 'Wallets', _COUNTS)}+{_balance(rows, 'customer_credits')}"),
        ("Deferred revenue rolls forward to its balance", f"{_last_of(closing, 'Deferred roll-forward', 'closing')}+{deferred}"),
        (
            "Receivables of the contract balances equal accounts receivable",
            f"{_row_of(reports['Contract balances'], 'Contract balances', 'Receivables')}-{_balance(rows, 'accounts_receivable')}",
        ),
        (
            "Contract assets less liabilities equal their accounts", (
            f"{_row_of(reports['Contract balances'], 'Contract balances', 'Contract assets')}"
            f"-{_row_of(reports['Contract balances'], 'Contract balances', 'Contract liabilities')}"
            f"-{_balance(rows, 'unbilled_receivable')}-({deferred})"),
        ),
        ("Tax posted equals tax payable", f"{_sum_of(reports, 'Tax payable', _COUNTS)}+{_balance(rows, 'tax_payable')}"),
    ]  # fmt: skip
    if whole:
        revenue = reports["Revenue waterfall"]
        amounts, statuses = (
            f"'Revenue waterfall'!{letter}2:{letter}{len(revenue.rows) + 1}"
            for letter in (_letter(revenue, "amount"), _letter(revenue, "status"))
        )
        # its rows alone: totals by status stand below them
        recognised = f'SUMIFS({amounts},{statuses},"recognised")' if revenue.rows else "0"
        earned = "+".join(_balance(rows, role) for role in REVENUE_ROLES)
        found.append(("Recognised in the waterfall equals revenue", f"{recognised}+{earned}"))
    return found


def _letter(report: Report, key: str) -> str:
    found: str = xl_col_to_name([column.key for column in report.columns].index(key))
    return found


def _last_of(report: Report, sheet: str, key: str) -> str:
    """A formula for the last row of a report's column."""
    return f"'{sheet}'!{_letter(report, key)}{len(report.rows) + 1}" if report.rows else "0"


def _row_of(report: Report, sheet: str, balance: str) -> str:
    """A formula for the closing amount of the line of contract balances that has a name."""
    number = next((row for row, values in enumerate(report.rows, 2) if values["balance"] == balance), None)
    return "0" if number is None else f"'{sheet}'!{_letter(report, 'closing')}{number}"


def _facts(
    connection: Connection, entity: Any, filters: Filters, as_of: date, journal: _Journal
) -> list[tuple[str, str]]:
    """What the cover says of the file: whose books, which of them, and by which seal they can be held to."""
    sheets = len(journal.sheets)
    split = f", split over {sheets} sheets: a sheet holds {ROWS_MAX:,}" if sheets > 1 else ""
    block = seals.head(connection)
    sealed = "nothing is sealed yet" if block is None else (
        f"entries through {block.as_json()['last_entry']}, seal {block.seal_id}: {block.hash.hex()}"
    )  # fmt: skip
    now = connection.scalar(text("select now()"))
    known = filters.known_at or now
    return [
        ("Books of", entity.name),
        ("Entity", entity.entity),
        ("Currency", entity.currency),
        ("From", filters.since.isoformat() if filters.since else "the first entry"),
        ("To", as_of.isoformat()),
        ("As known at", f"{known:%Y-%m-%d %H:%M:%S} UTC" if known else ""),
        ("Sealed", sealed),
        ("Journal lines", f"{sum(rows for _, rows in journal.sheets):,}{split}"),
        ("Source", f"Tickmark {version('tickmark')}: every figure is a sum over the journal lines in this file"),
    ]


def _balance(rows: dict[str, int], role: str) -> str:
    return f"SUMIFS('Trial balance'!F:F,'Trial balance'!C:C,\"{role}\")" if role in rows else "0"


def _write_checks(book: _Book, sheet: Any, ties: list[tuple[str, str]]) -> None:
    sheet.set_column(0, 0, 52)
    sheet.set_column(1, 2, 16)
    for column, title in enumerate(("Check", "Difference", "Result")):
        sheet.write_string(0, column, title, book.format(("head", "head_right", "head_center")[column]))
    places = exponent(book.currency)
    for row, (sentence, formula) in enumerate(ties, 1):
        sheet.write_string(row, 0, sentence, book.format("text"))
        sheet.write_formula(row, 1, f"=ROUND({formula},{places})", book.format("amount"), 0)
        sheet.write_formula(row, 2, f'=IF(B{row + 1}=0,"PASS","FAIL")', book.format("pass"), "PASS")
    row = len(ties) + 1
    sheet.write_string(row, 0, "All", book.format("total_text"))
    sheet.write_formula(
        row, 2, f'=IF(COUNTIF(C2:C{row},"PASS")={len(ties)},"PASS","FAIL")', book.format("pass"), "PASS"
    )
    sheet.freeze_panes(1, 0)
    sheet.fit_to_pages(1, 0)


def _write_cover(book: _Book, sheet: Any, facts: list[tuple[str, str]], checks: int) -> None:
    sheet.hide_gridlines(2)
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, facts[0][1], book.format("title"))
    for row, (label, value) in enumerate(facts[1:], 2):
        sheet.write_string(row, 0, label, book.format("label"))
        sheet.write_string(row, 1, value, book.format("text"))
    row = len(facts) + 1
    sheet.write_string(row, 0, "Checks", book.format("label"))
    sheet.write_formula(row, 1, f"=Checks!C{checks + 2}", book.format("link"), "PASS")
    row += 2
    sheet.write_string(row, 0, "Sheets", book.format("label"))
    for name in [s.name for s in book.file.worksheets() if s.name != "Cover"]:
        sheet.write_url(row, 1, f"internal:'{name}'!A1", book.format("link"), name)
        row += 1
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)


def write_report(report: Report, output: Path | IO[bytes]) -> None:
    """One report as a workbook of one sheet, written row by row. Raises Refused where a sheet can't hold it."""
    _require_fits(report)
    if isinstance(output, Path):
        with output.open("wb") as file:
            write_report(report, file)
        return
    currency = next((row["currency"] for row in report.rows), "USD")
    with xlsxwriter.Workbook(output, {"strings_to_formulas": False, "constant_memory": True}) as book:
        _write_report(_Book(book, currency), report.title[:_SHEET_NAME_MAX], report)


def totals(path: Path) -> dict[str, Decimal]:
    """Debit less credit by account code over the journal sheets, as the file says."""
    with path.open("rb") as file:  # by its content: openpyxl refuses names that do not end in .xlsx
        return _totals(openpyxl.load_workbook(file, read_only=True))


def _totals(book: Any) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    try:
        for sheet in book:
            if not sheet.title.startswith("Journal"):
                continue
            for values in sheet.iter_rows(min_row=2, min_col=4, max_col=8, values_only=True):
                code, net = values[0], values[4]
                # A cell is a binary float; its shortest decimal form is what was written.
                sums[str(code)] = sums.get(str(code), Decimal(0)) + Decimal(repr(net))
    finally:
        book.close()
    return sums
