"""Exports that are sent: each object is made once, whatever the network and the other system do."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simplejson
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from adapters.clients import http, logins, quickbooks
from adapters.out import send
from tests.conftest import Cli
from tests.samples import invoice, payment, service
from tests.services import SECRET, QuickBooksService, Service, ZohoService, served
from tests.test_export_objects import ALL, FIELDS, books, mapping

COMPANIES = {"quickbooks": "9130", "zoho": "60001"}
FAULTS = ("timeout after", "cut after", "500 after", "500 before", "429", "stale")


@pytest.fixture(params=["quickbooks", "zoho"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(http, "wait", found.append)
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 1.0)
    return found


@pytest.fixture
def there(target: str, waited: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The other system."""
    assert waited == []
    monkeypatch.setenv("TICKMARK_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("TICKMARK_CLIENT_ID", "our-app")
    monkeypatch.setenv("TICKMARK_CLIENT_SECRET", SECRET)
    # the limits are the real systems'; here nobody would wait for them
    monkeypatch.setattr(send, "SYSTEMS", {name: made._replace(limits=()) for name, made in send.SYSTEMS.items()})
    with served(QuickBooksService() if target == "quickbooks" else ZohoService()) as service:
        yield service
        assert not service.waited_for


def connect(cli: Cli, target: str, there: Service, *, code: str = "good-code") -> Any:
    return cli.run(
        "connect", target, "--entity", "us", "--company", COMPANIES[target], "--api", there.url, "--accounts", there.url,
        stdin=f"http://localhost:8000/connected?code={code}&state=STATE\n",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _known_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that keeps a login from being somebody else's is random: here it is known before."""
    monkeypatch.setattr("authlib.oauth2.client.generate_token", lambda: "STATE")


def new(cli: Cli, folder: Path, target: str, head: str = ALL) -> list[tuple[str, dict[str, Any]]]:
    """Keep an export; what its file holds."""
    out = folder / "new.json"
    cli.ok("export", target, "--new", "--mapping", mapping(folder, target, head, FIELDS), "--output", str(out))
    return [next(iter(made.items())) for made in simplejson.loads(out.read_text(), use_decimal=True)]


def kinds(made: list[tuple[str, dict[str, Any]]], target: str) -> Counter[str]:
    """How many of each kind are to be made, by the names the fakes keep them under."""
    names = {"customerpayment": "customerpayments", "creditapplied": ""}
    found = Counter(kind if target == "quickbooks" else names.get(kind, f"{kind}s") for kind, _ in made)
    del found[""]
    return found


def test_all_of_an_export_is_made_there_once(cli: Cli, tmp_path: Path, target: str, there: Service) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    assert connect(cli, target, there).exit_code == 0
    said = cli.ok("export", target, "--send", "1")
    assert said == f"sent export 1 to {target}: {len(made)} made\n"
    assert Counter(there.kinds.values()) == kinds(made, target)
    assert not [stand for stand in ("Customer:", "Invoice:", "Item:", "CreditMemo:") if stand in str(there.objects)]
    before = dict(there.objects)
    assert cli.ok("export", target, "--send", "1") == f"sent export 1 to {target}: 0 made, {len(made)} sent before\n"
    assert there.objects == before
    log = cli.report("exported")
    assert len(log) == len(made)
    assert {row["outcome"] for row in log} == {"made"}
    ids = [row["their_id"] for row in log if row["kind"] != "creditapplied"]
    assert sorted(ids) == sorted(there.objects)
    assert f"{len(made)} of {len(made)}" in cli.ok("export", target, "--status")
    if isinstance(there, ZohoService):
        assert sorted(there.sent) == sorted(made for made, kind in there.kinds.items() if kind == "invoices")
        assert sorted(str(amount) for _, _, amount in there.credited) == ["32.17", "90.00"]


def test_what_comes_late_is_sent_alone_and_refers_to_what_is_there(
    cli: Cli, tmp_path: Path, target: str, there: Service
) -> None:
    books(cli)
    new(cli, tmp_path, target)
    connect(cli, target, there)
    cli.ok("export", target, "--send", "1")
    before = Counter(there.kinds.values())
    cli.post(
        invoice("L", "2026-01-20", service("12.00", "2026-01-20", "2026-01-20")),
        payment("LATE", "59.29", "2026-03-20", ("I", "59.29")),
    )  # fmt: skip
    new(cli, tmp_path, target)
    # its customer, and the item it is billed by, are there
    assert cli.ok("export", target, "--send", "2") == f"sent export 2 to {target}: 2 made, 2 there already\n"
    after = Counter(there.kinds.values()) - before
    assert after == ({"Invoice": 1, "Payment": 1} if target == "quickbooks" else {"invoices": 1, "customerpayments": 1})
    paid = there.of("Payment" if target == "quickbooks" else "customerpayments")[-1]
    invoices = {form.get("DocNumber", form.get("invoice_number")): made for made, form in there.objects.items()}
    assert invoices["I"] in str(paid)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_makes_nothing_twice(
    cli: Cli, tmp_path: Path, target: str, there: Service, fault: str, waited: list[float]
) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    # at the first request, at one in the middle, and twice in a row; a token that is stale twice in a row is no fault of the network
    there.faults = dict.fromkeys((1, 3, 6, 8 if fault == "stale" else 7), fault)
    assert cli.ok("export", target, "--send", "1") == f"sent export 1 to {target}: {len(made)} made\n"
    assert Counter(there.kinds.values()) == kinds(made, target)
    if isinstance(there, ZohoService):
        assert len(there.credited) == 2
    if fault == "429":
        assert max(waited) >= 7  # as Retry-After says
    if fault == "stale":
        assert there.refreshes >= 4
    else:
        assert waited


def test_a_run_that_gives_up_goes_on_where_it_stopped(cli: Cli, tmp_path: Path, target: str, there: Service) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    there.faults = dict.fromkeys(range(3, 40), "500 after")
    said = cli.refused("export", target, "--send", "1")
    assert f"expected {target} to answer: HTTP 500" in said
    assert "without an answer" in said
    there.faults = {}
    assert "made" in cli.ok("export", target, "--send", "1")
    assert Counter(there.kinds.values()) == kinds(made, target)
    assert {row["outcome"] for row in cli.report("exported")} == {"made"}


def test_a_run_killed_between_the_request_and_its_record_repeats_it(
    cli: Cli, tmp_path: Path, target: str, there: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    kept = send._Run._record
    times = 0

    def killed(self: Any, answer: Any) -> None:
        nonlocal times
        times += 1
        if times == 5:
            raise KeyboardInterrupt
        kept(self, answer)

    monkeypatch.setattr(send._Run, "_record", killed)
    with pytest.raises(KeyboardInterrupt):
        delivery_run(cli, target)
    monkeypatch.setattr(send._Run, "_record", kept)
    cli.ok("export", target, "--send", "1")
    assert Counter(there.kinds.values()) == kinds(made, target)


def test_what_was_settled_without_a_request_and_cut_off_is_settled_again(
    cli: Cli, tmp_path: Path, target: str, there: Service, engine: Engine
) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into export_attempt (export_id, place, attempt, company, request, by) values (1, 1, 1, :company, '', 'tester')"
            ),
            {"company": COMPANIES[target]},
        )
    assert cli.ok("export", target, "--send", "1") == f"sent export 1 to {target}: {len(made)} made\n"
    assert Counter(there.kinds.values()) == kinds(made, target)


def delivery_run(cli: Cli, target: str) -> None:
    from ledger.database.connect import opened

    assert cli
    with opened() as engine:
        send.deliver(engine, target, 1, "tester")


def test_what_is_refused_is_told_and_what_refers_to_it_waits(
    cli: Cli, tmp_path: Path, target: str, there: Service
) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    # somebody made an invoice of that number by hand
    kind, number = ("Invoice", "DocNumber") if target == "quickbooks" else ("invoices", "invoice_number")
    there.make(kind, {number: "I", "PrivateNote": "by hand", "TxnDate": "2026-01-01"})
    result = cli.run("export", target, "--send", "1")
    assert result.exit_code == 1
    log = {(row["kind"], row["number"]): row for row in cli.report("exported")}
    refused = {key: row["said"] for key, row in log.items() if row["outcome"] == "refused"}
    assert any("Duplicate Document Number" in said or "already exists" in said for said in refused.values())
    assert any("expected Invoice:I of export 1 there first" in said for said in refused.values())
    assert f"{len(refused)} refused" in result.output
    assert "refused; `tickmark report exported` says why" in cli.ok("export", target, "--status")
    # once it is out of the way, the next run makes the rest
    theirs = next(their_id for their_id, form in there.objects.items() if form.get("PrivateNote") == "by hand")
    there.objects[theirs][number] = "I-by-hand"
    assert cli.ok("export", target, "--send", "1") == (
        f"sent export 1 to {target}: {len(refused)} made, {len(made) - len(refused)} sent before\n"
    )


def test_a_customer_of_that_name_is_taken(cli: Cli, tmp_path: Path, target: str, there: Service) -> None:
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    kind, name = ("Customer", "DisplayName") if target == "quickbooks" else ("contacts", "contact_name")
    theirs = there.make(kind, {name: "Globex"})
    assert (
        cli.ok("export", target, "--send", "1") == f"sent export 1 to {target}: {len(made) - 1} made, 1 there already\n"
    )
    (row,) = [row for row in cli.report("exported") if row["outcome"] == "found"]
    assert (row["number"], row["their_id"]) == ("globex", theirs)


def test_an_item_of_that_name_that_sells_to_another_account_is_not_taken(
    cli: Cli, tmp_path: Path, target: str, there: Service
) -> None:
    books(cli)
    new(cli, tmp_path, target)
    connect(cli, target, there)
    name, account = ("Name", "IncomeAccountRef") if target == "quickbooks" else ("name", "account_id")
    other = {"value": "9999"} if target == "quickbooks" else "9999"
    there.make("Item" if target == "quickbooks" else "items", {name: "Deferred revenue", account: other})
    assert cli.run("export", target, "--send", "1").exit_code == 1
    refused = {row["number"]: row["said"] for row in cli.report("exported") if row["outcome"] == "refused"}
    assert "Duplicate Name" in refused["2200"] or "already exists" in refused["2200"]
    assert refused["I"] == "expected Item:2200 of export 1 there first"


def test_a_payment_of_an_invoice_that_went_out_in_a_journal_entry_stays_the_customers(
    cli: Cli, tmp_path: Path, target: str, there: Service
) -> None:
    cli.post(
        {"type": "entity", "id": "us", "name": "Acme AI Inc", "currency": "USD"},
        {"type": "customer", "id": "globex", "name": "Globex"}, {"type": "product", "id": "seats", "name": "Seats"},
        invoice("I", "2026-01-01", service("365.00", "2026-01-01", "2026-12-31")),
    )  # fmt: skip
    new(cli, tmp_path, target, 'objects = "customers"\n')
    cli.post(
        payment("PAY", "65.00", "2026-02-01", ("I", "65.00")),
        {"type": "credit_note", "id": "CN", "invoice": "I", "date": "2026-02-12", "lines": [{"line": "1", "amount": "30.00"}]},
    )  # fmt: skip
    new(cli, tmp_path, target, 'objects = "all"\n')
    connect(cli, target, there)
    cli.ok("export", target, "--send", "1")
    assert "1 left out" in cli.ok("export", target, "--send", "2")
    (left,) = [row for row in cli.report("exported") if row["outcome"] == "left"]
    assert left["said"] == "Invoice:I went out in a journal entry"
    paid = there.of("Payment" if target == "quickbooks" else "customerpayments")
    assert len(paid) == 1
    assert "Line" not in paid[0]
    assert not paid[0].get("invoices")


def test_tokens_are_refreshed_and_kept_encrypted(
    cli: Cli, tmp_path: Path, target: str, there: Service, engine: Engine
) -> None:
    books(cli)
    new(cli, tmp_path, target)
    there.expires_in = 1  # stale at once: every request needs a fresh one
    connect(cli, target, there)
    cli.ok("export", target, "--send", "1")
    assert there.refreshes > 3
    with engine.connect() as connection:
        row = str(connection.execute(text("select * from export_login")).one())
    for secret in (SECRET, there.token, there.refresh_token):
        assert secret not in row
    # what was refreshed was kept before it was used: a new run goes on with it
    cli.post(invoice("L", "2026-01-20", service("12.00", "2026-01-20", "2026-01-20")))
    new(cli, tmp_path, target)
    cli.ok("export", target, "--send", "2")


def test_a_login_that_holds_no_more_says_what_to_do(
    cli: Cli, tmp_path: Path, target: str, there: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    books(cli)
    new(cli, tmp_path, target)
    said = cli.refused("export", target, "--send", "1")
    assert f"login = {target}: expected a login of us: `tickmark connect {target}` makes one" in said
    there.expires_in = 1
    connect(cli, target, there)
    there.refresh_token = "revoked meanwhile"  # noqa: S105 - of a fake
    said = cli.refused("export", target, "--send", "1")
    assert f"expected a login that still holds: `tickmark connect {target}` again (invalid_grant" in said
    assert "refresh-1" not in said
    assert not there.objects
    monkeypatch.setenv("TICKMARK_SECRET_KEY", Fernet.generate_key().decode())
    assert "expected the key that the login was kept with" in cli.refused("export", target, "--send", "1")
    monkeypatch.setenv("TICKMARK_SECRET_KEY", "short")
    assert "TICKMARK_SECRET_KEY = (hidden): expected the key that tokens are encrypted with" in cli.refused(
        "export", target, "--send", "1"
    )


def test_a_key_can_be_replaced(
    cli: Cli, tmp_path: Path, target: str, there: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    books(cli)
    new(cli, tmp_path, target)
    connect(cli, target, there)
    newer = Fernet.generate_key().decode()
    monkeypatch.setenv("TICKMARK_SECRET_KEY", f"{newer},{os.environ['TICKMARK_SECRET_KEY']}")
    connect(cli, target, there)
    monkeypatch.setenv("TICKMARK_SECRET_KEY", newer)
    cli.ok("export", target, "--send", "1")


def test_a_login_is_asked_for_once_and_refused_as_a_whole(
    cli: Cli, target: str, there: Service, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.post({"type": "entity", "id": "us", "name": "Acme AI Inc", "currency": "USD"})
    result = connect(cli, target, there)
    assert result.exit_code == 0
    assert "Allow the access here:" in result.output
    assert f"connected: us to company {COMPANIES[target]} of {target}" in result.output
    assert SECRET not in result.output
    refused = connect(cli, target, there, code="stale-code")
    assert refused.exit_code == 1
    assert "expected the address the browser was sent back to: invalid_grant" in refused.output
    monkeypatch.setattr("authlib.oauth2.client.generate_token", lambda: "ANOTHER")
    forged = connect(cli, target, there)
    assert forged.exit_code == 1
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from export_login")) == 1
    unknown = cli.run("connect", target, "--entity", "mars", "--company", "1", stdin="")
    assert "entity = mars: expected the id of an entity in the books" in unknown.output


def test_two_who_send_at_once_do_not(cli: Cli, tmp_path: Path, target: str, there: Service, engine: Engine) -> None:
    books(cli)
    new(cli, tmp_path, target)
    connect(cli, target, there)
    with send._alone(engine, target):
        assert "expected nobody else to be sending" in cli.refused("export", target, "--send", "1")
    assert not there.objects


def _move(engine: Engine, there: Service, other: Service) -> None:
    """Let the login be to another company, with the same tokens."""
    other.token, other.refresh_token, other.refreshes = there.token, there.refresh_token, there.refreshes
    with engine.begin() as connection:
        connection.execute(
            text("update export_login set company = :company, api = :url, accounts = :url"),
            {"company": other.company, "url": other.url},
        )


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.dictionaries(st.integers(1, 60), st.sampled_from(FAULTS), max_size=40), number=st.integers(0))
def test_whatever_fails_all_is_made_once(
    ready: tuple[Cli, str, Service, Engine, Counter[str]], faults: dict[int, str], number: int
) -> None:
    """Any faults at any requests, in as many runs as it takes: a company of its own each time."""
    cli, target, there, engine, expected = ready
    there.company = f"{there.company.partition('-')[0]}-{number}-{time.monotonic_ns()}"
    with served(type(there)(there.company)) as company:
        _move(engine, there, company)
        company.faults = faults
        for _ in range(20):
            result = cli.run("export", target, "--send", "1")
            if result.exit_code == 0:
                break
            assert "expected" in result.output or "refused" in result.output
        assert result.exit_code == 0, result.output
        assert Counter(company.kinds.values()) == expected
        if isinstance(company, ZohoService):
            assert len(company.credited) == 2
        there.token, there.refresh_token, there.refreshes = company.token, company.refresh_token, company.refreshes


@pytest.fixture
def ready(
    cli: Cli, tmp_path: Path, target: str, there: Service, engine: Engine
) -> tuple[Cli, str, Service, Engine, Counter[str]]:
    """An export that is kept, and a login."""
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    return cli, target, there, engine, kinds(made, target)


def test_another_company_is_sent_all_of_it(
    cli: Cli, tmp_path: Path, target: str, there: Service, engine: Engine, owner: Any
) -> None:
    """What went to a sandbox did not go to the real company."""
    books(cli)
    made = new(cli, tmp_path, target)
    connect(cli, target, there)
    with served(type(there)("sandbox")) as sandbox:
        _move(engine, there, sandbox)
        cli.ok("export", target, "--send", "1")
        assert Counter(sandbox.kinds.values()) == kinds(made, target)
    assert not there.objects
    connect(cli, target, there)
    assert cli.ok("export", target, "--send", "1") == f"sent export 1 to {target}: {len(made)} made\n"


def test_the_rate_is_held_to(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty batches a minute to QuickBooks, ten requests a second: a hundred take more than two minutes, and no more than needed."""
    clock = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    monkeypatch.setattr(http, "wait", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    login = logins.Login("quickbooks", "us", "9130", "", "", "", "", {})
    client = http.Http(engine, login, "tester", quickbooks.LIMITS)
    moments = []
    for _ in range(100):
        client._hold_back()
        moments.append(clock[0] - 1_000_000)
    client.close()
    for span, most in ((1, 10), (60, 40)):
        assert all(moments[place + most] - moments[place] >= span - 0.05 for place in range(100 - most))
    assert 120 <= moments[-1] < 135
