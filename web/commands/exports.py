"""Commands that export, and send what was exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, cast

import click

from web.commands.options import DAY, MOMENT
from web.commands.shell import REFUSED, author, refusals

# Systems that exports can be sent to.
CONNECTED = ("quickbooks", "zoho")
AS_THEY_ARE = ("workbook", "parquet", "audit-gl", "revenue-data")
EXPORT_TARGETS = (
    *AS_THEY_ARE, "quickbooks", "quickbooks-csv", "quickbooks-iif", "zoho", "zoho-csv", "netsuite", "netsuite-rest", "intacct", "xero",
    "beancount", "hledger",
)  # fmt: skip


@click.command()
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
    from adapters.out.export import How, check_export, export_again, export_file, export_new, export_status
    from ledger.database.connect import opened
    from ledger.reports.report import Filters

    if known_at is not None and target != "workbook":
        raise click.UsageError("--known-at is for the workbook: what goes to another system is what the books say now")
    filters, how = (
        Filters(since=since, as_of=until, entity=entity, known_at=known_at),
        How(mapping, cast("Any", detail)),
    )
    asked = {"--mapping": mapping, "--detail": detail, "--check": check_only, "--new": new, "--again": again, "--send": send, "--status": status}  # fmt: skip
    _require_that_fit(target, asked, narrowed=bool(entity or since or until or detail))
    if send is not None:
        _send(target, send, output, mapping)
        return
    with refusals(), opened() as engine, engine.connect() as connection:
        if check_only:
            click.echo(f"would write {check_export(connection, target, filters, how)}")
            return
        if status:
            from web.render.terminal import table_text

            click.echo(table_text(export_status(connection, target, filters)), nl=False)
            return
        if new:
            done = export_new(connection, target, filters, output, how, author())
        elif again is not None:
            done = export_again(connection, target, again, output, how)
        else:
            done = export_file(connection, target, filters, output, how)
    click.echo(f"wrote {done.path}: {done.summary}; ties to the trial balance")


def _require_that_fit(target: str, asked: Mapping[str, object], *, narrowed: bool) -> None:
    """Raise UsageError for options that say nothing of a target, or not with each other."""
    if target in AS_THEY_ARE and (given := [option for option, value in asked.items() if value]):
        raise click.UsageError(f"{target} shows the books as they are: expected no {given[0]}")
    again, send = asked["--again"] is not None, asked["--send"] is not None
    if sum(map(bool, (asked["--check"], asked["--new"], asked["--status"], again, send))) > 1:
        raise click.UsageError("expected one of --check, --new, --again, --send and --status")
    if (again or send) and narrowed:
        raise click.UsageError(
            f"{'--send sends' if send else '--again writes'} what the kept export held:"
            " expected it without --entity, --from, --to and --detail"
        )


def _send(target: str, export_id: int, output: str | None, mapping: str | None) -> None:
    """Send a kept export, and exit with 1 where something of it is not there then."""
    if target not in CONNECTED:
        raise click.UsageError(f"--send is for {' and '.join(CONNECTED)}")
    if output or mapping:
        raise click.UsageError("--send sends what was written: expected it without --output and --mapping")
    from adapters.out.send import deliver
    from ledger.database.connect import opened

    with refusals(), opened() as engine:
        done = deliver(engine, target, export_id, author())
    click.echo(f"sent export {export_id} to {target}: {done}")
    if done.refused or done.unanswered:
        click.echo("`tickmark report exported` says what was refused, and why; --send tries again", err=True)
        raise SystemExit(REFUSED)


@click.command()
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
    from adapters.clients import logins
    from ledger.database.connect import opened

    system = logins.SYSTEMS[target]
    chosen = server or system.servers[0]
    if chosen not in system.servers:
        raise click.UsageError(f"--server {chosen}: expected one of {', '.join(system.servers)}")
    with refusals(), opened() as engine:
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
