"""Whether cost grows with the books: what one customer, one day or one batch costs among a million postings and among ten."""

from __future__ import annotations

import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial

from sqlalchemy import Connection, Engine, text

from benchmarks.measure import Result, Scale, Server, in_turn, seconds, unchecked, vacuum
from benchmarks.posting import post_lines_to, write_entries
from ledger.database.connect import connect_engine
from ledger.invoices.statement import statement
from ledger.journal.entry_rows import Entry, Posting
from ledger.proof import seals
from ledger.reports.aging import ar_aging
from ledger.reports.report import Filters
from ledger.reports.trial_balance import trial_balance
from ledger.reports.wallet import wallet
from revrec.earn.recognition import recognize
from revrec.trace import trace

_PARTY = {"customer": "one", "entity": "us", "currency": "USD"}
_ONE = (
    {"type": "entity", "id": "us", "name": "Acme", "currency": "USD"},
    {"type": "product", "id": "tokens", "name": "Tokens"},
    {"type": "customer", "id": "one", "name": "One"},
    {"type": "grant", "id": "g", **_PARTY, "kind": "prepaid", "amount": "1000.00", "effective_on": "2026-01-01"},
    {"type": "contract", "id": "k", **_PARTY, "signed_on": "2026-01-01",
     "obligations": [{"id": "seats", "product": "tokens", "pattern": "daily", "price": "365.00", "start": "2026-01-01",
                      "end": "2026-12-31"}]},
    {"type": "invoice", "id": "i", **_PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-31",
     "lines": [{"id": "1", "kind": "prepaid", "amount": "1000.00", "grant": "g", "product": "tokens"},
               {"id": "2", "kind": "service", "amount": "365.00", "obligation": "seats"}]},
    *({"type": "usage", "id": f"u{n}", **_PARTY, "product": "tokens", "date": f"2026-01-{n % 28 + 1:02}", "quantity": "100",
       "unit_price": "0.01", "events": f"rows {n}"} for n in range(200)),
    {"type": "payment", "id": "p", **_PARTY, "date": "2026-01-20", "rail": "ach", "amount": "1000.00",
     "applications": [{"invoice": "i", "amount": "1000.00"}]},
)  # fmt: skip

# Beside the one, customers enough, each with credits and usage; all but the newest invoices are paid.
_MANY = """
    insert into customer (customer_id, ref, name) select {k} + c, 'c' || c, 'C' from generate_series(1, {customers}) c;
    insert into account (customer_id, account_id, entity, role, currency, subject, product)
        select {k} + c, {k} + c * 4 + k, 'us', (array['customer_credits', 'revenue', 'cash', 'deferred_revenue'])[k + 1], 'USD',
               (array['grant:m' || c, 'grant:m' || c, '', 'usage:tokens'])[k + 1], case k when 1 then 'tokens' else '' end
        from generate_series(1, {customers}) c, generate_series(0, 3) k;
    insert into account (customer_id, account_id, entity, role, currency, subject, product)
        select {k} + 1 + n % {customers}, {k} * 2 + n, 'us', 'accounts_receivable', 'USD', 'invoice:m' || n, ''
        from generate_series(1, {invoices}) n;
    insert into invoice (customer_id, invoice_id, ref, entity, currency, issued_on, due_on, total_minor, receivable_account)
        select {k} + 1 + n % {customers}, {k} + n, 'm' || n, 'us', 'USD', date '2024-01-01' + n % 700, date '2024-01-31' + n % 700,
               1000 + n % 500, {k} * 2 + n
        from generate_series(1, {invoices}) n;
    insert into invoice_line (customer_id, invoice_id, line, kind, amount_minor, product, subject)
        select customer_id, invoice_id, '1', 'usage', total_minor, 'tokens', 'usage:tokens' from invoice where invoice_id > {k};
    create temp table made as
        select invoice_id as document_id, invoice_id as entry_id, customer_id, issued_on as day, receivable_account as debit,
               customer_id * 4 - {k} * 3 + 3 as credit, total_minor as amount, 1 as n, 'invoice' as type, ref from invoice where invoice_id > {k}
        union all
        select invoice_id + {k}, invoice_id + {k}, customer_id, issued_on + 20, customer_id * 4 - {k} * 3 + 2, receivable_account,
               total_minor, 1, 'payment', ref from invoice where invoice_id > {k} and invoice_id <= {k} + {invoices} - {open}
        union all
        select {k} * 3 + n, {k} * 3 + n, {k} + 1 + n % {customers}, date '2024-01-01' + n % 700,
               {k} + (1 + n % {customers}) * 4, {k} + (1 + n % {customers}) * 4 + 1, 100, 4, 'usage', 'm' || n
        from generate_series(1, {draws} / 4) n;
    insert into document_key (type, ref, customer_id, document_id) select type, ref, customer_id, document_id from made;
    insert into document (customer_id, document_id, type, ref, dated_on, body, hash, posted_at, posted_by)
        select customer_id, document_id, type, ref, day, '{{"amount": "1.00", "currency": "USD"}}', sha256(''), '2026-01-01', 'bench' from made;
    insert into entry (customer_id, entry_id, document_id, posted_at, effective_on, occurred_on, posting_count, posted_by, hash)
        select customer_id, entry_id, document_id, '2026-01-01', day, day, n, 'bench', sha256(int8send(entry_id)) from made;
    insert into posting (customer_id, entry_id, debit_account, credit_account, amount, functional_amount, effective_on, line, rule)
        select customer_id, entry_id, debit, credit, amount, amount, day, line, 1 from made, generate_series(1, n) line;
    drop table made;
    select setval('document_number', {k} * 10), setval('account_number', {k} * 10), setval('entry_number', {k} * 10),
           setval('customer_number', {k} * 10);
"""
_BEYOND = 20_000_000
_QUICK = 40  # books of ten million postings take minutes to make
_SCAN = text("select debit_account, credit_account, sum(functional_amount) from posting group by 1, 2")


def grown(server: Server, customers: int, postings: int, unpaid: int) -> str:
    """A database of so many postings: one customer with documents of every kind, the others in bulk, so many invoices unpaid."""
    url = server.fresh()
    post_lines_to(url, io.BytesIO(b"".join(json.dumps(document).encode() + b"\n" for document in _ONE)))
    engine = connect_engine(url)
    with engine.connect() as connection:
        recognize(connection, date(2026, 1, 1), "bench")
        connection.commit()
    invoices = max(postings // 5, unpaid)
    draws = postings - 2 * invoices + unpaid
    with unchecked(url) as owner:
        script = _MANY.format(k=_BEYOND, customers=customers, invoices=invoices, open=unpaid, draws=draws)
        owner.connection.cursor().execute(script)  # a script of many statements, which takes no parameters
        vacuum(owner)
    seals.seal(engine, "bench")
    engine.dispose()
    return url


def _questions(connection: Connection) -> dict[str, Callable[[], object]]:
    """What is asked of the books as they grow, and what each answer must hold to be one."""
    earned = connection.scalar(
        text("select max(e.entry_id) from entry e join customer c using (customer_id) where c.ref = 'one'")
    )
    one = Filters(customer="one")
    return {
        "trial_balance": lambda: trial_balance(connection, Filters()),
        "ar_aging": lambda: ar_aging(connection, Filters()),
        "statement": lambda: statement(connection, one),
        "wallet": lambda: wallet(connection, one),
        "trace_entry": lambda: trace(connection, str(earned)),
        "trace_invoice": lambda: trace(connection, "invoice:i"),
        "trace_usage": lambda: trace(connection, "u17"),
    }


def _draws(customers: int, count: int) -> list[Entry]:
    """Entries of two postings on the credits and revenue of customers in random order."""
    chosen = random.Random(7)  # noqa: S311 - the same rows each time
    made = []
    for number in range(count):
        customer = _BEYOND + chosen.randrange(customers) + 1
        credits_account = customer * 4 - 3 * _BEYOND
        lines = tuple(
            Posting(1, credits_account, credits_account + 1, amount, amount) for amount in (100 + number % 900, 7)
        )
        made.append(Entry(customer, 1, date(2026, 1, 15), date(2026, 1, 15), lines))
    return made


def _posted(engine: Engine, prepared: list[Entry]) -> float:
    with engine.connect() as connection:
        return seconds(lambda: write_entries(connection, prepared, datetime(2026, 11, 1, tzinfo=UTC)))


def growing(server: Server, scale: Scale) -> Iterator[Result]:
    """Reports, traces and the journal's bulk call at a million postings and at ten, as many customers and open invoices in both."""
    customers, unpaid = scale.rows(100_000, _QUICK), scale.rows(200_000, _QUICK)
    sizes = (scale.rows(1_000_000, _QUICK), scale.rows(10_000_000, _QUICK))
    urls = [grown(server, customers, size, unpaid) for size in (*sizes, 0)]
    engines: list[Engine] = [connect_engine(url) for url in urls]
    tail = _draws(customers, scale.rows(10_000, _QUICK))
    for engine in engines:
        _posted(engine, tail)  # what nobody has sealed yet
    small, large, _ = (engine.connect() for engine in engines)
    asked = _questions(small), _questions(large)
    assert trial_balance(large, Filters()).rows == trial_balance(large, Filters(known_at=datetime.now(UTC))).rows, (
        "to the cent"
    )
    took, least, ratio = in_turn(
        scale, lambda: seconds(asked[1]["trial_balance"]), lambda: seconds(lambda: large.execute(_SCAN).all())
    )
    yield Result("trial_balance", took * 1000, least * 1000, 1 / ratio, "ms", sizes[1], "<= 0.02")
    for name, of_large in asked[1].items():
        took, least, ratio = in_turn(scale, partial(seconds, of_large), partial(seconds, asked[0][name]))
        target = "<= 2" if name == "trial_balance" else "<= 1.5"
        yield Result(f"{name}_flat", took * 1000, least * 1000, 1 / ratio, "ms", sizes[1], target)
    small.close()
    large.close()
    prepared = _draws(customers, scale.rows(100_000, 4))
    took, least, ratio = in_turn(scale, lambda: _posted(engines[1], prepared), lambda: _posted(engines[2], prepared))
    count = 2 * len(prepared)
    yield Result("growth", count / took, count / least, ratio, "postings/s", count, ">= 0.8")
    for engine, url in zip(engines, urls, strict=True):
        engine.dispose()
        server.drop(url)


def sealing(server: Server, scale: Scale) -> Iterator[Result]:
    """Sealing entries, against posting them; and posting with a sealer beside it, against posting alone."""
    customers, count = scale.rows(100_000, _QUICK), scale.rows(1_000_000, _QUICK)
    url = grown(server, customers, 0, 0)
    engine = connect_engine(url)
    prepared = _draws(customers, count)
    pairs = []
    for turn in range(scale.pairs + 1):
        posting = _posted(engine, prepared)
        pair = seconds(lambda: seals.seal(engine, "bench")), posting
        if turn:
            pairs.append(pair)
    took, least = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    yield Result("seal", took, least, ratio, "s", len(prepared), "<= 0.2")

    # what a sealer has to do while others post: a part of it posted before, the rest as it comes
    parts = [prepared[start : start + len(prepared) // 10] for start in range(0, len(prepared), len(prepared) // 10)]

    def alone() -> float:
        return sum(_posted(engine, part) for part in parts)

    def beside() -> float:
        sealer = subprocess.Popen([sys.executable, "-m", "benchmarks.growth", url])  # noqa: S603 - this module itself
        try:
            return alone()
        finally:
            sealer.terminate()
            sealer.wait()

    took, least, ratio = in_turn(scale, beside, alone)
    yield Result("posting_beside_seal", 2 * count / took, 2 * count / least, ratio, "postings/s", count, ">= 0.9")
    engine.dispose()
    server.drop(url)


def _keep_sealing(url: str) -> None:
    engine = connect_engine(url)
    while True:
        seals.seal(engine, "bench")
        time.sleep(1)


if __name__ == "__main__":
    _keep_sealing(sys.argv[1])
