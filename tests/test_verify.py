"""Verification sees what was changed behind the books' back: each damage is done as a superuser, triggers off."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text

from ledger.intake.posting import post_lines
from ledger.journal.entry_rows import ENTRY_HASH_SQL
from ledger.proof import verify
from ledger.proof.invariants.question import told
from revrec.kinds import TYPES
from revrec.watches import HELD
from tests.conftest import Cli
from tests.samples import contract, grant, invoice, one_time, parties, payment, prepaid, promotion, service, usage


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", expires_on="2026-02-28"),
        promotion("P", "5.00"),
        grant("H", "10.00", price="5.00"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10"),
        usage("u2", "100.00", "2026-01-20"),
        payment("PAY", "465.00", "2026-01-15", ("I", "465.00")),
    )
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("close", "2026-01")  # which seals
    cli.post(payment("LATE", "10.00", "2026-02-15"))


def test_clean_books_verify(cli: Cli) -> None:
    _books(cli)
    told = cli.ok("verify")
    assert told.count("ok   ") == 49
    assert "all 49 checks hold" in told


_PAID = "with paid as (select entry_id from entry join document using (document_id) where type = 'payment' and ref = 'LATE')"
# a hash that fits, as one would make it who has the database and this code
_HASHED = (
    f"update entry x set hash = n.hash from (select e.customer_id, e.entry_id, {ENTRY_HASH_SQL} as hash from entry e join posting p"
    " using (customer_id, entry_id) group by e.customer_id, e.entry_id) n where x.entry_id = n.entry_id and x.entry_id = 9999"
)

DAMAGE = {
    "changed amount": ("update posting set amount = amount + 1, functional_amount = functional_amount + 1"
                       " where entry_id = 1 and line = 1", "their hash", "entry 1"),
    "changed functional amount": ("update posting set functional_amount = functional_amount + 1 where entry_id = 2"
                                  " and line = 1", "functional amounts equal amounts", "posting 1 of entry 2"),
    "changed date": ("update posting set effective_on = effective_on + 1 where entry_id = 2 and line = 1",
                     "on another date", "posting 1 of entry 2"),
    "changed date of an entry": ("update entry set occurred_on = occurred_on + 1 where entry_id = 2", "their hash",
                                 "entry 2"),
    "changed account": ("update posting set debit_account = (select account_id from account where role = 'cash')"
                        " where entry_id = 3 and line = 1", "what its rule says", "posting 1 of entry 3"),
    "changed rule": ("update posting set rule = 201 where entry_id = 3 and line = 1", "what its rule says",
                     "posting 1 of entry 3"),
    "changed rule to a manual one": ("update posting set rule = 701 where entry_id = 3 and line = 1",
                                     "what its rule says", "posting 1 of entry 3"),
    "changed author": ("update entry set posted_by = 'nobody' where entry_id = 3", "their hash", "entry 3"),
    "changed moment": ("update entry set posted_at = posted_at - interval '1 day' where entry_id = 3", "their hash",
                       "entry 3"),
    "deleted posting": ("delete from posting where entry_id = 3 and line = 2", "has all its postings", "entry 3"),
    "deleted postings of an entry": ("delete from posting where entry_id = 3", "has all its postings", "entry 3"),
    "deleted entry": ("delete from entry where entry_id = 3", "outside an entry", "posting 1 of entry 3"),
    "posting added": ("insert into posting select customer_id, entry_id, debit_account, credit_account, 1, 1,"
                      " effective_on, 99, rule from posting where entry_id = 3 limit 1", "beyond those it came with",
                      "posting 99 of entry 3"),
    "deleted account": ("delete from account where role = 'revenue' and subject = 'grant:G'", "accounts of every",
                        "posting"),
    "account of another entity": ("update account set entity = 'other' where role = 'revenue' and subject = 'grant:G'",
                                  "accounts of every", "posting"),
    "account of another role": ("update account set role = 'breakage_revenue' where role = 'revenue' and subject = "
                                "'grant:G'", "what its rule says", "posting"),
    "deleted document": ("delete from document where type = 'usage' and ref = 'u1'", "names a document", "entry"),
    "changed id of a document": ("update document set ref = 'u7' where type = 'usage' and ref = 'u1'",
                                 "found by its id", "usage u7"),
    "changed document": ("""update document set body = replace(body, '"40.00"', '"41.00"') where ref = 'u1'""",
                         "rated so far", "tokens of globex"),
    "changed document that nothing is added up from": (
        "update document set body = replace(body, 'Globex', 'Glebex') where ref = 'globex'", "says what it said", "customer globex"),
    "document that is no JSON": ("update document set body = '{' where ref = 'u1'", "says what it said", "usage u1"),
    "document whose numbers are none": ("""update document set body = replace(body, '"40.00"', '"many"') where ref = 'u1'""",
                                        "rated so far", "can't be answered: invalid input syntax for type numeric"),
    "unsealed entry deleted": (f"{_PAID} delete from posting where entry_id in (select entry_id from paid);"
                               f"{_PAID} delete from entry where entry_id in (select entry_id from paid)",
                               "has the entries it posted", "payment LATE posted 1 entries, there are 0"),
    "recognition deleted": (
        "delete from posting where entry_id = (select max(entry_id) from entry join document using (document_id) where type ="
        " 'recognition'); delete from entry where entry_id = (select max(entry_id) from entry join document using (document_id)"
        " where type = 'recognition')", "has the entries it posted", "recognition 2026-03/1 posted"),
    "whole entry inserted": (
        f"{_PAID} insert into posting select customer_id, 9999, debit_account, credit_account, amount, functional_amount,"
        f" effective_on, line, rule from posting where entry_id in (select entry_id from paid); {_PAID} insert into entry select"
        " customer_id, 9999, document_id, posted_at, reverses, effective_on, occurred_on, posting_count, posted_by, hash from entry"
        f" where entry_id in (select entry_id from paid); {_HASHED}", "has the entries it posted", "payment LATE posted 1 entries, there are 2"),
    "drifted grant balance": ("update grant_balance set drawn_face_minor = drawn_face_minor - 1", "no grant is drawn",
                              "grant G of globex"),
    "drifted price of a grant": ("update grant_balance set moved_minor = moved_minor + 1", "no grant is drawn", "grant G of globex"),
    "drifted meter": ("update usage_meter set posted_minor = posted_minor + 1, rated = rated + 0.01", "rated so far",
                      "tokens of globex"),
    "deleted meter": ("delete from usage_meter", "rated so far", "tokens"),
    "changed grant": ("update credit_grant set face_minor = 9000 where ref = 'G'", "no grant is drawn", "grant G"),
    "changed invoice total": ("update invoice set total_minor = total_minor + 1", "total of its lines", "invoice I"),
    "changed term of an obligation": ("update invoice_line set amount_minor = amount_minor + 1 where line = '2'",
                                      "total of its lines", "invoice I"),
    "revenue beyond the price": ("""insert into posting select customer_id, entry_id, unbilled_account, revenue_account,
                                  36501, 36501, e.effective_on, 99, 502 from entry e join performance_obligation
                                  using (customer_id) where reverses is null order by entry_id desc limit 1""",
                                  "earned more than its price", "obligation:I/2"),
    "entry into closed books": (f"{_PAID} update posting set effective_on = '2026-01-20' where entry_id in (select entry_id from paid);"
                                f"{_PAID} update entry set effective_on = '2026-01-20' where entry_id in (select entry_id from paid)",
                                "closed books took no entry", " of 2026-01-20"),
    "books opened on the quiet": ("update closed_books set closed_through = '2025-12-31'", "closed books took no entry",
                                  "us: closed through 2025-12-31, by the last closing or opening 2026-01-31"),
}  # fmt: skip


def test_all_that_differs_is_counted_and_named_where_it_is_asked_for(cli: Cli, owner: Connection) -> None:
    cli.post(*parties(), *({"type": "product", "id": f"p{n}", "name": "Product"} for n in range(120)))
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(
        text("update document set body = replace(body, 'Product', 'Produce') where ref like 'p%' and type = 'product'")
    )
    owner.commit()
    told = cli.run("verify")
    assert (told.exit_code, told.stderr.count("     product p")) == (1, 50)
    assert "     and 70 more: `tickmark verify --all` names them" in told.stderr
    told = cli.run("verify", "--all")
    named = [line for line in told.stderr.splitlines() if line.startswith("     product p")]
    assert (told.exit_code, len(named)) == (1, 120)
    assert "(every document says what it said" in named[0]


def test_who_stops_verifying_waits_for_no_more_of_it(cli: Cli, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.post(*parties())
    slow = [replace(q, differing="select pg_sleep(30)::text where pg_sleep(30) is null") for q in verify.QUESTIONS[1:]]
    monkeypatch.setattr(verify, "QUESTIONS", (verify.QUESTIONS[0], *slow))
    started = time.monotonic()
    checks = verify.each(engine)
    assert next(checks).differing == 0
    checks.close()
    assert time.monotonic() - started < 20
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined] # a QueuePool


def test_a_check_that_fails_is_told(cli: Cli, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.post(*parties())
    broken = replace(verify.QUESTIONS[3], differing="select nothing from nowhere")
    monkeypatch.setattr(verify, "QUESTIONS", (*verify.QUESTIONS[:3], broken, *verify.QUESTIONS[4:]))
    with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
        verify.verify(engine, held=HELD)


def test_who_posts_meanwhile_makes_no_difference(cli: Cli, engine: Engine) -> None:
    """Documents come in while checks are made: each check sees the books as of one moment, whole."""
    _books(cli)
    stop = threading.Event()
    posted = 0

    def post() -> None:
        nonlocal posted
        while not stop.is_set():
            cli_lines = [usage(f"m{posted}-{n}", "0.017", "2026-02-10") for n in range(50)]
            cli_lines.append(invoice(f"M{posted}", "2026-02-10", one_time("3.00")))
            with engine.connect() as connection:
                post_lines(
                    connection,
                    [json.dumps(d).encode() for d in cli_lines],
                    TYPES,
                    "x",
                    lambda p, _: pytest.fail(str(p)),
                )
                connection.commit()
            posted += 1

    poster = threading.Thread(target=post)
    poster.start()
    try:
        for _ in range(5):
            assert [check.differences for check in verify.verify(engine, held=HELD) if check.differing] == []
    finally:
        stop.set()
        poster.join()
    assert posted > 5
    assert "checks hold" in cli.ok("verify")


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_named(cli: Cli, owner: Connection, damage: str) -> None:
    statement, sentence, named = DAMAGE[damage]
    _books(cli)
    owner.execute(text("insert into entity values ('other', 'Other', 'USD', null, 'UTC')"))
    owner.execute(text("set session_replication_role = replica"))  # no trigger, no foreign key
    for one in statement.split(";"):
        assert owner.execute(text(one)).rowcount >= 1
    owner.commit()
    result = cli.run("verify")
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert any(sentence in line for line in failed), result.output
    assert named in result.stderr
    assert "checks found differences" in result.stderr


@pytest.mark.parametrize(
    ("statement", "sentence", "named"),
    [
        ("update posting set amount = amount + 1 where rule = 352", "what an entity owes another", "us owes eu for globex: 0.01 USD"),
        ("update invoice set number = 7 where ref = 'M'", "leaves no number out", "numbered 7 to 7, the last number taken is 1"),
        ("update line_tax set tax_minor = tax_minor + 1", "tax payable and the taxable base", "payable 12.00 USD, charged 12.01 USD"),
    ],
)  # fmt: skip
def test_damage_to_an_invoice_over_entities_is_seen(
    cli: Cli, owner: Connection, statement: str, sentence: str, named: str
) -> None:
    entity, *rest = parties()
    line = service("60.00", "2026-02-01", "2026-03-31", "2", entity="eu", tax_codes=["VAT"])
    cli.post(
        entity | {"invoice_prefix": ""}, *rest, entity | {"id": "eu"},
        {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}, invoice("M", "2026-01-31", one_time("100.00"), line),
    )  # fmt: skip
    cli.ok("verify")
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text(statement))
    owner.commit()
    result = cli.run("verify")
    assert [line for line in result.stdout.splitlines() if line.startswith("FAIL") and sentence in line], result.output
    assert named in result.stderr


def test_a_refund_liability_below_zero_is_seen(cli: Cli, owner: Connection) -> None:
    promised = {"id": "C/o", "product": "seats", "price": "100.00", "start": "2026-01-10", "pattern": "point_in_time"}
    cli.post(
        *parties(), contract("C", "2026-01-01", promised),
        {"type": "estimate", "id": "E", "contract": "C", "component": "returns", "date": "2026-01-01", "amount": "-3.00", "refund": True},
        invoice("I", "2026-01-10", {"id": "1", "kind": "service", "amount": "100.00", "obligation": "C/o"}),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("verify")
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(
        text("update posting set debit_account = credit_account, credit_account = debit_account where rule = 507")
    )
    owner.commit()
    result = cli.run("verify")
    assert "refund liability C/o of globex: -3.00 USD on 2026-01-31" in result.stderr


def test_a_taxed_invoice_that_replaces_another_verifies(cli: Cli) -> None:
    """The taxes its void takes back are the replaced invoice's, not its own."""
    taxed = service("60.00", "2026-02-01", "2026-03-31", tax_codes=["VAT"])
    vat = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
    cli.post(*parties(), vat, invoice("A", "2026-01-31", taxed), invoice("B", "2026-01-31", taxed, supersedes="A"))
    cli.ok("verify")


@pytest.mark.parametrize("through", ["2026-01", "2026-03"])
def test_a_price_lowered_after_recognition_is_no_difference(cli: Cli, through: str) -> None:
    """Revenue is ahead of the lowered price until recognition has run again as far as it had."""
    cli.post(*parties(), invoice("I", "2026-01-01", service("90.00", "2026-01-01", "2026-03-31")))
    cli.ok("recognize", "--through", "2026-03")
    line = {"line": "1", "amount": "60.00"}
    cli.post(
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-03-31", "reason": "agreed", "lines": [line]}
    )
    cli.ok("verify")
    cli.ok("recognize", "--through", through)
    cli.ok("verify")
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    (revenue,) = (row for row in cli.report("trial-balance") if row["role"] == "revenue")
    assert Decimal(revenue["credit"]) == 30


def test_an_overdraft_is_seen_on_the_day_it_happens(cli: Cli, owner: Connection) -> None:
    _books(cli)
    owner.execute(text("set session_replication_role = replica"))
    # the payment counts a day before the invoice: over the whole time it ties, on that day it does not
    owner.execute(text("update posting set effective_on = '2025-12-31' where rule = 402"))
    owner.commit()
    result = cli.run("verify")
    assert "invoice I of globex: -465.00 USD on 2025-12-31" in result.stderr
    assert "balance" in result.stderr


@pytest.mark.parametrize(
    ("found", "said"),
    [("a <-5000|USD> b <7|JPY>", "a -50.00 USD b 7 JPY"), ("<1500|KWD>", "1.500 KWD"), ("<|USD>", "nothing"), ("<5|ZZZ>", "5 minor units of ZZZ"),
     ("customer <b> of <1|2|3>", "customer <b> of <1|2|3>")],
)  # fmt: skip
def test_amounts_are_told_as_people_write_them(found: str, said: str) -> None:
    assert told(found) == said
