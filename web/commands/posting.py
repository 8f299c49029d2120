"""Commands that post: documents, usage, revenue, revaluation; and months closed and opened again."""

from __future__ import annotations

import json
from datetime import date, tzinfo
from pathlib import Path
from typing import IO, Any

import click

from ledger.errors import Problem, Refused
from web.commands.options import DAY, MONTH
from web.commands.shell import REFUSED, author, refusals


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Check everything, post nothing.")
@click.option("--keep-going", is_flag=True, help="Post the good lines; write the others to a rejects file.")
@click.option("--refuse-late", is_flag=True, help="Refuse documents dated in closed months.")
@click.option("--in-runs", is_flag=True, help="Commit every 20,000 lines; taken up again where it stopped.")
@click.option("--rejects", type=click.Path(dir_okay=False), help="Where --keep-going writes refused lines.")
def post(
    files: tuple[str, ...], dry_run: bool, keep_going: bool, refuse_late: bool, in_runs: bool, rejects: str | None
) -> None:
    """Post documents from JSON Lines FILES; - reads standard input.

    A file is one transaction: any bad line, and nothing of it is posted. With --in-runs each 20,000 lines are one: it stops at the
    first that has a bad line, what was posted before stays, and the same file goes on from there. A document dated in a closed month posts into
    the first open one and keeps its own date, unless it is refused with --refuse-late.
    """
    for name in files:
        if name != "-" and not Path(name).exists():
            raise click.UsageError(f"no such file: {name}")
    if in_runs and dry_run:
        raise click.UsageError("--in-runs commits as it goes, and --dry-run posts nothing: expected one of them")
    from ledger.database.connect import opened
    from revrec.kinds import TYPES
    from web.commands.files import progress as progress_bar
    from web.commands.files import rejects_file, spooled
    from web.work.post_file import How, post_file
    from web.work.runs import post_in_runs

    posting = post_in_runs if in_runs else post_file
    how = How(keep_going, dry_run, refuse_late)
    failed = False
    with refusals(), opened() as engine:
        for name in files:
            with spooled(name) as stream, rejects_file(name, rejects, keep_going) as rejected:

                def report(problem: Problem, raw: bytes, name: str = name, out: IO[bytes] | None = rejected) -> None:
                    click.echo(f"{name}: {problem}", err=True)
                    if out is not None:
                        out.write(raw + b"\n")

                with progress_bar(stream, name) as progress:
                    result = posting(engine, stream, TYPES, author(), report, how, progress)
            click.echo(f"{name}: {result.sentence}")
            failed = failed or result.outcome.refused > 0
    if failed:
        raise SystemExit(REFUSED)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--timestamp", required=True, help="The column that says when.")
@click.option("--quantity", "quantities", required=True, multiple=True, help="A column to add up; may be repeated.")
@click.option("--per", type=click.Choice(("minute", "hour", "day")), default="minute", show_default=True)
@click.option("--time-zone", help="Where days begin: the entity's, which the books know; else UTC.")
@click.option("--customer", required=True)
@click.option("--entity", required=True)
@click.option("--product", required=True)
@click.option("--currency", required=True)
@click.option("--unit-price", required=True, help="Price of one unit of the quantities added up.")
def usage(
    file: str, timestamp: str, quantities: tuple[str, ...], per: str, time_zone: str | None, **terms: str
) -> None:
    """Print usage documents made from the rows of a CSV FILE, for `tickmark post -`.

    Rows are added up by minute, hour or day; each document names the rows it was made of. Of a file with a bad row nothing is
    printed.
    """
    from tempfile import TemporaryFile

    from adapters.into.usage_csv import tally, usage_documents

    with refusals():
        zone = _zone(terms["entity"], time_zone)
        with Path(file).open(encoding="utf-8-sig", newline="") as stream, TemporaryFile("w+", encoding="utf-8") as made:
            tallies = tally(stream, timestamp, quantities, per, zone)
            for document in usage_documents(tallies, Path(file).name, **terms):
                made.write(json.dumps(document, ensure_ascii=False) + "\n")
            made.seek(0)
            for line in made:
                click.echo(line, nl=False)


def _zone(entity: str, given: str | None) -> tzinfo:
    """Where an entity's days begin, as the books say. Raises Refused where `--time-zone` says otherwise."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone = ZoneInfo(given or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.UsageError(f"--time-zone {given}: expected a name such as Europe/Berlin") from None
    kept = _kept_zone(entity)
    if kept is None:
        return zone
    if given not in (None, kept):
        raise Refused("--time-zone", given, f"expected {kept}, the time zone of entity {entity}")
    return ZoneInfo(kept)


def _kept_zone(entity: str) -> str | None:
    """An entity's time zone, or None where there are no books here or they do not know it."""
    import os

    from ledger.database import embedded
    from ledger.database.connect import opened
    from ledger.journal import periods

    if not os.environ.get("TICKMARK_DATABASE_URL") and not embedded.data_folder().exists():
        return None
    with opened() as engine, engine.connect() as connection:
        return periods.time_zone(connection, entity)


@click.command()
@click.option("--through", type=MONTH, required=True, help="The last month to recognise, such as 2026-01.")
@click.option("--dry-run", is_flag=True, help="Show what would post, and post nothing.")
@click.option(
    "--format", "form", type=click.Choice(("table", "json", "csv")), default="table", help="Of what --dry-run shows."
)
def recognize(through: date, dry_run: bool, form: str) -> None:
    """Post revenue that is due and not yet posted, credits that expired, and contract costs."""
    from ledger.amounts.dates import month_text
    from ledger.database.connect import opened
    from revrec.earn.recognition import postings_of
    from revrec.earn.recognition import recognize as run_recognition
    from web.work.reports import render

    with refusals(), opened() as engine, engine.connect() as connection, connection.begin() as transaction:
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


@click.command()
@click.argument("month", type=MONTH)
@click.option("--entity", help="Revalue this entity only; all otherwise.")
def revalue(month: date, entity: str | None) -> None:
    """Revalue money and claims in other currencies at MONTH's closing rate, reversed on the next day."""
    from ledger.amounts.dates import month_text
    from ledger.amounts.money import grouped
    from ledger.database.connect import opened
    from ledger.journal import revaluation

    with refusals(), opened() as engine, engine.begin() as connection:
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
    from ledger.journal import periods

    return periods.currency(connection, entity)


@click.command()
@click.option("--from", "since", type=DAY, required=True, help="First day.")
@click.option("--to", "until", type=DAY, required=True, help="Last day.")
@click.option("--currency", "currencies", multiple=True, help="A currency; may be repeated. All otherwise.")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False), help="The ECB's eurofxref-hist.zip.")
def rates(since: date, until: date, currencies: tuple[str, ...], path: str | None) -> None:
    """Print the ECB's exchange rates as fx_rate documents, for `tickmark post -`."""
    from adapters.into.ecb import rate_documents

    with refusals():
        found = False
        for document in rate_documents(since, until, currencies, path):
            click.echo(json.dumps(document))
            found = True
    if not found:
        click.echo(f"no rates: the ECB has none from {since:%Y-%m-%d} to {until:%Y-%m-%d}, as at weekends", err=True)


def _entities(connection: Any, entity: str | None) -> list[str]:
    """The entity that was named, else all. Raises Refused in books without one."""
    from ledger.journal import periods

    found = [entity] if entity else periods.entities(connection)
    if not found:
        raise Refused("entity", "none in the books", "expected one that was posted as a document of the type entity")
    return found


@click.command()
@click.argument("month", type=MONTH)
@click.option("--entity", help="Close it for this entity only; all otherwise.")
@click.option("--check", is_flag=True, help="Say what the month still waits for, and close nothing.")
@click.option("--anyway", is_flag=True, help="Close it with something undone, for a --reason.")
@click.option("--reason", default="", help="Why it is closed with something undone; kept on record with what that is.")
def close(month: date, entity: str | None, check: bool, anyway: bool, reason: str) -> None:
    """Close MONTH where nothing of its checklist is undone: nothing posts into it any more, and what is posted is sealed."""
    from ledger.amounts.dates import month_text
    from ledger.database.connect import opened
    from ledger.errors import ProblemList
    from ledger.proof import seals
    from web.work import closing

    if check:
        _check_close(month, entity)
        return
    with refusals(), opened() as engine:
        with engine.connect() as connection:
            names = _entities(connection, entity)
        try:
            undone = closing.close(engine, names, month, author(), anyway=anyway, reason=reason)
        except ProblemList:
            click.echo("something is undone: do it, or close with --anyway --reason TEXT", err=True)
            raise
        for name, items in undone.items():
            told = f", undone: {'; '.join(items)}" if items else ""
            click.echo(f"{month_text(month)} is closed for {name}{told}")
        sealed = seals.seal(engine, author())
    if sealed.entries:
        click.echo(sealed.sentence)


def _check_close(month: date, entity: str | None) -> None:
    """Print the checklist of each entity; exit 1 where something is not done."""
    from ledger.database.connect import opened
    from web.work.closing import checklist

    waiting = 0
    with refusals(), opened() as engine:
        with engine.connect() as connection:
            names = _entities(connection, entity)
        for name in names:
            for item in checklist(engine, name, month, author()):
                waiting += item.waits
                click.echo(f"{'ok  ' if item.done else 'WARN' if item.warning else 'TODO'} {name}: {item.told}")
    if waiting:
        raise SystemExit(REFUSED)


@click.command()
@click.argument("month", type=MONTH)
@click.option("--entity", help="Open it for this entity only; all otherwise.")
@click.option("--reason", required=True, help="Why it is opened again; kept on record.")
def reopen(month: date, entity: str | None, reason: str) -> None:
    """Open MONTH, the last closed one, again, for a --reason that is kept."""
    from ledger.amounts.dates import month_text
    from ledger.database.connect import opened
    from ledger.journal import periods

    with refusals(), opened() as engine, engine.begin() as connection:
        reopened = _entities(connection, entity)
        for name in reopened:
            periods.reopen(connection, name, month, author(), reason)
    for name in reopened:
        click.echo(f"{month_text(month)} is open again for {name}")


@click.command()
@click.option("--entity", help="Of this entity only; all otherwise.")
@click.option("--format", "form", type=click.Choice(("table", "json", "csv")), default="table")
def periods(entity: str | None, form: str) -> None:
    """Show which months were closed and opened again: when, by whom, why, and what was undone then."""
    from ledger.database.connect import opened
    from ledger.journal.periods import currency, entities
    from web.work.closing import history
    from web.work.reports import render

    with refusals(), opened() as engine, engine.connect() as connection:
        if entity is not None:
            currency(connection, entity)
        names = [entity] if entity else entities(connection)
        click.echo(render(history(connection, names), form), nl=False)
