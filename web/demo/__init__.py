"""The demo: an hour of real LLM traffic, and two months of books around it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection, Engine, text

from adapters.out.export import export_file
from ledger.amounts.dates import month_end
from ledger.errors import Problem, Refused
from ledger.journal import periods
from ledger.reports.report import Filters
from revrec.earn.recognition import recognize
from revrec.kinds import TYPES
from web.work import reports
from web.work.post_file import post_file

AUTHOR = "demo"
ENTITY = "acme"
THROUGH = date(2023, 12, 1)
UNIT_PRICE = "0.000002"  # USD a token: 0.002 per 1,000


def _party(customer: str) -> dict[str, str]:
    return {"customer": customer, "entity": ENTITY, "currency": "USD"}


def _minutes() -> Iterator[dict[str, str]]:
    with files("web.demo").joinpath("minutes.csv").open(encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def _usage(minute: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "usage",
        "id": f"{minute['customer']}/tokens/{minute['minute']}",
        **_party(minute["customer"]),
        "product": "tokens",
        "date": minute["minute"][:10],
        "quantity": str(int(minute["prompt_tokens"]) + int(minute["generated_tokens"])),
        "unit_price": UNIT_PRICE,
        "events": f"{minute['trace']} rows {minute['first_row']}-{minute['last_row']}",
    }


def documents() -> Iterator[dict[str, Any]]:
    """The demo's documents, in the order in which they happened."""
    yield {"type": "entity", "id": ENTITY, "name": "Acme AI Inc", "currency": "USD", "country": "US"}
    yield {"type": "product", "id": "tokens", "name": "Inference tokens"}
    yield {"type": "product", "id": "seats", "name": "Seats"}
    yield {"type": "customer", "id": "chat", "name": "Chat Co", "country": "US"}
    yield {"type": "customer", "id": "code", "name": "Code Co", "country": "US"}
    for customer in ("chat", "code"):
        grant = f"{customer}-credits"
        yield {
            "type": "grant", "id": grant, **_party(customer), "kind": "prepaid", "amount": "50.00", "price": "50.00",
            "effective_on": "2023-11-01", "expires_on": "2023-12-31", "products": ["tokens"],
        }  # fmt: skip
        line = {"id": "1", "kind": "prepaid", "grant": grant, "product": "tokens", "amount": "50.00",
                "description": "Prepaid token credits, valid to 31 December 2023"}  # fmt: skip
        yield _invoice(f"INV-{customer}-1", customer, "2023-11-01", "2023-12-01", [line])
    seats = {"id": "1", "kind": "service", "product": "seats", "amount": "12000.00", "start": "2023-11-01",
             "end": "2024-10-31", "description": "Seats, one year"}  # fmt: skip
    yield _invoice("INV-chat-2", "chat", "2023-11-01", "2023-12-01", [seats])
    for customer in ("chat", "code"):
        yield _payment(f"PAY-{customer}-1", customer, "2023-11-10", "50.00", f"INV-{customer}-1")
    for minute in _minutes():
        yield _usage(minute)
    overage = {"id": "1", "kind": "usage", "product": "tokens", "amount": "2.90",
               "description": "Tokens beyond prepaid credits, November 2023"}  # fmt: skip
    yield _invoice("INV-chat-3", "chat", "2023-11-30", "2023-12-30", [overage])
    yield _payment("PAY-chat-2", "chat", "2023-12-05", "6000.00", "INV-chat-2")


def _invoice(ref: str, customer: str, issued_on: str, due_on: str, lines: list[dict[str, str]]) -> dict[str, Any]:
    return {"type": "invoice", "id": ref, **_party(customer), "issued_on": issued_on, "due_on": due_on, "lines": lines}


def _payment(ref: str, customer: str, day: str, amount: str, invoice: str) -> dict[str, Any]:
    return {
        "type": "payment", "id": ref, **_party(customer), "date": day, "rail": "wire", "amount": amount,
        "applications": [{"invoice": invoice, "amount": amount}],
    }  # fmt: skip


def _require_own_books(connection: Connection) -> None:
    """Raise Refused where the database holds somebody's books."""
    other = connection.scalar(text("select entity from entity where entity <> :entity limit 1"), {"entity": ENTITY})
    if other is not None:
        raise Refused(
            "entity", other, "the demo expected an empty database or its own; set TICKMARK_DATA to a new folder"
        )


def post(engine: Engine) -> str:
    """Post the demo's documents and recognise; returns the sentences that say what was done."""
    with engine.connect() as connection:
        _require_own_books(connection)
    lines = "".join(json.dumps(document) + "\n" for document in documents())

    def report(problem: Problem, _raw: bytes) -> None:
        click.echo(f"demo: {problem}", err=True)

    posted = post_file(engine, io.BytesIO(lines.encode()), TYPES, AUTHOR, report)
    if posted.outcome.refused:
        raise Refused("demo", f"{posted.outcome.refused} documents", "expected every document of the demo to post")
    with engine.begin() as connection:
        closed = periods.closed_through(connection, ENTITY)
        if closed is not None and closed >= month_end(THROUGH):
            return f"{posted.sentence}; the books are closed through {closed}"
        run = recognize(connection, THROUGH, AUTHOR)
    return f"{posted.sentence}; recognised through 2023-12: {run.entries:,} entries"


def run_demo(engine: Engine, folder: Path) -> None:
    """Post, recognise, print five reports and write three files."""
    click.echo(f"{post(engine)}\n")
    folder.mkdir(parents=True, exist_ok=True)
    with engine.connect() as connection:
        for name in ("trial-balance", "summary", "wallet", "ar-aging", "revenue-waterfall"):
            filters = Filters(as_of=month_end(THROUGH))
            click.echo(reports.render(reports.make(connection, name, filters), "table"))
        for target, name in (("workbook", "tickmark.xlsx"), ("quickbooks", "quickbooks.json"), ("zoho", "zoho.json")):
            done = export_file(connection, target, Filters(as_of=month_end(THROUGH)), str(folder / name))
            click.echo(f"wrote {done.path}: {done.summary}; ties to the trial balance")
