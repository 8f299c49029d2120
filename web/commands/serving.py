"""Commands that open the books to others: a server, keys, links, the demo."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from web.commands.options import DAY
from web.commands.shell import author, refusals


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--name", "names", multiple=True, help="A name it is asked for by, such as books.example.com.")
@click.option("--https", is_flag=True, help="A proxy in front ends TLS: cookies go over https only.")
@click.option("--open", "everybody", is_flag=True, help="To whoever reaches this machine's own address, without a key.")
def serve(port: int, host: str, names: tuple[str, ...], https: bool, everybody: bool) -> None:
    """Serve the API (/v1, /openapi.json, /docs) and the pages, to those who have a key (`tickmark key create`)."""
    from ledger.database.connect import opened
    from web.server import LOCAL_HOSTS, run_server

    if everybody and host not in LOCAL_HOSTS:
        raise click.UsageError(f"--open is for this machine alone: expected --host {LOCAL_HOSTS[0]}, found {host}")
    with refusals(), opened() as engine:
        run_server(engine, host, port, author() if everybody else None, names, https=https)


@click.group()
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
    from ledger.database.connect import opened
    from web.access import keys

    with refusals(), opened() as engine, engine.begin() as connection:
        made = keys.create(connection, name, role, author(), entities, expires)
    click.echo(made)
    click.echo("kept is only its hash: it can't be shown again", err=True)


@key.command("list")
def key_list() -> None:
    """Show the keys there are and were."""
    from ledger.database.connect import opened
    from web.access import keys
    from web.render.terminal import table_text

    with refusals(), opened() as engine, engine.connect() as connection:
        click.echo(table_text(keys.keys(connection)), nl=False)


@key.command("revoke")
@click.argument("number", type=int)
def key_revoke(number: int) -> None:
    """Let key NUMBER hold no more, and the sessions that were begun with it."""
    from ledger.database.connect import opened
    from web.access import keys

    with refusals(), opened() as engine, engine.begin() as connection:
        keys.revoke(connection, number, author())
    click.echo(f"key {number} is revoked")


@click.command()
@click.argument("customer")
@click.option("--entity", required=True, help="Whose customer.")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How long it is valid.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the pages are.")
def link(customer: str, entity: str, days: int, url: str) -> None:
    """Print a link to CUSTOMER's own page: its usage, and what is left of what it bought. Whoever has it sees that, and no more."""
    from datetime import UTC, timedelta

    from ledger.database.connect import opened
    from web.pages import customer_link

    with refusals(), opened() as engine, engine.connect() as connection:
        last = datetime.now(UTC).date() + timedelta(days=days)
        click.echo(url.rstrip("/") + customer_link.link(connection, customer, entity, last))


@click.command()
@click.option("--no-serve", is_flag=True, help="Post, print and export, then exit.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--output", type=click.Path(file_okay=False), default="tickmark-demo", show_default=True,
              help="Folder for the files it writes.")  # fmt: skip
def demo(no_serve: bool, port: int, output: str) -> None:
    """Two customers, an hour of real LLM traffic, two months of books: post, recognise, print, export, serve."""
    from ledger.database.connect import opened
    from web.demo import run_demo

    with refusals(), opened() as engine:
        run_demo(engine, Path(output))
        if not no_serve:
            from web.server import run_server

            run_server(engine, "127.0.0.1", port, author())
