"""Verification sees what was changed behind the books' back: each damage is done as a superuser, triggers off."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import Connection, text

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
    cli.ok("close", "2026-01")


def test_clean_books_verify(cli: Cli) -> None:
    _books(cli)
    told = cli.ok("verify")
    assert told.count("ok   ") == 29
    assert "all 29 checks hold" in told


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
                      " effective_on, 99, rule from posting where entry_id = 3 limit 1", "has all its postings",
                      "entry 3"),
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
    "drifted grant balance": ("update grant_balance set drawn_face_minor = drawn_face_minor - 1", "no grant is drawn",
                              "grant G of globex"),
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
    "entry into closed books": ("update entry set posted_at = now() + interval '1 hour' where effective_on <"
                                " '2026-02-01' and entry_id = 3", "closed books took no entry", "entry 3"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_and_named(cli: Cli, owner: Connection, damage: str) -> None:
    statement, sentence, named = DAMAGE[damage]
    _books(cli)
    owner.execute(text("insert into entity values ('other', 'Other', 'USD', null, 'UTC')"))
    owner.execute(text("set session_replication_role = replica"))  # no trigger, no foreign key
    changed = owner.execute(text(statement)).rowcount
    owner.commit()
    assert changed >= 1
    result = cli.run("verify")
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert any(sentence in line for line in failed), result.output
    assert named in result.stderr
    assert "checks found differences" in result.stderr


@pytest.mark.parametrize(
    ("statement", "sentence", "named"),
    [
        ("update posting set amount = amount + 1 where rule = 352", "what an entity owes another", "us owes eu for globex: 1 USD"),
        ("update invoice set number = 7 where ref = 'M'", "leaves no number out", "numbered 7 to 7, the last number taken is 1"),
        ("update line_tax set tax_minor = tax_minor + 1", "tax payable and the taxable base", "tax:VAT: payable 1200, charged 1201"),
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
    assert "refund liability C/o of globex: -300 USD on 2026-01-31" in result.stderr


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
    assert "invoice I of globex: -46500 USD on 2025-12-31" in result.stderr
    assert "balance" in result.stderr
