"""The workbook: the books of one entity for an auditor, every total a live formula over the detail beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openpyxl
import xlsxwriter
from sqlalchemy import Connection, text
from xlsxwriter.utility import xl_col_to_name

from adapters.targets import sheets
from adapters.targets.journal_sheets import TRIAL, Journal, over_journal, write_lines, write_trial_balance
from adapters.targets.sheets import COUNTS, Book, add_report, add_sheet
from ledger.accounts.chart import CONTRACT_LIABILITIES
from ledger.amounts.dates import month_end
from ledger.amounts.money import exponent
from ledger.errors import Refused
from ledger.proof import seals
from ledger.reports.aging import ar_aging
from ledger.reports.report import Column, Filters, Report, last_day, sides
from ledger.reports.tax import tax
from ledger.reports.wallet import wallet
from revrec.reports.audit_logs import contracts
from revrec.reports.contract_balances import contract_balances
from revrec.reports.roll_forwards import deferred_roll_forward
from revrec.reports.waterfall import REVENUE_ROLES, waterfall


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
        columns=(*report.columns, Column(COUNTS, title, "amount")),
        rows=tuple({**row, COUNTS: of_row(row)} for row in report.rows),
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
        Column(COUNTS, f"Tax ({currency})", "amount"),
    )  # fmt: skip
    rows = tuple(
        {
            "month": row.month,
            "code": row.subject.removeprefix("tax:"),
            "currency": row.currency,
            "tax": row.amount,
            COUNTS: row.functional,
        }
        for row in found
    )
    return Report("tax-payable", "Tax payable", columns, rows, sums=False)


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
        book = Book(file, home)
        cover, checks = file.add_worksheet("Cover"), file.add_worksheet("Checks")
        as_of = filters.as_of or month_end(last_day(connection, filters))
        trial_balance = add_sheet(book, "Trial balance", TRIAL)
        journal = write_lines(book, connection, filters)
        if not journal.sheets:
            raise Refused("export", "workbook", "expected postings to export; none match")
        rows = write_trial_balance(book, trial_balance, connection, filters, journal)
        reports = _reports(connection, filters, home, as_of)
        for name, report in reports.items():
            add_report(book, name, report)
        ties = [
            ("Debits equal credits over the journal", over_journal(journal.sheets, "SUM({debit})-SUM({credit})")),
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
        ("Receivables by age equal accounts receivable", f"{_sum_of(reports, 'Receivables', COUNTS)}-{_balance(rows, 'accounts_receivable')}"),
        ("Wallets' liability equals customer credits", f"{_sum_of(reports, 'Wallets', COUNTS)}+{_balance(rows, 'customer_credits')}"),
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
        ("Tax posted equals tax payable", f"{_sum_of(reports, 'Tax payable', COUNTS)}+{_balance(rows, 'tax_payable')}"),
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
    connection: Connection, entity: Any, filters: Filters, as_of: date, journal: Journal
) -> list[tuple[str, str]]:
    """What the cover says of the file: whose books, which of them, and by which seal they can be held to."""
    many = len(journal.sheets)
    split = f", split over {many} sheets: a sheet holds {sheets.ROWS_MAX:,}" if many > 1 else ""
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


def _write_checks(book: Book, sheet: Any, ties: list[tuple[str, str]]) -> None:
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


def _write_cover(book: Book, sheet: Any, facts: list[tuple[str, str]], checks: int) -> None:
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
