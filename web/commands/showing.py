"""Commands that show: reports, traces, invoices, the rulebook."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from web.commands.options import DAY, MOMENT
from web.commands.shell import REFUSED, author, refusals

if TYPE_CHECKING:
    from ledger.reports.report import Report

REPORT_NAMES = (
    "trial-balance", "income-statement", "balance-sheet", "summary", "revenue-waterfall", "deferred-rollforward", "asset-rollforward",
    "contract-balances", "remaining-obligations", "disaggregation", "schedule", "unbilled", "standing", "below-zero", "stand-alone-prices", "contracts", "allocation", "modifications",
    "estimates", "financing", "contract-costs", "recognition-journal", "changes", "wallet", "wallet-forecast", "wallet-alerts", "ar-aging", "statement", "dunning", "tax",
    "discounts", "differences", "money-accounts", "unidentified-receipts", "tax-payable", "between-entities", "approvals", "exported",
)  # fmt: skip


@click.command()
@click.argument("name", type=click.Choice(REPORT_NAMES), metavar="NAME")
@click.option("--from", "since", type=DAY, help="First day counted.")
@click.option("--to", "until", type=DAY, help="Last day counted; the same as --as-of.")
@click.option("--as-of", type=DAY, help="Last day counted: what was effective by then.")
@click.option("--known-at", type=MOMENT, help="What was posted by this moment.")
@click.option("--against", type=MOMENT, help="Show what differs from the report as known then, and why.")
@click.option("--entity")
@click.option("--customer")
@click.option("--product")
@click.option("--currency")
@click.option("--contract")
@click.option(
    "--by",
    "period",
    type=click.Choice(("month", "quarter", "year")),
    default="month",
    show_default=True,
    help="What disclosures add up over.",
)
@click.option(
    "--group",
    multiple=True,
    type=click.Choice(("customer", "contract", "product")),
    help="What disclosures keep apart; may be repeated.",
)
@click.option(
    "--transaction-currency/--functional-currency",
    "transaction",
    default=None,
    help="Disclosures in the currencies of transactions, or of entities; by default schedules in the one, balances in the other.",
)
@click.option("--memorandum", is_flag=True, help="Include memorandum accounts.")
@click.option("--format", "form", type=click.Choice(("table", "json", "csv", "xlsx")), default="table")
@click.option("--output", type=click.Path(dir_okay=False), help="Where to write; standard output otherwise.")
def report(
    name: str, since: date | None, until: date | None, as_of: date | None, known_at: datetime | None, against: datetime | None,
    entity: str | None, customer: str | None, product: str | None, currency: str | None, contract: str | None, period: str,
    group: tuple[str, ...], transaction: bool | None, memorandum: bool, form: str, output: str | None,
) -> None:  # fmt: skip
    """Print the report NAME. Every figure is a sum over postings.

    \b
    Books:        trial-balance, income-statement, balance-sheet, summary,
                  money-accounts, unidentified-receipts,
                  between-entities, approvals,
                  changes (since --known-at)
    Revenue:      revenue-waterfall, schedule, disaggregation,
                  recognition-journal, discounts, standing, below-zero
    Contracts:    contracts, deferred-rollforward, asset-rollforward,
                  contract-balances, remaining-obligations, unbilled,
                  allocation, modifications,
                  estimates, financing, stand-alone-prices, contract-costs
    Wallets:      wallet, wallet-forecast, wallet-alerts
    Receivables:  ar-aging, statement, dunning, tax,
                  tax-payable, differences
    Elsewhere:    exported (what was sent to accounting systems)
    """  # noqa: D301 - click's own mark for text that keeps its lines
    if as_of and until and as_of != until:
        raise click.UsageError("--to and --as-of are the same limit; give one")
    if form == "xlsx" and not output:
        raise click.UsageError("--format xlsx needs --output")
    from ledger.database.connect import opened
    from ledger.reports.report import Filters
    from web.work import reports

    filters = Filters(since, as_of or until, known_at, entity, customer, product, currency, memorandum,
                      contract, group, period, transaction)  # fmt: skip
    with refusals():
        with opened() as engine, engine.connect() as connection:
            made = reports.make(connection, name, filters, against)
        _write_report(made, form, output)


def _write_report(made: Report, form: str, output: str | None) -> None:
    from web.work import reports

    if output is None:
        for line in reports.csv_lines(made) if form == "csv" else (reports.render(made, form),):
            click.echo(line, nl=False)
        return
    if form == "xlsx":
        from adapters.targets.sheets import write_report

        write_report(made, Path(output))
    else:
        with Path(output).open("w", encoding="utf-8") as file:
            file.writelines(reports.csv_lines(made) if form == "csv" else (reports.render(made, form),))
    click.echo(f"wrote {output}")


@click.command()
@click.argument("ref")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def trace(ref: str, form: str) -> None:
    """Show the whole chain of REF, both ways.

    \b
    REF is an entry's number, a document (invoice:INV-1, or INV-1), or what a
    document is called elsewhere: an id of another system (stripe:ch_1, or
    ch_1), or a reference (reference:PO-17, or PO-17).
    """  # noqa: D301 - click's own mark for text that keeps its lines
    from adapters.out import trace_back as tracing
    from ledger.database.connect import opened
    from web.render.terminal import trace_text

    with refusals(), opened() as engine, engine.connect() as connection:
        found = tracing.trace(connection, ref)
    click.echo(json.dumps(found.as_json(), indent=2) if form == "json" else trace_text(found), nl=form == "json")


@click.command()
@click.argument("ref", required=False)
@click.option("--draft", type=click.File("rb"), help="A file with one invoice document: show it without posting it.")
@click.option("--unfold", is_flag=True, help="Show every line, and the usage each one bills.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def invoice(ref: str | None, draft: IO[bytes] | None, unfold: bool, form: str) -> None:
    """Show the invoice REF as its reader sees it; with --draft, one that is not posted, and what it would post."""
    if (ref is None) == (draft is None):
        raise click.UsageError("give the id of an invoice, or --draft FILE")
    from ledger.database.connect import opened
    from ledger.invoices.show import read_invoice
    from web.render.terminal import invoice_text
    from web.work.drafts import preview

    posts: tuple[Any, ...] = ()
    with refusals(), opened() as engine:
        if draft is not None:
            made = preview(engine, b" ".join(draft.read().splitlines()), author())
            for problem in made.problems:
                click.echo(f"{draft.name}: {problem}", err=True)
            if made.invoice is None:
                raise SystemExit(REFUSED)
            shown, posts = made.invoice, made.entries
        else:
            assert ref is not None, "checked above"
            with engine.connect() as connection:
                shown = read_invoice(connection, ref)
    if form == "json":
        click.echo(json.dumps(shown.as_json(), indent=2, ensure_ascii=False))
        return
    click.echo(invoice_text(shown, unfold=unfold), nl=False)
    for entry in posts:
        click.echo(f"would post on {entry.effective_on}: {entry.amounts()}")


@click.command()
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def rules(form: str) -> None:
    """Print the rulebook: every event that posts, what it debits and credits, and why."""
    from ledger.accounts.rulebook import RULES
    from web.render.terminal import rules_text

    if form == "json":
        click.echo(json.dumps([
            {"number": r.number, "code": r.code, "debit": r.debit, "credit": r.credit, "why": r.why, "citation": r.citation}
            for r in RULES.values()
        ], indent=2))  # fmt: skip
    else:
        click.echo(rules_text(), nl=False)


@click.command("print")
@click.argument(
    "kind",
    type=click.Choice(["invoice", "credit_note", "invoice_void", "credit_note_void", "payment_reversal", "statement"]),
)
@click.argument("ref")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A file ending in .pdf or .html."
)
@click.option("--entity", help="Statements: of the account with this entity; needed where there are several.")
@click.option("--from", "since", type=DAY, help="Statements: the first day shown; what was before is brought forward.")
@click.option(
    "--to", "--as-of", "until", type=DAY, help="Statements: the last day shown; the last day of the books by default."
)
def print_(kind: str, ref: str, output: Path, entity: str | None, since: date | None, until: date | None) -> None:
    """Write invoice, credit note, void or returned payment REF, or the statement of account of customer REF, as it is sent: PDF or HTML."""
    from ledger.database.connect import opened
    from ledger.journal import periods
    from ledger.reports.report import Filters, last_day
    from web.render import printed

    if output.suffix not in (".pdf", ".html"):
        raise click.BadParameter(f"{output}: expected a file ending in .pdf or .html", param_hint="--output")
    with refusals(), opened() as engine, engine.connect() as connection:
        if kind == "statement":
            of = entity or periods.only_entity(connection)
            last = until or last_day(connection, Filters(entity=of))
            sheet = printed.print_statement(connection, ref, of, since, last)
        else:
            sheet = printed.print_document(connection, kind, ref)
        content = sheet.pdf() if output.suffix == ".pdf" else sheet.html.encode()
    try:
        output.write_bytes(content)
    except OSError as error:
        raise click.BadParameter(f"{output}: {error.strerror}", param_hint="--output") from error
    click.echo(f"{sheet.title}: {output}")
