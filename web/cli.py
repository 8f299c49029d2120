"""The command line: `tickmark`."""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, cast

import click

from ledger.errors import Problem, ProblemList, Refused
from web.options import DAY, MOMENT, MONTH

REFUSED = 1  # exit code: refused, or something differs


def author() -> str:
    """Who posts from this command line: TICKMARK_USER, else the login name."""
    given = os.environ.get("TICKMARK_USER")
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def _refusals() -> Iterator[None]:
    """Show a refusal on standard error, a line for each thing that is wrong, and exit with 1."""
    try:
        yield
    except ProblemList as several:
        for problem in several.problems:
            click.echo(f"refused: {problem}", err=True)
        raise SystemExit(REFUSED) from None
    except Refused as refusal:
        click.echo(f"refused: {refusal}", err=True)
        raise SystemExit(REFUSED) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tickmark")
def main() -> None:
    """Double-entry books under usage-based billing: every dollar traces to its source.

    The database is the one TICKMARK_DATABASE_URL names, else an embedded PostgreSQL in the folder TICKMARK_DATA
    (tickmark-data in the current folder).
    """
    # A plain kill must stop the embedded server too, which happens at exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Check everything, post nothing.")
@click.option("--keep-going", is_flag=True, help="Post the good lines; write the others to a rejects file.")
@click.option("--refuse-late", is_flag=True, help="Refuse documents dated in closed months.")
@click.option("--rejects", type=click.Path(dir_okay=False), help="Where --keep-going writes refused lines.")
def post(files: tuple[str, ...], dry_run: bool, keep_going: bool, refuse_late: bool, rejects: str | None) -> None:
    """Post documents from JSON Lines FILES; - reads standard input.

    A file is one transaction: any bad line, and nothing of it is posted. A document dated in a closed month posts into
    the first open one and keeps its own date, unless it is refused with --refuse-late.
    """
    for name in files:
        if name != "-" and not Path(name).exists():
            raise click.UsageError(f"no such file: {name}")
    from ledger.database import opened
    from revrec.intake import TYPES
    from web.files import progress as progress_bar
    from web.files import rejects_file, spooled
    from web.posting import How, post_file

    how = How(keep_going, dry_run, refuse_late)
    failed = False
    with _refusals(), opened() as engine:
        for name in files:
            with spooled(name) as stream, rejects_file(name, rejects, keep_going) as rejected:

                def report(problem: Problem, raw: bytes, name: str = name, out: IO[bytes] | None = rejected) -> None:
                    click.echo(f"{name}: {problem}", err=True)
                    if out is not None:
                        out.write(raw + b"\n")

                with progress_bar(stream, name) as progress:
                    result = post_file(engine, stream, TYPES, author(), report, how, progress)
            click.echo(f"{name}: {result.sentence}")
            failed = failed or result.outcome.refused > 0
    if failed:
        raise SystemExit(REFUSED)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--timestamp", required=True, help="The column that says when.")
@click.option("--quantity", "quantities", required=True, multiple=True, help="A column to add up; may be repeated.")
@click.option("--per", type=click.Choice(("minute", "hour", "day")), default="minute", show_default=True)
@click.option("--time-zone", default="UTC", show_default=True, help="Where days begin; the entity's.")
@click.option("--customer", required=True)
@click.option("--entity", required=True)
@click.option("--product", required=True)
@click.option("--currency", required=True)
@click.option("--unit-price", required=True, help="Price of one unit of the quantities added up.")
def usage(file: str, timestamp: str, quantities: tuple[str, ...], per: str, time_zone: str, **terms: str) -> None:
    """Print usage documents made from the rows of a CSV FILE, for `tickmark post -`.

    Rows are added up by minute, hour or day; each document names the rows it was made of.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from adapters.usage_csv import tally, usage_documents

    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise click.UsageError(f"--time-zone {time_zone}: expected a name such as Europe/Berlin") from None
    with _refusals(), Path(file).open(encoding="utf-8-sig", newline="") as stream:
        tallies = tally(stream, timestamp, quantities, per, zone)
        for document in usage_documents(tallies, Path(file).name, **terms):
            click.echo(json.dumps(document, ensure_ascii=False))


@main.command()
@click.option("--through", type=MONTH, required=True, help="The last month to recognise, such as 2026-01.")
@click.option("--dry-run", is_flag=True, help="Show what would post, and post nothing.")
@click.option(
    "--format", "form", type=click.Choice(("table", "json", "csv")), default="table", help="Of what --dry-run shows."
)
def recognize(through: date, dry_run: bool, form: str) -> None:
    """Post revenue that is due and not yet posted, credits that expired, and contract costs."""
    from ledger.database import opened
    from ledger.dates import month_text
    from revrec.recognition import postings_of
    from revrec.recognition import recognize as run_recognition
    from web.reports import render

    with _refusals(), opened() as engine, engine.connect() as connection, connection.begin() as transaction:
        run = run_recognition(connection, through, author())
        if dry_run:
            tried = postings_of(connection, run)
            transaction.rollback()
            click.echo(render(tried, form), nl=False)
            return
    if run.entries:
        expired = f", {run.expired_grants:,} of them expiries of credits" if run.expired_grants else ""
        click.echo(f"recognised through {month_text(through)}: {run.entries:,} entries{expired}")
    else:
        click.echo(f"recognised through {month_text(through)}: nothing was due")


@main.command()
@click.argument("month", type=MONTH)
@click.option("--entity", help="Revalue this entity only; all otherwise.")
def revalue(month: date, entity: str | None) -> None:
    """Revalue money and claims in other currencies at MONTH's closing rate, reversed on the next day."""
    from ledger import revaluation
    from ledger.database import opened
    from ledger.dates import month_text
    from ledger.money import grouped

    with _refusals(), opened() as engine, engine.begin() as connection:
        entities = {name: _functional(connection, name) for name in _entities(connection, entity)}
        runs = [revaluation.revalue(connection, name, month, author()) for name in entities]
    for run in runs:
        shown = ", ".join(
            f"{'gain' if amount > 0 else 'loss'} of {grouped(abs(amount), entities[run.entity])} "
            f"{entities[run.entity]} on {currency}"
            for currency, amount in sorted(run.gained.items())
        )
        told = f"{run.entries:,} entries: {shown}" if run.entries else "nothing to revalue"
        click.echo(f"revalued {month_text(month)} for {run.entity}: {told}")


def _functional(connection: Any, entity: str) -> str:
    from ledger import periods

    return periods.currency(connection, entity)


@main.command()
@click.option("--from", "since", type=DAY, required=True, help="First day.")
@click.option("--to", "until", type=DAY, required=True, help="Last day.")
@click.option("--currency", "currencies", multiple=True, help="A currency; may be repeated. All otherwise.")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False), help="The ECB's eurofxref-hist.zip.")
def rates(since: date, until: date, currencies: tuple[str, ...], path: str | None) -> None:
    """Print the ECB's exchange rates as fx_rate documents, for `tickmark post -`."""
    from adapters.ecb import rate_documents

    with _refusals():
        for document in rate_documents(since, until, currencies, path):
            click.echo(json.dumps(document))


def _entities(connection: Any, entity: str | None) -> list[str]:
    from ledger import periods

    return [entity] if entity else periods.entities(connection)


@main.command()
@click.argument("month", type=MONTH)
@click.option("--entity", help="Close it for this entity only; all otherwise.")
@click.option("--check", is_flag=True, help="Say what the month still waits for, and close nothing.")
def close(month: date, entity: str | None, check: bool) -> None:
    """Close MONTH: nothing posts into it any more, and what is posted is sealed."""
    from ledger import periods, seals
    from ledger.database import opened
    from ledger.dates import month_text

    if check:
        _check_close(month, entity)
        return
    with _refusals(), opened() as engine:
        with engine.begin() as connection:
            closed = _entities(connection, entity)
            for name in closed:
                periods.close(connection, name, month, author())
        for name in closed:
            click.echo(f"{month_text(month)} is closed for {name}")
        sealed = seals.seal(engine, author())
    if sealed.entries:
        click.echo(sealed.sentence)


def _check_close(month: date, entity: str | None) -> None:
    """Print the checklist of each entity; exit 1 where something is not done."""
    from ledger.database import opened
    from web.closing import checklist

    waiting = 0
    with _refusals(), opened() as engine:
        with engine.connect() as connection:
            names = _entities(connection, entity)
        for name in names:
            for item in checklist(engine, name, month, author()):
                waiting += not item.done
                detail = f": {item.detail}" if item.detail else ""
                click.echo(f"{'ok  ' if item.done else 'TODO'} {name}: {item.name}{detail}")
    if waiting:
        raise SystemExit(REFUSED)


@main.command()
@click.argument("month", type=MONTH)
@click.option("--entity", help="Open it for this entity only; all otherwise.")
@click.option("--reason", required=True, help="Why it is opened again; kept on record.")
def reopen(month: date, entity: str | None, reason: str) -> None:
    """Open MONTH, the last closed one, again."""
    from ledger import periods
    from ledger.database import opened
    from ledger.dates import month_text

    with _refusals(), opened() as engine, engine.begin() as connection:
        reopened = _entities(connection, entity)
        for name in reopened:
            periods.reopen(connection, name, month, author(), reason)
    for name in reopened:
        click.echo(f"{month_text(month)} is open again for {name}")


REPORT_NAMES = (
    "trial-balance", "income-statement", "balance-sheet", "summary", "revenue-waterfall", "deferred-rollforward", "asset-rollforward",
    "contract-balances", "remaining-obligations", "disaggregation", "schedule", "unbilled", "stand-alone-prices", "contracts", "allocation", "modifications",
    "estimates", "financing", "contract-costs", "recognition-journal", "changes", "wallet", "wallet-forecast", "wallet-alerts", "ar-aging", "statement", "dunning", "tax",
    "discounts", "between-entities", "exported",
)  # fmt: skip


@main.command()
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
                  between-entities, changes (since --known-at)
    Revenue:      revenue-waterfall, schedule, disaggregation,
                  recognition-journal, discounts
    Contracts:    contracts, deferred-rollforward, asset-rollforward,
                  contract-balances, remaining-obligations, unbilled,
                  allocation, modifications,
                  estimates, financing, stand-alone-prices, contract-costs
    Wallets:      wallet, wallet-forecast, wallet-alerts
    Receivables:  ar-aging, statement, dunning, tax
    Elsewhere:    exported (what was sent to accounting systems)
    """  # noqa: D301 - click's own mark for text that keeps its lines
    if as_of and until and as_of != until:
        raise click.UsageError("--to and --as-of are the same limit; give one")
    if form == "xlsx" and not output:
        raise click.UsageError("--format xlsx needs --output")
    from ledger.database import opened
    from ledger.reports import Filters
    from web import reports

    filters = Filters(since, as_of or until, known_at, entity, customer, product, currency, memorandum,
                      contract, group, period, transaction)  # fmt: skip
    with _refusals(), opened() as engine, engine.connect() as connection:
        made = reports.make(connection, name, filters, against)
    if form == "xlsx":
        from adapters.workbook import write_report

        assert output is not None, "checked above"
        write_report(made, Path(output))
        click.echo(f"wrote {output}")
        return
    content = reports.render(made, form)
    if output:
        Path(output).write_text(content, encoding="utf-8")
        click.echo(f"wrote {output}")
    else:
        click.echo(content, nl=False)


@main.command()
@click.argument("ref")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def trace(ref: str, form: str) -> None:
    """Show the whole chain of REF, both ways: an entry's number, or a document such as invoice:INV-1 or INV-1."""
    from adapters import traced as tracing
    from ledger.database import opened
    from web.tables import trace_text

    with _refusals(), opened() as engine, engine.connect() as connection:
        found = tracing.trace(connection, ref)
    click.echo(json.dumps(found.as_json(), indent=2) if form == "json" else trace_text(found), nl=form == "json")


@main.command()
@click.argument("ref", required=False)
@click.option("--draft", type=click.File("rb"), help="A file with one invoice document: show it without posting it.")
@click.option("--unfold", is_flag=True, help="Show every line, and the usage each one bills.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def invoice(ref: str | None, draft: IO[bytes] | None, unfold: bool, form: str) -> None:
    """Show the invoice REF as its reader sees it; with --draft, one that is not posted, and what it would post."""
    if (ref is None) == (draft is None):
        raise click.UsageError("give the id of an invoice, or --draft FILE")
    from ledger.database import opened
    from ledger.invoices import read_invoice
    from web.drafts import preview
    from web.tables import invoice_text

    posts: tuple[Any, ...] = ()
    with _refusals(), opened() as engine:
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


# Systems that exports can be sent to.
CONNECTED = ("quickbooks", "zoho")
AS_THEY_ARE = ("workbook", "parquet", "audit-gl", "revenue-data")
EXPORT_TARGETS = (
    *AS_THEY_ARE, "quickbooks", "quickbooks-csv", "quickbooks-iif", "zoho", "zoho-csv", "netsuite", "netsuite-rest", "intacct", "xero",
    "beancount", "hledger",
)  # fmt: skip


@main.command()
@click.argument("target", type=click.Choice(EXPORT_TARGETS))
@click.option("--output", type=click.Path(), help="The file to write, or the folder of files.")
@click.option("--entity", help="The entity to export; needed where there are several.")
@click.option("--from", "since", type=DAY, help="First day exported.")
@click.option("--to", "until", type=DAY, help="Last day exported.")
@click.option("--known-at", type=MOMENT, help="The workbook: what was posted by this moment.")
@click.option(
    "--mapping", type=click.Path(exists=True, dir_okay=False), help="Which accounts ours are there (docs/exports.md)."
)
@click.option(
    "--detail", type=click.Choice(["entry", "document", "day", "month"]), help="What becomes one entry there."
)
@click.option("--check", "check_only", is_flag=True, help="Only say whether everything is mapped and would be taken.")
@click.option("--new", is_flag=True, help="Only what did not go out yet, in whole months; keeps what went out.")
@click.option("--again", type=int, metavar="EXPORT", help="The file of a kept export once more.")
@click.option("--send", type=int, metavar="EXPORT", help="Send a kept export to QuickBooks or Zoho, each object once.")
@click.option("--status", is_flag=True, help="Show what went out, and what is new.")
def export(
    target: str,
    output: str | None,
    entity: str | None,
    since: date | None,
    until: date | None,
    known_at: datetime | None,
    mapping: str | None,
    detail: str | None,
    check_only: bool,
    new: bool,
    again: int | None,
    send: int | None,
    status: bool,
) -> None:
    """Write a file for an accounting system or a spreadsheet, and prove that it ties to the trial balance.

    With --send, what a kept export holds is made in QuickBooks or Zoho itself, where `tickmark connect` logged in.
    """
    from adapters.export import How, check_export, export_again, export_file, export_new, export_status
    from ledger.database import opened
    from ledger.reports import Filters

    if known_at is not None and target != "workbook":
        raise click.UsageError("--known-at is for the workbook: what goes to another system is what the books say now")
    filters, how = (
        Filters(since=since, as_of=until, entity=entity, known_at=known_at),
        How(mapping, cast("Any", detail)),
    )
    if target in AS_THEY_ARE and (mapping or detail or check_only or new or again or send or status):
        raise click.UsageError(f"{target} takes none of these options: it shows the books as they are")
    if check_only + new + status + (again is not None) + (send is not None) > 1:
        raise click.UsageError("expected one of --check, --new, --again, --send and --status")
    if (again is not None or send is not None) and (entity or since or until or detail):
        option = "--again writes" if send is None else "--send sends"
        raise click.UsageError(
            f"{option} what the kept export held: expected it without --entity, --from, --to and --detail"
        )
    if send is not None:
        _send(target, send, output, mapping)
        return
    with _refusals(), opened() as engine, engine.connect() as connection:
        if check_only:
            click.echo(f"would write {check_export(connection, target, filters, how)}")
            return
        if status:
            from web.tables import table_text

            click.echo(table_text(export_status(connection, target, filters)), nl=False)
            return
        if new:
            done = export_new(connection, target, filters, output, how, author())
        elif again is not None:
            done = export_again(connection, target, again, output, how)
        else:
            done = export_file(connection, target, filters, output, how)
    click.echo(f"wrote {done.path}: {done.summary}; ties to the trial balance")


def _send(target: str, export_id: int, output: str | None, mapping: str | None) -> None:
    """Send a kept export, and exit with 1 where something of it is not there then."""
    if target not in CONNECTED:
        raise click.UsageError(f"--send is for {' and '.join(CONNECTED)}")
    if output or mapping:
        raise click.UsageError("--send sends what was written: expected it without --output and --mapping")
    from adapters.delivery import deliver
    from ledger.database import opened

    with _refusals(), opened() as engine:
        done = deliver(engine, target, export_id, author())
    click.echo(f"sent export {export_id} to {target}: {done}")
    if done.refused or done.unanswered:
        click.echo("`tickmark report exported` says what was refused, and why; --send tries again", err=True)
        raise SystemExit(REFUSED)


@main.command()
@click.argument("target", type=click.Choice(CONNECTED))
@click.option("--entity", required=True, help="Whose books go there.")
@click.option("--company", required=True, help="QuickBooks' company id (realm), or Zoho's organization id.")
@click.option("--server", help="QuickBooks: quickbooks, or sandbox-quickbooks; Zoho: com, eu, in, com.au, jp, ca, sa.")
@click.option(
    "--redirect", default="http://localhost:8000/connected", show_default=True, help="As the app has it there."
)
@click.option("--api", help="Another address of the API, such as a proxy's.")
@click.option("--accounts", help="Another address of what gives tokens.")
def connect(
    target: str, entity: str, company: str, server: str | None, redirect: str, api: str | None, accounts: str | None
) -> None:
    """Log in to QuickBooks or Zoho Books once, so that exports can be sent there.

    Asks for the id and the secret of your company's app there (or TICKMARK_CLIENT_ID and TICKMARK_CLIENT_SECRET), shows the address
    at which to allow the access, and asks for the address the browser is then sent back to. Tokens are kept encrypted with the key in
    TICKMARK_SECRET_KEY.
    """
    from adapters import logins
    from ledger.database import opened

    system = logins.SYSTEMS[target]
    chosen = server or system.servers[0]
    if chosen not in system.servers:
        raise click.UsageError(f"--server {chosen}: expected one of {', '.join(system.servers)}")
    with _refusals(), opened() as engine:
        logins.require_ready(engine, entity)
        login = logins.Login(
            target, entity, company, api or system.api.format(server=chosen), accounts or system.accounts.format(server=chosen),
            os.environ.get("TICKMARK_CLIENT_ID") or click.prompt("Client id"),
            os.environ.get("TICKMARK_CLIENT_SECRET") or click.prompt("Client secret", hide_input=True), {},
        )  # fmt: skip
        url, state = logins.asked(login, redirect, chosen)
        click.echo(f"Allow the access here:\n\n  {url}\n")
        came_back = click.prompt("The address the browser was sent back to")
        logins.keep(engine, logins.allowed(login, redirect, state, came_back), author())
    click.echo(f"connected: {entity} to company {company} of {target}; tokens are kept encrypted")


@main.command()
def verify() -> None:
    """Recompute from the tables alone what must always hold; exit 1 and a list where anything differs."""
    from ledger.database import opened
    from ledger.verify import verify as run

    with _refusals(), opened() as engine, engine.connect() as connection:
        checks = run(connection)
    for check in checks:
        mark = "ok  " if not check.differences else "FAIL"
        click.echo(f"{mark} {check.sentence} ({check.count:,} {check.what})")
        for difference in check.differences:
            click.echo(f"     {difference}", err=True)
    failed = sum(1 for check in checks if check.differences)
    if failed:
        click.echo(f"{failed} of {len(checks)} checks found differences", err=True)
        raise SystemExit(REFUSED)
    click.echo(f"all {len(checks)} checks hold")


@main.command()
@click.option(
    "--export", "output", type=click.Path(dir_okay=False), help="Write the last seal to a file, to keep elsewhere."
)
def seal(output: str | None) -> None:
    """Seal what is posted: blocks of entries, each with its hash and the hash of the one before.

    It waits for whoever is posting, and nobody waits for it. Run it as often as you like; a trial balance reads sealed
    entries from their totals.
    """
    from ledger.database import opened
    from ledger.seals import seal as run

    with _refusals(), opened() as engine:
        done = run(engine, author())
    if done.head is None:
        raise click.ClickException("nothing is posted yet: there is nothing to seal")
    click.echo(done.sentence)
    if output is not None:
        Path(output).write_text(json.dumps(done.head.as_json(), indent=2) + "\n", encoding="utf-8")
        click.echo(f"wrote {output}: keep it where whoever keeps the books can't change it")


@main.command()
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def rules(form: str) -> None:
    """Print the rulebook: every event that posts, what it debits and credits, and why."""
    from ledger.rulebook import RULES
    from web.tables import rules_text

    if form == "json":
        click.echo(json.dumps([
            {"number": r.number, "code": r.code, "debit": r.debit, "credit": r.credit, "why": r.why, "citation": r.citation}
            for r in RULES.values()
        ], indent=2))  # fmt: skip
    else:
        click.echo(rules_text(), nl=False)


@main.command()
@click.option("--url", envvar="TICKMARK_WEBHOOK_URL", required=True, help="Where to; or TICKMARK_WEBHOOK_URL.")
def notify(url: str) -> None:
    """Tell a webhook of the wallet alerts it has not taken yet; run it as often as it should know.

    Each is signed with TICKMARK_WEBHOOK_SECRET (whsec_...) as standardwebhooks.com says.
    """
    secret = os.environ.get("TICKMARK_WEBHOOK_SECRET", "")
    if not secret:
        raise click.UsageError("TICKMARK_WEBHOOK_SECRET: expected the secret shared with the webhook")
    from adapters.webhooks import deliver
    from ledger.database import opened

    with _refusals(), opened() as engine:
        click.echo(f"alerts delivered: {deliver(engine, url, secret):,}")


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--name", "names", multiple=True, help="A name it is asked for by, such as books.example.com.")
@click.option("--https", is_flag=True, help="A proxy in front ends TLS: cookies go over https only.")
@click.option("--open", "everybody", is_flag=True, help="To whoever reaches this machine's own address, without a key.")
def serve(port: int, host: str, names: tuple[str, ...], https: bool, everybody: bool) -> None:
    """Serve the API (/v1, /openapi.json, /docs) and the pages, to those who have a key (`tickmark key create`)."""
    from ledger.database import opened
    from web.server import LOCAL_HOSTS, run_server

    if everybody and host not in LOCAL_HOSTS:
        raise click.UsageError(f"--open is for this machine alone: expected --host {LOCAL_HOSTS[0]}, found {host}")
    with _refusals(), opened() as engine:
        run_server(engine, host, port, author() if everybody else None, names, https=https)


@main.group()
def key() -> None:
    """Keys of persons and systems, for the API and the pages."""


@key.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(("viewer", "operator", "controller", "admin")), required=True,
              help="See; post documents; close, recognise, seal; make keys: each all before it, too.")  # fmt: skip
@click.option("--entity", "entities", multiple=True, help="For the books of this entity only; may be repeated.")
@click.option("--expires", type=DAY, help="Its last day; a year from now by default.")
def key_create(name: str, role: str, entities: tuple[str, ...], expires: date | None) -> None:
    """Make a key for NAME, a person or a system. It is shown once, and kept nowhere."""
    from ledger.database import opened
    from web import access

    with _refusals(), opened() as engine, engine.begin() as connection:
        made = access.create(connection, name, role, author(), entities, expires)
    click.echo(made)
    click.echo("kept is only its hash: it can't be shown again", err=True)


@key.command("list")
def key_list() -> None:
    """Show the keys there are and were."""
    from ledger.database import opened
    from web import access
    from web.tables import table_text

    with _refusals(), opened() as engine, engine.connect() as connection:
        click.echo(table_text(access.keys(connection)), nl=False)


@key.command("revoke")
@click.argument("number", type=int)
def key_revoke(number: int) -> None:
    """Let key NUMBER hold no more, and the sessions that were begun with it."""
    from ledger.database import opened
    from web import access

    with _refusals(), opened() as engine, engine.begin() as connection:
        access.revoke(connection, number, author())
    click.echo(f"key {number} is revoked")


@main.command()
@click.argument("customer")
@click.option("--reason", required=True, help="Why: a request, the end of a retention period.")
def erase(customer: str, reason: str) -> None:
    """Erase for good what documents say of CUSTOMER's persons: contacts, addresses, names. History and its seals stay as they are."""
    from ledger import personal
    from ledger.database import opened

    with _refusals(), opened() as engine, engine.begin() as connection:
        count = personal.erase(connection, customer, reason, author())
    click.echo(f"documents whose personal fields were erased: {count}")


@main.command()
@click.argument("customer")
@click.option("--entity", required=True, help="Whose customer.")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How long it is valid.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the pages are.")
def link(customer: str, entity: str, days: int, url: str) -> None:
    """Print a link to CUSTOMER's own page: its usage, and what is left of what it bought. Whoever has it sees that, and no more."""
    from datetime import UTC, timedelta

    from ledger.database import opened
    from web import mine

    with _refusals(), opened() as engine, engine.connect() as connection:
        last = datetime.now(UTC).date() + timedelta(days=days)
        click.echo(url.rstrip("/") + mine.link(connection, customer, entity, last))


@main.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to this release's schema."""
    from ledger import database

    with _refusals():
        changed = database.upgrade(database.url())
    click.echo("the database is upgraded" if changed else "the database is up to date")


@db.command("distribute")
@click.option("--show", is_flag=True, help="Print the statements, and change nothing.")
def db_distribute(show: bool) -> None:
    """Spread the books over the machines of a Citus cluster, by customer; docs/scaling.md says how to come to one."""
    from ledger import database, distribution

    with _refusals():
        url = database.url()
        database.require_current(url)
        with database.connect_engine(url, as_owner=True).connect() as connection:
            if show:
                for statement in distribution.statements(connection):
                    click.echo(f"{statement};")
                return
            tables = distribution.distribute(connection)
            connection.commit()
    click.echo(f"tables distributed: {tables}")


@main.command()
@click.option("--no-serve", is_flag=True, help="Post, print and export, then exit.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--output", type=click.Path(file_okay=False), default="tickmark-demo", show_default=True,
              help="Folder for the files it writes.")  # fmt: skip
def demo(no_serve: bool, port: int, output: str) -> None:
    """Two customers, an hour of real LLM traffic, two months of books: post, recognise, print, export, serve."""
    from ledger.database import opened
    from web.demo import run_demo

    with _refusals(), opened() as engine:
        run_demo(engine, Path(output))
        if not no_serve:
            from web.server import run_server

            run_server(engine, "127.0.0.1", port, author())
