"""Faults on purpose: clients post, draw, pay, void, credit, recognise, close and seal while they, their connections and the server are killed.

`make chaos SEED=1` is one run of a minute: the same seed makes the same documents and the same faults, at moments that differ. Each client
writes down what it is about to do before it does it, and what it was answered. Afterwards every document that was acknowledged has to be
in the books once, every one without an answer once or not at all, every one that was refused not at all; every balance has to be what
an independent model (tests/model.py) makes of the documents that are there; and `verify` has to hold.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
import time_machine
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from ledger.database import connect
from ledger.errors import Problem, Refused
from ledger.journal import periods
from ledger.proof import seals, verify
from revrec.earn.recognition import recognize
from revrec.kinds import TYPES
from tests.model import Model
from web.work.post_file import How, post_file

CLIENTS = 4
CUSTOMERS = 6
MONTHS_BEHIND = 3  # how far the server's clock is set back at most
SECONDS = 60
_STARTS = 5
_PATIENCE_SECONDS = 10
_PLACE = {"entity": "us", "currency": "USD"}


# What a client does -------------------------------------------------------------------------------------------------


@dataclass
class Log:
    """What a client is about to do, and what it was answered: on the disk before it goes on."""

    path: Path

    def say(self, **said: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Client:
    """A seeded stream of work on the books, for as long as it is let live."""

    def __init__(self, seed: int, number: int, url: str, log: Log) -> None:
        self.random = random.Random(f"{seed}/{number}")  # noqa: S311 - no secret
        self.name = f"client-{number}"
        self.count = 0
        self.log = log
        self.engine: Engine = connect.connect_engine(url)
        self.invoices: list[tuple[str, str, int]] = []  # of this client: its id, its customer, what it bills in cents

    def run(self) -> None:
        while True:
            kind = self.random.choices(
                ["usage", "draw", "invoice", "payment", "late", "correction", "recognise", "close", "seal"],
                [30, 25, 12, 10, 4, 8, 4, 4, 5],
            )[0]
            getattr(self, f"_{kind}")()

    def _ref(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.name}-{self.count}"

    def _post(self, *documents: dict[str, Any]) -> bool:
        """Post documents as one transaction; whether they were acknowledged."""
        problems: list[Problem] = []
        self.log.say(did="sent", documents=documents)
        raw = "".join(json.dumps(document) + "\n" for document in documents).encode()
        try:
            outcome = post_file(
                self.engine, io.BytesIO(raw), TYPES, self.name, lambda problem, _raw: problems.append(problem), How()
            ).outcome
        except Refused:
            self.log.say(did="refused", refs=[document["id"] for document in documents])
            return False
        except (DBAPIError, psycopg.Error, OSError):
            self.log.say(did="unanswered", refs=[document["id"] for document in documents])
            time.sleep(0.2)
            # half of the time as one who never asks again, else as one who sends it until it is answered
            return self.random.random() < 0.5 and self._post(*documents)
        if problems or outcome.refused:
            self.log.say(
                did="refused",
                refs=[document["id"] for document in documents],
                why=[str(problem) for problem in problems],
            )
            return False
        if self.random.random() < 0.01:
            os._exit(9)  # after the commit, before anybody was told
        self.log.say(did="acknowledged", refs=[document["id"] for document in documents])
        return True

    def _day(self) -> str:
        return date(2026, self.random.randint(1, 3), self.random.randint(1, 28)).isoformat()

    def _customer(self) -> str:
        return f"c{self.random.randrange(CUSTOMERS)}"

    def _used(self, customer: str) -> dict[str, Any]:
        return {
            "type": "usage", "id": self._ref("u"), "customer": customer, **_PLACE, "product": "tokens", "date": self._day(),
            "quantity": str(self.random.randint(1, 900)), "unit_price": "0.013",
        }  # fmt: skip

    def _usage(self) -> None:
        self._post(*(self._used(self._customer()) for _ in range(self.random.choice([2, 5, 60]))))

    def _draw(self) -> None:
        self._post(self._used(self._customer()))

    def _invoice(self) -> None:
        customer, ref, amount = self._customer(), self._ref("i"), self.random.randint(100, 90_000)
        document = {
            "type": "invoice", "id": ref, "customer": customer, **_PLACE, "issued_on": "2026-01-05", "due_on": "2026-02-04",
            "lines": [{"id": "1", "kind": "service", "product": "seats", "amount": f"{amount / 100:.2f}", "start": "2026-01-05", "end": "2026-12-31"}],
        }  # fmt: skip
        if self._post(document):
            self.invoices.append((ref, customer, amount))

    def _payment(self) -> None:
        if self.invoices:
            ref, customer, amount = self.random.choice(self.invoices)
            paid = self.random.randint(1, amount)
            self._post({
                "type": "payment", "id": self._ref("p"), "customer": customer, **_PLACE, "date": "2026-02-10", "rail": "wire",
                "amount": f"{paid / 100:.2f}", "applications": [{"invoice": ref, "amount": f"{paid / 100:.2f}"}],
            })  # fmt: skip

    def _correction(self) -> None:
        if not self.invoices:
            return
        ref, _, amount = self.random.choice(self.invoices)
        if self.random.random() < 0.3:
            self._post(
                {"type": "invoice_void", "id": self._ref("v"), "invoice": ref, "date": "2026-02-12", "reason": "x"}
            )
        else:
            credit = f"{self.random.randint(1, amount) / 100:.2f}"
            self._post(
                {
                    "type": "credit_note",
                    "id": self._ref("n"),
                    "invoice": ref,
                    "date": "2026-02-12",
                    "lines": [{"line": "1", "amount": credit}],
                }
            )

    def _without_document(self, run: Callable[[], object]) -> None:
        with contextlib.suppress(Refused, DBAPIError, psycopg.Error):
            run()

    def _recognise(self) -> None:
        def run() -> None:
            with self.engine.begin() as connection:
                recognize(connection, date(2026, self.random.randint(1, 3), 1), self.name)

        self._without_document(run)

    def _late(self) -> None:
        """Money of the month that is closed and opened: it counts there or in the first open month, and is there either way."""
        self._post(
            {
                "type": "payment",
                "id": self._ref("l"),
                "customer": f"c{self.random.randrange(CUSTOMERS)}",
                **_PLACE,
                "date": f"2025-12-{self.random.randint(1, 31):02}",
                "rail": "wire",
                "amount": f"{self.random.randint(1, 9)}.00",
            }
        )

    def _close(self) -> None:
        """The month before all others, closed and opened."""

        def run() -> None:
            with self.engine.begin() as connection:
                if periods.closed_through(connection, "us") is None:
                    periods.close(connection, "us", date(2025, 12, 1), self.name)
                else:
                    periods.reopen(connection, "us", date(2025, 12, 1), self.name, "chaos")

        self._without_document(run)

    def _seal(self) -> None:
        self._without_document(lambda: seals.seal(self.engine, self.name, 5.0))


# What is done to them -----------------------------------------------------------------------------------------------


def _set_clock_by(file: Path) -> dict[str, str]:
    """The environment of a server whose clock is set by a file, where libfaketime is installed; waits take as long as they do."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }


class Server:
    """A PostgreSQL of its own, kept by a process of its own, so that all of it can be killed; its clock can be set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keeper: subprocess.Popen[str] | None = None
        self.url = ""
        self._clock = folder.with_name("clock")
        self.environment = _set_clock_by(self._clock)
        self.hours_behind = 0
        self.set_clock(MONTHS_BEHIND * 720)

    def set_clock(self, hours_behind: int) -> None:
        """Have the server's clock so many hours behind.

        Never ahead: what libfaketime tells a signal's handler is the real time, before which PostgreSQL would not look for deadlocks.
        """
        self.hours_behind = hours_behind
        written = self._clock.with_name("clock.new")
        written.write_text(f"-{self.hours_behind}h")
        written.replace(self._clock)  # never half of it

    def start(self) -> None:
        """Start it, and wait until it answers; once more where what was killed was still taken for running."""
        for _ in range(_STARTS):
            self._keep()
            if self._answers():
                return
            assert self.keeper is not None
            self.keeper.kill()
            self.keeper.communicate()
        raise RuntimeError("the server does not start again")

    def _keep(self) -> None:
        self.keeper = subprocess.Popen(
            [sys.executable, "-c", "import json, os, sys; from pathlib import Path; from ledger.database import embedded;"
             "os.environ |= json.loads(sys.argv[2]);"  # the server's, not the keeper's
             "print(embedded.start(Path(sys.argv[1])), flush=True); sys.stdin.read()", str(self.folder), json.dumps(self.environment)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.keeper.stdout is not None
        self.url = self.keeper.stdout.readline().strip() or self.url

    def _answers(self) -> bool:
        until = time.monotonic() + _PATIENCE_SECONDS
        while self.url and time.monotonic() < until:
            try:
                psycopg.connect(
                    make_url(self.url)
                    .set(drivername="postgresql", database="postgres")
                    .render_as_string(hide_password=False)
                ).close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return True
        return False

    def kill(self) -> None:
        """SIGKILL to the keeper, the server and each of its processes, as where power is lost."""
        assert self.keeper is not None
        self.keeper.kill()
        self.keeper.communicate()
        main = int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(main)], capture_output=True, text=True, check=False
        ).stdout.split()
        for process in (main, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(Path(f"/proc/{process}").exists() and _runs(process) for process in (main, *map(int, children))):
            time.sleep(0.02)

    def stop(self) -> None:
        if self.keeper is not None:
            self.keeper.communicate(timeout=60)


def _runs(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@dataclass
class Run:
    """A run: its server, its clients, its faults."""

    seed: int
    folder: Path
    server: Server
    clients: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    started: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - no secret

    def begin(self, count: int) -> None:
        for _ in range(count):
            self.started += 1
            number = self.started
            # clients' clocks and time zones differ, by years at times: no moment of theirs may count
            environment = os.environ | {"TZ": self.random.choice(["UTC", "Asia/Tokyo", "America/Los_Angeles"])}
            skew = str(self.random.choice([-400 * 24, -24, 0, 3, 40 * 24]))
            self.clients[number] = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos", "--client", str(number), "--seed", str(self.seed), "--url", self.server.url, "--skew", skew,
                 "--log", str(self.folder / f"client-{number}.log")], env=environment, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def replace_dead(self) -> None:
        for number in [number for number, client in self.clients.items() if client.poll() is not None]:
            del self.clients[number]
        self.begin(CLIENTS - len(self.clients))

    def fault(self) -> None:
        kind = self.random.choices(
            ["client killed", "connection dropped", "connection dropped while copying", "deadlock", "serialization failure", "connections all taken",
             "server killed", "clock set"],
            [20, 25, 15, 15, 10, 6, 9, 10],
        )[0]  # fmt: skip
        if getattr(self, f"_{kind.replace(' ', '_')}")():
            self.faults[kind] += 1

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        url = make_url(self.server.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    def _client_killed(self) -> bool:
        client = self.random.choice(list(self.clients.values()))
        client.kill()
        client.wait()
        return True

    def _dropped(self, where: str) -> bool:
        with self._connected() as connection:
            found = connection.execute(
                f"select pg_terminate_backend(pid) from (select pid from pg_stat_activity where datname = current_database()"
                f" and pid <> pg_backend_pid() and {where} order by random() limit 1) x"
            ).fetchall()
            return bool(found)

    def _connection_dropped(self) -> bool:
        return self._dropped("state = 'active'") or self._dropped("true")

    def _connection_dropped_while_copying(self) -> bool:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            if self._dropped("state = 'active' and query ilike 'copy%'"):
                return True
        return False

    def _deadlock(self) -> bool:
        """Customers locked in the other order than posters do."""
        with self._connected() as connection, contextlib.suppress(psycopg.Error), connection.transaction():
            for number in reversed(range(CUSTOMERS)):
                connection.execute("select from customer where ref = %s for update", [f"c{number}"])
                time.sleep(0.02)
        return True

    def _serialization_failure(self) -> bool:
        """Every transaction begun in the next while is serializable, and fails where another was in its way."""
        with self._connected() as connection:
            connection.execute("alter database tickmark set default_transaction_isolation = 'serializable'")
            self._dropped("true")  # whoever connects again, has it
            time.sleep(0.5)
            connection.execute("alter database tickmark reset default_transaction_isolation")
        return True

    def _connections_all_taken(self) -> bool:
        taken: list[psycopg.Connection[Any]] = []
        url = make_url(self.server.url).set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            while len(taken) < 500:
                taken.append(psycopg.connect(url))
        except psycopg.OperationalError:
            time.sleep(0.5)
            return True
        finally:
            for one in taken:
                one.close()
        return False

    def _clock_set(self) -> bool:
        """The server's clock jumps ahead, by up to months; back it goes where the server is down: it would wait till then for deadlocks."""
        if not self.server.environment or not self.server.hours_behind:
            return False
        self.server.set_clock(self.random.randrange(self.server.hours_behind))
        return True

    def _server_killed(self) -> bool:
        self.server.kill()
        self.server.set_clock(self.random.randrange(MONTHS_BEHIND * 720))
        time.sleep(self.random.random())
        self.server.start()
        return True


# What has to hold afterwards ----------------------------------------------------------------------------------------


def _said(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """All documents that were sent, by id, and what each was last answered; what was never answered is `unanswered`."""
    documents: dict[str, dict[str, Any]] = {}
    answers: dict[str, str] = {}
    for log in sorted(folder.glob("client-*.log")):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last line of one that was killed
                said = json.loads(line)
                for document in said.get("documents", ()):
                    documents[document["id"]] = document
                    answers.setdefault(document["id"], "unanswered")
                for ref in said.get("refs", ()):
                    if answers[ref] != "acknowledged":
                        answers[ref] = said["did"]
    return documents, answers


def _differences(engine: Engine, folder: Path, setup: list[dict[str, Any]]) -> tuple[list[str], Counter[str]]:
    """What is not as it has to be; and how many documents were answered how."""
    documents, answers = _said(folder)
    wrong = []
    with engine.connect() as connection:
        rows = connection.execute(
            text("select type, ref, body from document where type <> 'recognition' order by document_id")
        ).all()
        there = Counter(row.ref for row in rows)
        for ref, answer in answers.items():
            if there[ref] > 1 or (answer == "acknowledged" and not there[ref]) or (answer == "refused" and there[ref]):
                wrong.append(f"{ref} was {answer}, and is there {there[ref]} times")
        own = {document["id"] for document in setup} | set(documents)
        wrong += [f"{ref} is there, and nobody sent it" for ref in there if ref not in own]
        wrong += _balances_differing(connection, [json.loads(row.body) for row in rows])
    wrong += [f"{check.sentence}: {difference}" for check in verify.each(engine) for difference in check.differences]
    counted = Counter(answers.values())
    counted["unanswered and there"] = sum(1 for ref, answer in answers.items() if answer == "unanswered" and there[ref])
    return wrong, counted


def _balances_differing(connection: Any, documents: list[dict[str, Any]]) -> list[str]:
    """Every balance that is not what the model makes of the documents, in the order in which they came in, customer by customer."""
    owners = {document["id"]: document["customer"] for document in documents if document["type"] == "invoice"}
    models: dict[str, Model] = {}
    for document in documents:
        if document["type"] not in ("entity", "customer", "product"):
            customer = document.get("customer") or owners[document["invoice"]]
            models.setdefault(customer, Model()).apply(document)
    found: dict[str, dict[tuple[str, str], int]] = {}
    for row in connection.execute(
        text("select c.ref as customer, l.role, l.subject, sum(case side when 'debit' then amount else -amount end)::bigint as net"
             " from journal_line l join customer c using (customer_id) group by 1, 2, 3")
    ):  # fmt: skip
        found.setdefault(row.customer, {})[row.role, row.subject] = row.net
    drawn: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        text("select c.ref as customer, g.ref, b.drawn_face_minor from grant_balance b join credit_grant g using (customer_id, grant_id)"
             " join customer c using (customer_id)")
    ):  # fmt: skip
        drawn.setdefault(row.customer, {})[f"drawn of {row.ref}"] = row.drawn_face_minor
    wrong = []
    for customer, model in models.items():
        books = _held(found.get(customer, {})) | drawn.get(customer, {})
        expected = _modelled(model)
        wrong += [
            f"{name} of {customer}: {books.get(name, 0)}, by the model {expected.get(name, 0)}"
            for name in sorted({*books, *expected})
            if books.get(name, 0) != expected.get(name, 0)
        ]
    return wrong


def _held(found: dict[tuple[str, str], int]) -> dict[str, int]:
    """A customer's balances as the books have them: money, what is due by invoice, and what was billed of each thing.

    What is billed of a thing stands in its liability, its asset or in revenue, whatever was recognised of it.
    """
    held: Counter[str] = Counter()
    for (role, subject), net in found.items():
        if role in ("cash", "customer_balance"):
            held[role] += net
        elif role == "accounts_receivable":
            held[subject] += net
        elif not role.startswith("memo_"):
            held[f"billed of {subject}"] -= net
    return dict(held)


def _modelled(model: Model) -> dict[str, int]:
    """The same by the model."""
    return {
        "cash": model.cash, "customer_balance": -model.balance.total,
        **{f"invoice:{ref}": account.total for ref, account in model.due.items()},
        **{f"billed of {subject}": amount for subject, amount in model.billed.items()},
        **{f"drawn of {ref}": grant["drawn"] for ref, grant in model.grants.items()},
    }  # fmt: skip


def _setup() -> list[dict[str, Any]]:
    """An entity, products, and customers with credits that are paid for."""
    found: list[dict[str, Any]] = [
        {"type": "entity", "id": "us", "name": "US", "currency": "USD"}, {"type": "product", "id": "tokens", "name": "Tokens"},
        {"type": "product", "id": "seats", "name": "Seats"},
    ]  # fmt: skip
    for number in range(CUSTOMERS):
        party = {"customer": f"c{number}", **_PLACE}
        found += [
            {"type": "customer", "id": f"c{number}", "name": f"Customer {number}"},
            {"type": "grant", "id": f"g{number}", **party, "kind": "prepaid", "amount": "4000.00", "effective_on": "2026-01-01"},
            {"type": "invoice", "id": f"s{number}", **party, "issued_on": "2026-01-01", "due_on": "2026-01-31",
             "lines": [{"id": "1", "kind": "prepaid", "amount": "4000.00", "grant": f"g{number}", "product": "tokens"}]},
        ]  # fmt: skip
    return found


def run(seed: int, seconds: int) -> int:
    """One run: 0 where everything holds."""
    with tempfile.TemporaryDirectory(prefix="tickmark chaos ") as place:
        folder = Path(place)
        server = Server(folder / "data")
        server.start()
        connect.upgrade(server.url)
        engine = connect.connect_engine(server.url)
        setup = _setup()
        raw = "".join(json.dumps(document) + "\n" for document in setup).encode()
        post_file(engine, io.BytesIO(raw), TYPES, "setup", lambda problem, _raw: click.echo(str(problem)))
        one = Run(seed, folder, server)
        one.begin(CLIENTS)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(one.random.uniform(0.1, 1.2))
            one.replace_dead()
            with contextlib.suppress(psycopg.Error):  # the server is not up again yet
                one.fault()
        for client in one.clients.values():
            client.kill()
            client.wait()
        engine.dispose()
        wrong, counted = _differences(engine, folder, setup)
        engine.dispose()
        server.stop()
    faults = ", ".join(f"{count} x {kind}" for kind, count in sorted(one.faults.items()))
    click.echo(f"seed {seed}, {seconds} s: {sum(one.faults.values())} faults ({faults}); clients: {one.started}")
    click.echo(
        f"documents: {counted['acknowledged']:,} acknowledged, {counted['refused']:,} refused, {counted['unanswered']:,} without an answer, of which"
        f" {counted['unanswered and there']:,} are there"
    )
    for difference in wrong[:50]:
        click.echo(f"  {difference}", err=True)
    click.echo("everything holds" if not wrong else f"differences: {len(wrong)}")
    return 1 if wrong else 0


@click.command()
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--seconds", type=int, default=SECONDS, show_default=True)
@click.option("--client", type=int, hidden=True)
@click.option("--url", hidden=True)
@click.option("--skew", type=int, default=0, hidden=True)
@click.option("--log", type=click.Path(path_type=Path), hidden=True)
def main(seed: int, seconds: int, client: int | None, url: str | None, skew: int, log: Path | None) -> None:
    """Run clients and faults, and see whether everything holds."""
    if client is None:
        raise SystemExit(run(seed, seconds))
    assert url is not None
    assert log is not None
    time_machine.travel(datetime.now(UTC) + timedelta(hours=skew)).start()
    while True:  # a client whose server is away begins again
        with contextlib.suppress(DBAPIError, psycopg.Error):
            Client(seed, client, url, Log(log)).run()
        time.sleep(0.2)
        client += 1_000


if __name__ == "__main__":
    main()
