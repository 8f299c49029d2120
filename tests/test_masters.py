"""Invoices over several entities: one collects, each keeps its part, and what one owes the other claims."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, billed_usage, invoice, one_time, parties, payment, service, usage

EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "USD"}
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}


def _master(**more: Any) -> dict[str, Any]:
    """100.00 of the collecting entity's; 60.00 over two months and 12.00 of VAT, and 30.00 of usage, of the other's."""
    return invoice(
        "M", "2026-01-31", one_time("100.00"),
        service("60.00", "2026-02-01", "2026-03-31", "2", entity="eu", tax_codes=["VAT"]), billed_usage("30.00", "3") | {"entity": "eu"},
        **more,
    )  # fmt: skip


def _post(cli: Cli) -> None:
    cli.post(*parties(), EU, VAT, usage("u1", "30.00", "2026-01-10") | {"entity": "eu"}, _master())


def _held(cli: Cli, entity: str, *options: str) -> dict[str, str]:
    rows = cli.report("trial-balance", "--entity", entity, *options)
    net = {row["role"]: float(row["debit"]) - float(row["credit"]) for row in rows}
    return {role: f"{amount:.2f}" for role, amount in net.items() if abs(amount) > 0.001}


def test_each_entity_keeps_its_part(cli: Cli) -> None:
    _post(cli)
    cli.ok("recognize", "--through", "2026-02")
    assert _held(cli, "us") == {"accounts_receivable": "202.00", "due_to_entities": "-102.00", "revenue": "-100.00"}
    # 28 of 59 days of 60.00 are 28.47; 30.00 was earned when used
    assert _held(cli, "eu") == {
        "due_from_entities": "102.00", "deferred_revenue": "-31.53", "revenue": "-58.47", "tax_payable": "-12.00",
    }  # fmt: skip
    rows = [(r["entity"], r["other"], r["owes"], r["claims"]) for r in cli.report("between-entities")]
    assert rows == [("eu", "us", "0.00", "102.00"), ("us", "eu", "102.00", "0.00")]
    assert [(r["invoice"], r["due"]) for r in cli.report("ar-aging")] == [("M", "202.00")]
    cli.ok("verify")
    seen = json.loads(cli.ok("invoice", "M", "--format", "json"))
    assert (seen["total"], seen["due"], seen["taxes"][0]["tax"]) == ("202.00", "202.00", "12.00")
    shown = [
        (line["amount"], [row["document"] for row in line["usage"]])
        for g in seen["groups"]
        for i in g["items"]
        for line in i["lines"]
    ]
    assert shown == [("100.00", []), ("60.00", []), ("30.00", ["u1"])]
    assert "M@eu" in cli.ok("trace", "invoice:M")
    assert "invoice M" in cli.ok("trace", "invoice:M@eu")


def test_posted_again_it_posts_nothing(cli: Cli) -> None:
    _post(cli)
    assert "1 posted before" in cli.post(_master()) or "0 posted" in cli.post(_master())
    assert _held(cli, "eu")["due_from_entities"] == "102.00"


@pytest.mark.parametrize("replaced", [False, True])
def test_it_is_paid_by_a_document_of_the_same_file(cli: Cli, replaced: bool) -> None:
    again = [_master(supersedes="M") | {"id": "M2"}] if replaced else []
    name = "M2" if replaced else "M"
    cli.post(
        *parties(), EU, VAT, usage("u1", "30.00", "2026-01-10") | {"entity": "eu"}, _master(), *again,
        payment("P", "52.00", "2026-02-10", (name, "52.00")),
    )  # fmt: skip
    assert [(r["invoice"], r["due"]) for r in cli.report("ar-aging")] == [(name, "150.00")]
    cli.ok("verify")


def test_money_comes_to_who_collects_and_is_passed_on(cli: Cli) -> None:
    _post(cli)
    cli.post(
        payment("P", "202.00", "2026-02-10", ("M", "202.00")),
        {"type": "manual_entry", "id": "m1", "entity": "us", "currency": "USD", "date": "2026-02-15", "reason": "passed on", "approved_by": "ann",
         "lines": [{"debit": "due_to_entities", "debit_subject": "entity:eu", "credit": "cash", "customer": "globex", "amount": "102.00"}]},
        {"type": "manual_entry", "id": "m2", "entity": "eu", "currency": "USD", "date": "2026-02-15", "reason": "passed on", "approved_by": "ann",
         "lines": [{"debit": "cash", "credit": "due_from_entities", "credit_subject": "entity:us", "customer": "globex", "amount": "102.00"}]},
    )  # fmt: skip
    assert cli.report("between-entities") == []
    assert (_held(cli, "us")["cash"], _held(cli, "eu")["cash"]) == ("100.00", "102.00")
    assert "expected a part" not in cli.ok("verify")
    wrong = payment("Q", "1.00", "2026-02-11", ("M@eu", "1.00"))
    assert "M@eu" in cli.refuse(wrong)


def test_a_void_takes_every_part_back(cli: Cli) -> None:
    _post(cli)
    cli.post({"type": "invoice_void", "id": "V", "invoice": "M", "date": "2026-02-05", "reason": "wrong"})
    cli.ok("recognize", "--through", "2026-03")
    assert _held(cli, "us") == {}
    assert _held(cli, "eu") == {"unbilled_receivable": "30.00", "revenue": "-30.00"}
    cli.ok("verify")
    # what the part billed is there to be billed again: the first used first
    cli.post(usage("u2", "5.00", "2026-01-11") | {"entity": "eu"}, _master() | {"id": "N"})
    assert json.loads(cli.ok("invoice", "M@eu", "--format", "json"))["status"] == "void"
    lines = [
        line
        for g in json.loads(cli.ok("invoice", "N", "--format", "json"))["groups"]
        for i in g["items"]
        for line in i["lines"]
    ]
    assert [(row["document"], row["amount"]) for line in lines for row in line["usage"]] == [("u1", "30.00")]
    cli.ok("verify")
    assert "expected M, the invoice it is a part of" in cli.refuse(
        {"type": "invoice_void", "id": "W", "invoice": "M@eu", "date": "2026-02-05", "reason": "wrong"}
    )


def test_the_next_version_replaces_every_part(cli: Cli) -> None:
    _post(cli)
    cli.post({**_master(), "id": "N", "supersedes": "M"})
    assert _held(cli, "us") == {
        "accounts_receivable": "202.00",
        "due_to_entities": "-102.00",
        "deferred_revenue": "-100.00",
    }
    # one of a single entity may replace it, too; what the other had stays as if never billed
    cli.post(invoice("O", "2026-01-31", one_time("5.00"), supersedes="N"))
    assert _held(cli, "us") == {"accounts_receivable": "5.00", "deferred_revenue": "-5.00"}
    assert _held(cli, "eu") == {"unbilled_receivable": "30.00", "revenue": "-30.00"}
    cli.ok("verify")


@pytest.mark.parametrize("paid", [False, True])
def test_a_credit_note_lowers_the_parts_it_is_of(cli: Cli, paid: bool) -> None:
    _post(cli)
    if paid:
        cli.post(payment("P", "202.00", "2026-02-01", ("M", "202.00")))
    cli.post({"type": "credit_note", "id": "N", "invoice": "M", "date": "2026-02-05",
              "lines": [{"line": "1", "amount": "10.00"}, {"line": "2", "amount": "15.00"}]})  # fmt: skip
    us, eu = _held(cli, "us"), _held(cli, "eu")
    # 15.00 and 3.00 of VAT are the other's
    assert (us["due_to_entities"], eu["due_from_entities"], eu["tax_payable"]) == ("-84.00", "84.00", "-9.00")
    if paid:
        assert us["customer_balance"] == "-28.00"
    else:
        assert us["accounts_receivable"] == "174.00"
    assert "customer_balance" not in eu
    assert "expected at most 45.00, what is left of the line" in cli.refuse(
        {
            "type": "credit_note",
            "id": "O",
            "invoice": "M",
            "date": "2026-02-06",
            "lines": [{"line": "1", "amount": "1.00"}, {"line": "2", "amount": "45.01"}],
        }
    )
    assert _held(cli, "us") == us
    cli.ok("verify")


def test_a_write_off_is_borne_by_whose_part_it_is(cli: Cli) -> None:
    _post(cli)
    cli.post(
        {
            "type": "write_off",
            "id": "W",
            "invoice": "M",
            "date": "2026-06-30",
            "reason": "bankrupt",
            "approved_by": "ann",
        }
    )
    cli.ok("recognize", "--through", "2026-06")
    assert _held(cli, "us") == {"bad_debt": "100.00", "revenue": "-100.00"}
    # the service was given, the VAT is claimed back
    assert _held(cli, "eu") == {"bad_debt": "90.00", "revenue": "-90.00"}
    assert "each enters its share by manual entry" in cli.refuse(
        {"type": "recovery", "id": "R", "write_off": "W", "date": "2026-07-31", "rail": "wire", "amount": "5.00"}
    )
    cli.ok("verify")


def test_a_refund_and_a_lost_dispute_are_borne_in_proportion(cli: Cli) -> None:
    _post(cli)
    cli.post(
        payment("P", "202.00", "2026-02-01", ("M", "202.00")),
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-04-01", "amount": "101.00"},
    )
    us, eu = _held(cli, "us"), _held(cli, "eu")
    # half of everything: 50.00 of the collecting entity's, 51.00 of the other's
    assert (us["cash"], us["due_to_entities"], eu["due_from_entities"]) == ("101.00", "-51.00", "51.00")
    assert "cash" not in eu
    cli.post(
        {"type": "dispute", "id": "D1", "payment": "P", "date": "2026-04-02", "amount": "101.00", "status": "opened"},
        {"type": "dispute", "id": "D2", "payment": "P", "date": "2026-05-02", "amount": "101.00", "status": "lost"},
    )
    assert cli.report("between-entities") == []
    cli.ok("recognize", "--through", "2026-06")
    # all was given and all paid back
    assert _held(cli, "us") == {"revenue": "-100.00", "refunds": "50.00", "disputes": "50.00"}
    eu = _held(cli, "eu")
    assert float(eu["revenue"]) + float(eu["refunds"]) + float(eu["disputes"]) == 0
    assert set(eu) == {"revenue", "refunds", "disputes"}
    cli.ok("verify")


def test_each_entity_keeps_its_part_in_its_own_currency(cli: Cli) -> None:
    rate = {"type": "fx_rate", "id": "r1", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.25"}
    later = {"type": "fx_rate", "id": "r2", "date": "2026-02-28", "base": "EUR", "quote": "USD", "rate": "1.20"}
    cli.post(
        *parties(),
        EU | {"currency": "EUR"},
        rate,
        later,
        invoice("M", "2026-01-31", one_time("100.00"), one_time("50.00", "2") | {"entity": "eu"}),
    )
    assert _held(cli, "eu") == {"due_from_entities": "40.00", "deferred_revenue": "-40.00"}
    cli.ok("revalue", "2026-02")
    # 50.00 USD at 1.20 are 41.67 EUR
    assert _held(cli, "eu", "--as-of", "2026-02-28")["fx_gain"] == "-1.67"
    cli.ok("verify")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (one_time("5.00", "2") | {"entity": "none"}, "lines.1.entity = none: expected the id of an entity"),
        (one_time("5.00", "2") | {"entity": "eu", "product": "none"}, "lines.1.product = none"),
        (one_time("5.00", "2") | {"entity": "eu", "tax_codes": ["none"]}, "lines.1.tax_codes = none"),
        ({"id": "2", "entity": "eu", "kind": "prepaid", "amount": "5.00", "grant": "none"}, "lines.1.grant = none"),
    ],
)
def test_what_is_wrong_with_a_part_is_said_of_its_line(cli: Cli, line: dict[str, Any], words: str) -> None:
    cli.post(*parties(), EU)
    before = cli.report("trial-balance")
    assert words in cli.refuse(invoice("M", "2026-01-31", one_time("1.00"), line))
    # going on without it leaves nothing of it either
    cli.run(
        "post",
        "-",
        "--keep-going",
        "--rejects",
        "/dev/null",
        stdin=json.dumps(invoice("M", "2026-01-31", one_time("1.00"), line)),
    )
    assert cli.report("trial-balance") == before
    assert PARTY["entity"] == "us"
    cli.ok("verify")


def _agreed(cli: Cli, day: str) -> bool:
    """Whether by a day what each entity owes is what the other claims."""
    rows = cli.report("between-entities", "--as-of", day)
    owed = {(r["entity"], r["other"]): r["owes"] for r in rows if r["owes"] != "0.00"}
    claimed = {(r["other"], r["entity"]): r["claims"] for r in rows if r["claims"] != "0.00"}
    return owed == claimed


_PAID = payment("P", "202.00", "2026-01-15", ("M", "202.00"))
_DISPUTED = {"type": "dispute", "id": "D", "payment": "P", "date": "2026-01-16", "amount": "150.00", "status": "opened"}


@pytest.mark.parametrize("closed", ["us", "eu"])
@pytest.mark.parametrize(
    ("before", "late"),
    [
        ([], _master(supersedes="M") | {"id": "N", "issued_on": "2026-01-20"}),
        ([], invoice("N", "2026-01-20", one_time("5.00"), service("6.00", "2026-01-20", "2026-02-28", "2", entity="eu"))),
        ([], {"type": "invoice_void", "id": "V", "invoice": "M", "date": "2026-01-20", "reason": "x"}),
        ([], {"type": "credit_note", "id": "CN", "invoice": "M", "date": "2026-01-20",
              "lines": [{"line": "1", "amount": "10.00"}, {"line": "2", "amount": "20.00"}]}),
        ([], {"type": "write_off", "id": "W", "invoice": "M", "date": "2026-01-20", "reason": "x", "approved_by": "c"}),
        ([_PAID], {"type": "refund", "id": "R", "payment": "P", "date": "2026-01-20", "amount": "150.00"}),
        ([_PAID, _DISPUTED], _DISPUTED | {"id": "L", "status": "lost", "date": "2026-01-20"}),
    ],
)  # fmt: skip
def test_both_sides_of_a_document_count_from_one_day(
    cli: Cli, before: list[dict[str, Any]], late: dict[str, Any], closed: str
) -> None:
    """One entity has closed January, the other has not: both sides count in February, dated the document's own day."""
    cli.post(
        *parties(),
        EU,
        VAT,
        usage("u1", "30.00", "2026-01-05") | {"entity": "eu"},
        _master() | {"issued_on": "2026-01-10"},
    )
    cli.post(*before, payment("X", "1.00", "2026-01-02"))
    cli.ok("close", "2026-01", "--entity", closed, "--anyway", "--reason", "recognised later")
    assert _agreed(cli, "2026-01-31")
    january = cli.report("between-entities", "--as-of", "2026-01-31")
    cli.post(late)
    assert cli.report("between-entities", "--as-of", "2026-01-31") == january
    assert _agreed(cli, "2026-01-31")
    assert _agreed(cli, "2026-02-28")
    for entry in json.loads(cli.ok("trace", f"{late['type']}:{late['id']}", "--format", "json"))["entries"]:
        if entry["document"] == f"{late['type']}:{late['id']}":
            assert (entry["effective_on"], entry["occurred_on"]) == ("2026-02-01", "2026-01-20")
    # what is of one entity alone counts on its own day where that is open
    cli.post(payment("Y", "1.00", "2026-01-20", entity="eu" if closed == "us" else "us"))
    told = cli.refused("post", "-", "--refuse-late", stdin=json.dumps(
        invoice("Z", "2026-01-20", one_time("5.00"), service("6.00", "2026-01-20", "2026-02-28", "2", entity="eu"))))  # fmt: skip
    assert f"the books of {closed} are closed through 2026-01-31" in told
    assert "all" in cli.ok("verify")
