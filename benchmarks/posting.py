"""Posting: prepared entries through the journal, and usage documents from JSON Lines to committed postings."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, text

from benchmarks import peers
from benchmarks.measure import Result, Scale, Server, in_turn, seconds, unchecked, vacuum
from ledger.accounts.rulebook import RULES
from ledger.database import binary_copy, locks
from ledger.database.connect import connect_engine
from ledger.journal import entry_rows
from ledger.journal.entry_rows import Entry, Posting
from revrec.kinds import TYPES
from web.work.post_file import How, post_file

CUSTOMERS = 50_000
WALLETS = 386  # as many clients as ServeGen's usage has
_WRITTEN = ("document_key", "document", "account", "entry", "posting")


def accounts(connection: Connection, customers: int) -> None:
    """Customers with three accounts each, to post between."""
    connection.exec_driver_sql(
        "insert into entity (entity, name, currency, time_zone) values ('us', 'Acme', 'USD', 'UTC')"
    )
    connection.exec_driver_sql(
        "insert into customer (customer_id, ref, name, overage, tax_status)"
        f" select c, 'c' || c, 'C', 'bill', 'taxable' from generate_series(1, {customers}) c"
    )
    connection.exec_driver_sql(
        "insert into account (customer_id, account_id, entity, role, currency, subject, product)"
        " select c, c * 3 + k, 'us', (array['customer_credits', 'revenue', 'unbilled_receivable'])[k + 1], 'USD', 'grant:' || c,"
        f" case k when 1 then 'tokens' else '' end from generate_series(1, {customers}) c, generate_series(0, 2) k"
    )
    connection.commit()


def entries(count: int, customers: int = CUSTOMERS) -> Iterator[Entry]:
    """Entries of two postings each on accounts in random order."""
    chosen = random.Random(7)  # noqa: S311 - the same rows each time
    prepaid, unbilled = RULES["draw.prepaid"].number, RULES["draw.prepaid_unbilled"].number
    for number in range(count):
        c = chosen.randrange(customers) + 1
        day = date(2026, 1 + number * 6 // count, 15)
        yield Entry(
            c, 1, day, day,
            (Posting(prepaid, c * 3, c * 3 + 1, 100 + number % 900, 100 + number % 900),
             Posting(unbilled, c * 3 + 2, c * 3 + 1, 7, 7)),
        )  # fmt: skip


def write_entries(connection: Connection, prepared: Iterable[Entry], posted_at: datetime) -> None:
    """The journal's bulk call, committed at the end."""
    locks.share_books(connection)
    entry_rows.write_many(connection, prepared, posted_at, "bench")
    connection.commit()


def post_entries(server: Server, scale: Scale) -> Iterator[Result]:
    """Prepared postings with every check, against COPY of the same bytes into the same tables with none."""
    count = scale.rows(1_000_000)
    url = server.fresh()
    with unchecked(url) as owner:
        accounts(owner, CUSTOMERS)
        prepared = list(entries(count // 2))
        moment = datetime(2026, 11, 1, tzinfo=UTC)
        engine = connect_engine(url)

        def empty() -> None:
            owner.exec_driver_sql("truncate entry, posting")
            owner.commit()

        def work() -> float:
            empty()
            with engine.connect() as connection:
                return seconds(lambda: write_entries(connection, prepared, moment))

        copied: dict[str, bytes] = {}
        work()
        for name in ("entry", "posting"):
            copied[name] = _copy_out(owner, f"copy {name} to stdout (format binary)")

        def limit() -> float:
            empty()
            return seconds(lambda: _copy_back(owner, copied))

        took, least, ratio = in_turn(scale, work, limit)
        yield Result("post_entries", count / took, count / least, ratio, "postings/s", count, ">= 0.75")
        bytes_: Any = owner.scalar(text("select pg_total_relation_size('entry') + pg_total_relation_size('posting')"))
        owner.commit()
        yield Result("storage", bytes_ / count, None, None, "bytes a posting", count, "<= 260")
        engine.dispose()
    server.drop(url)


def _copy_out(connection: Connection, statement: str) -> bytes:
    content = io.BytesIO()
    with binary_copy.driver_cursor(connection) as cursor, cursor.copy(statement) as copy:
        for part in copy:
            content.write(part)
    return content.getvalue()


def _copy_back(connection: Connection, copied: dict[str, bytes]) -> None:
    """The limit: the same rows into the same tables, as fast as they go."""
    for name, content in copied.items():
        with (
            binary_copy.driver_cursor(connection) as cursor,
            cursor.copy(f"copy {name} from stdin (format binary)") as copy,
        ):
            for start in range(0, len(content), 1 << 20):
                copy.write(content[start : start + (1 << 20)])
    connection.commit()


def usage_lines(count: int, customers: str = "c") -> Iterator[bytes]:
    """Usage documents over as many wallets as ServeGen has clients, skewed as its clients are: a few make most of it."""
    chosen = random.Random(7)  # noqa: S311 - the same documents each time
    weights = [1 / (rank + 1) for rank in range(WALLETS)]
    for number, wallet in enumerate(chosen.choices(range(WALLETS), weights, k=count)):
        yield json.dumps(
            {
                "type": "usage", "id": f"u{customers}{number}", "customer": f"{customers}{wallet}", "entity": "us", "currency": "USD", "product": "tokens",
                "date": f"2026-01-{number * 14 // count + 1:02}", "quantity": str(chosen.randrange(10**6, 10**8)),
                "unit_price": "0.000002", "events": f"servegen rows {number} to {number + 3}",
            }
        ).encode() + b"\n"  # fmt: skip


def wallets(customers: str = "c") -> Iterator[bytes]:
    """The parties, and a paid grant for each wallet of customers that are called so."""
    yield b'{"type": "entity", "id": "us", "name": "Acme", "currency": "USD"}\n'
    yield b'{"type": "product", "id": "tokens", "name": "Tokens"}\n'
    party = {"entity": "us", "currency": "USD"}
    for wallet in range(WALLETS):
        line = {
            "id": "1",
            "kind": "prepaid",
            "amount": "100000000.00",
            "grant": f"g{customers}{wallet}",
            "product": "tokens",
        }
        for document in (
            {"type": "customer", "id": f"{customers}{wallet}", "name": f"Client {wallet}"},
            {"type": "grant", "id": f"g{customers}{wallet}", "customer": f"{customers}{wallet}", **party, "kind": "prepaid", "amount": "100000000.00",
             "effective_on": "2026-01-01"},
            {"type": "invoice", "id": f"i{customers}{wallet}", "customer": f"{customers}{wallet}", **party, "issued_on": "2026-01-01",
             "due_on": "2026-01-31", "lines": [line]},
        ):  # fmt: skip
            yield json.dumps(document).encode() + b"\n"


def post_lines_to(url: str, stream: IO[bytes]) -> None:
    """`tickmark post` of a stream, in this process."""
    engine = connect_engine(url)
    posted = post_file(engine, stream, TYPES, "bench", lambda problem, _raw: sys.exit(str(problem)), How())
    assert not posted.outcome.refused, posted.sentence
    engine.dispose()


def post_documents(server: Server, scale: Scale) -> Iterator[Result]:
    """`tickmark post` of usage, from JSON Lines to committed postings, against COPY of the rows it produces."""
    count = scale.rows(1_000_000, 20)
    with tempfile.TemporaryFile() as file:
        file.writelines(usage_lines(count))
        url = server.fresh()
        post_lines_to(url, io.BytesIO(b"".join(wallets())))
        with unchecked(url) as owner:
            owner.exec_driver_sql("create table kept_balance as select * from grant_balance")
            before = {
                name: owner.scalar(text(f"select coalesce(max({key}), 0) from {name}"))
                for name, key in _NUMBERED.items()
            }
            owner.commit()

            def reset() -> None:
                for name, key in _NUMBERED.items():
                    owner.execute(text(f"delete from {name} where {key} > :last"), {"last": before[name]})
                owner.exec_driver_sql("delete from grant_balance")
                owner.exec_driver_sql("insert into grant_balance select * from kept_balance")
                owner.exec_driver_sql("delete from usage_meter")
                vacuum(owner, "document_key, document, account, entry, posting, grant_balance, usage_meter")

            def work() -> float:
                reset()
                file.seek(0)
                return seconds(lambda: post_lines_to(url, file))

            work()
            copied = {
                name: _copy_out(
                    owner, f"copy (select * from {name} where {key} > {before[name]}) to stdout (format binary)"
                )
                for name, key in _NUMBERED.items()
            }
            owner.commit()

            def limit() -> float:
                reset()
                return seconds(lambda: _copy_back(owner, copied))

            took, least, ratio = in_turn(scale, work, limit)
            yield Result("post_documents", count / took, count / least, ratio, "documents/s", count, ">= 0.5")
            peer = peers.hordak(server, scale)
            for kind, target in (("single", ">= 50"), ("bulk", ">= 5")):
                if peer:
                    yield Result(
                        f"hordak_{kind}",
                        count / took,
                        peer[kind],
                        count / took / peer[kind],
                        "entries/s",
                        count,
                        target,
                    )
        server.drop(url)


_NUMBERED = {
    "document_key": "document_id", "document": "document_id", "account": "account_id", "entry": "entry_id", "posting": "entry_id",
}  # fmt: skip


def memory(server: Server, scale: Scale) -> Iterator[Result]:
    """How much memory each takes above the interpreter with its imports, in a process of its own."""
    idle = _peak("idle", "", 0)
    for name, factor, target in (("entries", 1, "<= 50"), ("documents", 1, "<= 300"), ("documents", 3, "<= 300")):
        count = scale.rows(1_000_000, 20) * factor
        url = server.fresh()
        if name == "documents":
            post_lines_to(url, io.BytesIO(b"".join(wallets())))
        else:
            with unchecked(url) as owner:
                accounts(owner, CUSTOMERS)
        yield Result(f"memory_{name}", (_peak(name, url, count) - idle) / 1024, None, None, "MB", count, target)
        server.drop(url)


def _peak(what: str, url: str, count: int) -> int:
    """The peak resident memory of a process that does one thing, in KiB."""
    ran = subprocess.run(  # noqa: S603 - this module itself
        [sys.executable, "-m", "benchmarks.posting", what, url, str(count)], capture_output=True, text=True, check=True
    )
    return int(ran.stdout)


def _alone(what: str, url: str, count: int) -> None:
    if what == "entries":
        engine = connect_engine(url)
        with engine.connect() as connection:
            write_entries(connection, entries(count // 2), datetime(2026, 11, 1, tzinfo=UTC))
    elif what == "documents":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "usage.jsonl"
            with path.open("wb") as file:
                file.writelines(usage_lines(count))
            with path.open("rb") as file:
                post_lines_to(url, file)
    # since this program began: what getrusage says includes the process it was forked from
    status = Path("/proc/self/status").read_text(encoding="ascii")
    sys.stdout.write(re.search(r"VmHWM:\s*(\d+)", status)[1])  # type: ignore[index] # Linux has it


if __name__ == "__main__":
    _alone(sys.argv[1], sys.argv[2], int(sys.argv[3]))
