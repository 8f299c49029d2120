"""Verifying: everything that always holds, recomputed from ten million postings with their documents, seals included."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.measure import Result, Scale, Server, seconds, unchecked, vacuum
from benchmarks.posting import post_lines_to
from ledger.database.connect import connect_engine
from ledger.proof import seals, verify
from revrec.earn.recognition import recognize
from revrec.invariants import QUESTIONS

_POSTINGS_PER_CUSTOMER = 500
_BATCH = 500_000  # documents a file
_MONTHS = 3
_SECONDS_ALLOWED = 300  # for ten million postings


def books(url: str, postings: int) -> None:
    """Whole books of about so many postings, posted as documents and sealed: wallets, contracts, invoices, payments and usage."""
    customers = max(postings // _POSTINGS_PER_CUSTOMER, 1)
    post_lines_to(url, io.BytesIO(b"".join(_parties(customers))))
    usage = _usage(customers, postings - 9 * customers)
    while batch := b"".join(islice(usage, _BATCH)):
        post_lines_to(url, io.BytesIO(batch))
    engine = connect_engine(url)
    for month in range(1, _MONTHS + 1):
        with engine.connect() as connection:
            recognize(connection, date(2026, month, 1), "bench")
            connection.commit()
    seals.seal(engine, "bench")
    engine.dispose()
    with unchecked(url) as owner:
        vacuum(owner)


def _parties(customers: int) -> Iterator[bytes]:
    """Each customer with a prepaid wallet, a yearly contract, an invoice of both, and its payment."""
    yield b'{"type": "entity", "id": "us", "name": "Acme", "currency": "USD"}\n'
    for product in ("tokens", "seats"):
        yield json.dumps({"type": "product", "id": product, "name": product}).encode() + b"\n"
    for number in range(customers):
        party = {"customer": f"c{number}", "entity": "us", "currency": "USD"}
        for document in (
            {"type": "customer", "id": f"c{number}", "name": f"Client {number}"},
            {"type": "grant", "id": f"g{number}", **party, "kind": "prepaid", "amount": "1000000.00", "effective_on": "2026-01-01"},
            {"type": "contract", "id": f"k{number}", **party, "signed_on": "2026-01-01",
             "obligations": [{"id": f"s{number}", "product": "seats", "pattern": "daily", "price": "1200.00",
                              "start": "2026-01-01", "end": "2026-12-31"}]},
            {"type": "invoice", "id": f"i{number}", **party, "issued_on": "2026-01-01", "due_on": "2026-01-31",
             "lines": [{"id": "1", "kind": "prepaid", "amount": "1000000.00", "grant": f"g{number}", "product": "tokens"},
                       {"id": "2", "kind": "service", "amount": "1200.00", "obligation": f"s{number}"}]},
            {"type": "payment", "id": f"p{number}", "customer": f"c{number}", "date": "2026-01-20", "rail": "ach", **_USD,
             "amount": "1001200.00", "applications": [{"invoice": f"i{number}", "amount": "1001200.00"}]},
        ):  # fmt: skip
            yield json.dumps(document).encode() + b"\n"


_USD = {"entity": "us", "currency": "USD"}


def _usage(customers: int, count: int) -> Iterator[bytes]:
    """Usage of customers in random order, day after day of three months."""
    chosen = random.Random(7)  # noqa: S311 - the same documents each time
    for number in range(count):
        day = number * 90 // count
        yield (
            b'{"type": "usage", "id": "u%d", "customer": "c%d", "entity": "us", "currency": "USD", "product": "tokens",'
            b' "date": "2026-%02d-%02d", "quantity": "%d", "unit_price": "0.000002", "events": "rows %d to %d"}\n'
            % (number, chosen.randrange(customers), 1 + day // 28 if day < 84 else 3, 1 + day % 28,
               chosen.randrange(10**6, 10**8), number, number + 3)
        )  # fmt: skip


def verifying(server: Server, scale: Scale) -> Iterator[Result]:
    """Verifying whole books, in a process of its own, against five minutes for ten million postings; and its memory."""
    url = server.fresh()
    books(url, scale.rows(10_000_000))
    engine = connect_engine(url)
    with engine.connect() as connection:
        count: int = connection.scalar(text("select count(*) from posting"))
    engine.dispose()
    ran = subprocess.run(  # noqa: S603 - this module itself
        [sys.executable, "-m", "benchmarks.verifying", url], capture_output=True, text=True, check=True
    )
    took, peak = map(float, ran.stdout.split())
    allowed = _SECONDS_ALLOWED * count / 10_000_000
    yield Result("verify", took, allowed, took / allowed, "s", count, "<= 1")
    yield Result("memory_verify", peak / 1024, None, None, "MB", count, "<= 300")
    server.drop(url)


def _alone(url: str) -> None:
    """Verify; say how many seconds it took, and this process's peak memory in KiB."""
    engine = connect_engine(url)
    took = seconds(lambda: _assert_clean(engine))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = re.search(r"VmHWM:\s*(\d+)", status)
    assert peak is not None, "Linux has it"
    sys.stdout.write(f"{took} {peak[1]}")


def _assert_clean(engine: Engine) -> None:
    assert verify.clean(verify.verify(engine, held=QUESTIONS)), "the books hold"


if __name__ == "__main__":
    _alone(sys.argv[1])
