"""Commands that keep the books: verify, seal, tell of alerts, erase, and the database."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from web.commands.files import steps
from web.commands.shell import REFUSED, author, refusals

if TYPE_CHECKING:
    from ledger.proof.blocks import Block
    from ledger.proof.verify import Check, Warned


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--head", type=_FILE, help="A seal that was kept elsewhere: what is sealed has to lead to it.")
@click.option(
    "--signer", type=_FILE, metavar="PEM", help="The public key by which the seal's file has to be signed (FILE.sig)."
)
@click.option(
    "--timestamp-root",
    type=_FILE,
    metavar="PEM",
    help="The root certificate that the seal's time-stamp has to lead to (FILE.tsr).",
)
@click.option("--all", "everything", is_flag=True, help="Name all that differs, however much.")
def verify(head: Path | None, signer: Path | None, timestamp_root: Path | None, everything: bool) -> None:
    """Recompute from the tables alone what must always hold; exit 1 and a list where anything differs.

    It warns of what is left standing after its life has ended, and of months below zero without a cause: that fails nothing.
    """
    if head is None and (signer or timestamp_root):
        raise click.UsageError("--signer and --timestamp-root are of a seal that was kept: give it with --head")
    from ledger.database import connect
    from ledger.proof import compare
    from ledger.proof import verify as checking
    from revrec.watches import HELD, WATCHES

    with refusals():
        kept = None if head is None else compare.read_kept(head.name, head.read_bytes())
        if head is not None:
            _told_of(head, signer, timestamp_root)
        with connect.opened() as engine:
            checks = []
            with steps("verifying", checking.CHECKS + len(HELD)) as step:
                for check in checking.each(engine, kept, _named if everything else None, step, HELD):
                    checks.append(check)
                    _show(check, named=everything)
            warnings = [found for found in checking.warned(engine, WATCHES) if found.told]
            for found in warnings:
                _warn(found, everything=everything)
            with engine.begin() as connection:
                if connect.may_write(connection):  # an auditor only reads
                    checking.record(connection, checks, author())
    failed = sum(1 for check in checks if check.differing)
    if failed:
        click.echo(f"{failed} of {len(checks)} checks found differences", err=True)
        raise SystemExit(REFUSED)
    click.echo(f"all {len(checks)} checks hold{f'; warnings: {len(warnings)}' if warnings else ''}")


def _show(check: Check, *, named: bool = False) -> None:
    """Say what came of a check; what differs on standard error, unless it was `named` as it was found."""
    click.echo(f"{'FAIL' if check.differing else 'ok  '} {check.sentence} ({check.count:,} {check.what})")
    if named:
        return
    for difference in check.differences:
        click.echo(f"     {difference}", err=True)
    if check.more:
        click.echo(f"     and {check.more:,} more: `tickmark verify --all` names them", err=True)


def _warn(found: Warned, *, everything: bool) -> None:
    """Say what verification warns of; what it is on standard error."""
    click.echo(f"WARN {found.watch.sentence} ({len(found.told):,})")
    named = found.told if everything else found.named
    for said in named:
        click.echo(f"     {said}", err=True)
    if len(found.told) > len(named):
        more = len(found.told) - len(named)
        click.echo(f"     and {more:,} more: `tickmark report {found.watch.report}` names them", err=True)


def _named(sentence: str, difference: str) -> None:
    click.echo(f"     {difference} ({sentence})", err=True)


def _told_of(head: Path, signer: Path | None, timestamp_root: Path | None) -> None:
    """Say who vouches for a seal's file. Raises Refused where they do not."""
    from adapters.out import seal_signers

    if signer is not None:
        seal_signers.check_signature(head, signer)
        click.echo(f"{head.name} is signed by the key in {signer.name}")
    if timestamp_root is not None:
        moment = seal_signers.check_timestamp(head, timestamp_root)
        click.echo(
            f"{head.name} was there on {moment:%Y-%m-%d %H:%M:%S} UTC, by a time-stamp that leads to {timestamp_root.name}"
        )


@click.command()
@click.option(
    "--export",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the last seal to a file, to keep elsewhere.",
)
@click.option(
    "--sign", type=_FILE, metavar="KEY", help="Sign that file with an Ed25519 private key in PEM: writes FILE.sig."
)
@click.option(
    "--timestamp", metavar="URL", help="Have a time-stamping authority (RFC 3161) witness that file: writes FILE.tsr."
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
def seal(output: Path | None, sign: Path | None, timestamp: str | None, prove: int | None, proof: Path | None) -> None:
    """Seal what is posted: blocks of entries, each with its hash and the hash of the one before.

    It waits for whoever is posting, and nobody waits for it. Run it as often as you like; a trial balance reads sealed
    entries from their totals.
    """
    if output is None and (sign or timestamp):
        raise click.UsageError("--sign and --timestamp are of the file that --export writes")
    from ledger.database.connect import opened
    from ledger.proof.seals import seal as run

    if prove is not None:
        _prove(prove, proof)
        return
    with refusals(), opened() as engine:
        done = run(engine, author())
    if done.head is None:
        raise click.ClickException("nothing is posted yet: there is nothing to seal")
    click.echo(done.sentence)
    if output is not None:
        with refusals():
            _export(done.head, output, sign, timestamp)


def _prove(entry: int, file: Path | None) -> None:
    from ledger.database.connect import opened
    from ledger.proof import inclusion

    with refusals(), opened() as engine, engine.connect() as connection:
        content = json.dumps(inclusion.prove(connection, entry), indent=1, default=str) + "\n"
    if file is None:
        click.echo(content, nl=False)
    else:
        file.write_text(content, encoding="utf-8")
        click.echo(f"wrote {file}; whoever has the seal checks it: python check_proof.py {file.name} SEAL")


def _export(head: Block, output: Path, sign: Path | None, timestamp: str | None) -> None:
    """Write a seal with what vouches for it, or nothing of it."""
    from adapters.out import seal_signers

    content = (json.dumps(head.as_json(), indent=2) + "\n").encode()
    files = {output: content}
    if sign is not None:
        files[seal_signers.signature_file(output)] = seal_signers.sign(content, sign)
    if timestamp is not None:
        files[seal_signers.timestamp_file(output)] = seal_signers.timestamp(content, timestamp)
    for file, written in files.items():
        file.write_bytes(written)
    click.echo(
        f"wrote {', '.join(map(str, files))}: keep {'it' if len(files) == 1 else 'them'} where whoever keeps the books can't change it"
    )


@click.command()
@click.option("--url", envvar="TICKMARK_WEBHOOK_URL", required=True, help="Where to; or TICKMARK_WEBHOOK_URL.")
def notify(url: str) -> None:
    """Tell a webhook of the wallet alerts it has not taken yet; run it as often as it should know.

    Each is signed with TICKMARK_WEBHOOK_SECRET (whsec_...) as standardwebhooks.com says.
    """
    secret = os.environ.get("TICKMARK_WEBHOOK_SECRET", "")
    if not secret:
        raise click.UsageError("TICKMARK_WEBHOOK_SECRET: expected the secret shared with the webhook")
    from adapters.out.webhooks import deliver
    from ledger.database.connect import opened

    with refusals(), opened() as engine:
        click.echo(f"alerts delivered: {deliver(engine, url, secret):,}")


@click.command()
@click.argument("customer")
@click.option("--reason", required=True, help="Why: a request, the end of a retention period.")
def erase(customer: str, reason: str) -> None:
    """Erase for good what documents say of CUSTOMER's persons: contacts, addresses, names. History and its seals stay as they are."""
    from ledger.database.connect import opened
    from ledger.documents import personal

    with refusals(), opened() as engine, engine.begin() as connection:
        count = personal.erase(connection, customer, reason, author())
    click.echo(f"documents whose personal fields were erased: {count}")


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to this release's schema."""
    from ledger.database import connect

    with refusals():
        changed = connect.upgrade(connect.url())
    click.echo("the database is upgraded" if changed else "the database is up to date")


@db.command("distribute")
@click.option("--show", is_flag=True, help="Print the statements, and change nothing.")
def db_distribute(show: bool) -> None:
    """Spread the books over the machines of a Citus cluster, by customer; docs/scaling.md says how to come to one."""
    from ledger.database import citus, connect

    with refusals():
        url = connect.url()
        connect.require_current(url)
        with connect.connect_engine(url, as_owner=True).connect() as connection:
            if show:
                for statement in citus.statements(connection):
                    click.echo(f"{statement};")
                return
            tables = citus.distribute(connection)
            connection.commit()
    click.echo(f"tables distributed: {tables}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """Write a backup of the books into a new FOLDER, with the last seal, which proves that one was restored whole."""
    from ledger.database.connect import opened
    from ledger.proof import backup as backups

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
    from ledger.database import connect
    from ledger.proof import backup as backups
    from revrec.watches import HELD

    with refusals():
        made, checks = backups.restore(connect.url(), folder, HELD)
    click.echo(f"restored {made.entries:,} entries, {made.documents:,} documents of schema {made.schema}")
    failed = [check for check in checks if check.differing]
    for check in failed:
        _show(check)
    if failed:
        raise SystemExit(REFUSED)
    told = "; no seal.json was with them, so that nothing says what they lead to"
    if made.seal is not None:
        told = f", and the books lead to seal {made.seal['seal_id']}"
    click.echo(f"all {len(checks)} checks hold{told}")
