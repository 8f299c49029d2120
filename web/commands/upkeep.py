"""Commands that keep the books: verify, seal, tell of alerts, erase, and the database."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ledger.errors import Refused
from web.commands.shell import REFUSED, author, refusals


@click.command()
@click.option(
    "--head",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A seal that was kept elsewhere: what is sealed has to lead to it.",
)
def verify(head: Path | None) -> None:
    """Recompute from the tables alone what must always hold; exit 1 and a list where anything differs."""
    from ledger import database
    from ledger import verify as checking

    failed = done = 0
    with refusals(), database.opened() as engine:
        with engine.connect() as connection:
            checks = []
            for check in checking.each(connection, None if head is None else _kept_seal(head)):
                checks.append(check)
                mark = "ok  " if not check.differences else "FAIL"
                click.echo(f"{mark} {check.sentence} ({check.count:,} {check.what})")
                for difference in check.differences:
                    click.echo(f"     {difference}", err=True)
        failed, done = sum(1 for check in checks if check.differences), len(checks)
        with engine.begin() as connection:
            if database.may_write(connection):  # an auditor only reads
                checking.record(connection, checks, author())
    if failed:
        click.echo(f"{failed} of {done} checks found differences", err=True)
        raise SystemExit(REFUSED)
    click.echo(f"all {done} checks hold")


def _kept_seal(file: Path) -> dict[str, Any]:
    """A seal as `tickmark seal --export` wrote it. Raises Refused for another file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Refused("head", file.name, f"expected a seal that `tickmark seal --export` wrote: {error}") from None
    if (
        not isinstance(found, dict)
        or not str(found.get("seal_id", "")).isdigit()
        or not isinstance(found.get("hash"), str)
    ):
        raise Refused("head", file.name, "expected a seal that `tickmark seal --export` wrote")
    return found


@click.command()
@click.option(
    "--export", "output", type=click.Path(dir_okay=False), help="Write the last seal to a file, to keep elsewhere."
)
@click.option(
    "--prove",
    type=int,
    metavar="ENTRY",
    help="Write the proof that an entry is under the last seal; docs/check_proof.py checks it.",
)
@click.option(
    "--output",
    "proof",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write a proof; standard output otherwise.",
)
def seal(output: str | None, prove: int | None, proof: Path | None) -> None:
    """Seal what is posted: blocks of entries, each with its hash and the hash of the one before.

    It waits for whoever is posting, and nobody waits for it. Run it as often as you like; a trial balance reads sealed
    entries from their totals.
    """
    from ledger import proofs
    from ledger.database import opened
    from ledger.seals import seal as run

    if prove is not None:
        with refusals(), opened() as engine, engine.connect() as connection:
            content = json.dumps(proofs.prove(connection, prove), indent=1, default=str) + "\n"
        if proof is None:
            click.echo(content, nl=False)
        else:
            proof.write_text(content, encoding="utf-8")
            click.echo(f"wrote {proof}; whoever has the seal checks it: python check_proof.py {proof.name} SEAL")
        return
    with refusals(), opened() as engine:
        done = run(engine, author())
    if done.head is None:
        raise click.ClickException("nothing is posted yet: there is nothing to seal")
    click.echo(done.sentence)
    if output is not None:
        Path(output).write_text(json.dumps(done.head.as_json(), indent=2) + "\n", encoding="utf-8")
        click.echo(f"wrote {output}: keep it where whoever keeps the books can't change it")


@click.command()
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

    with refusals(), opened() as engine:
        click.echo(f"alerts delivered: {deliver(engine, url, secret):,}")


@click.command()
@click.argument("customer")
@click.option("--reason", required=True, help="Why: a request, the end of a retention period.")
def erase(customer: str, reason: str) -> None:
    """Erase for good what documents say of CUSTOMER's persons: contacts, addresses, names. History and its seals stay as they are."""
    from ledger import personal
    from ledger.database import opened

    with refusals(), opened() as engine, engine.begin() as connection:
        count = personal.erase(connection, customer, reason, author())
    click.echo(f"documents whose personal fields were erased: {count}")


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to this release's schema."""
    from ledger import database

    with refusals():
        changed = database.upgrade(database.url())
    click.echo("the database is upgraded" if changed else "the database is up to date")


@db.command("distribute")
@click.option("--show", is_flag=True, help="Print the statements, and change nothing.")
def db_distribute(show: bool) -> None:
    """Spread the books over the machines of a Citus cluster, by customer; docs/scaling.md says how to come to one."""
    from ledger import database, distribution

    with refusals():
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


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """Write a backup of the books into a new FOLDER, with the last seal, which proves that one was restored whole."""
    from ledger import backup as backups
    from ledger.database import opened

    with refusals(), opened() as engine:
        made = backups.write(engine, folder, author())
    sealed = "nothing is sealed" if made.seal is None else f"seal {made.seal['seal_id']} is {made.seal['hash']}"
    click.echo(
        f"wrote {folder}: {made.entries:,} entries, {made.documents:,} documents, schema {made.schema}; {sealed}"
    )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def restore(folder: Path) -> None:
    """Restore the backup in FOLDER into an empty database, bring it to this release, and verify it against its seal."""
    from ledger import backup as backups
    from ledger import database

    with refusals():
        made, checks = backups.restore(database.url(), folder)
    click.echo(f"restored {made.entries:,} entries, {made.documents:,} documents of schema {made.schema}")
    failed = [check for check in checks if check.differences]
    for check in failed:
        click.echo(f"FAIL {check.sentence}", err=True)
        for difference in check.differences:
            click.echo(f"     {difference}", err=True)
    if failed:
        raise SystemExit(REFUSED)
    told = "" if made.seal is None else f", and the books lead to seal {made.seal['seal_id']}"
    click.echo(f"all {len(checks)} checks hold{told}")
