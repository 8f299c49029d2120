"""No month's revenue is below zero without a document that lowers a price or what was given: those that are, are named."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.conftest import Cli
from tests.samples import (
    PARTY,
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    prepaid,
    promotion,
    service,
    usage,
)

_MODIFIED = {"type": "contract_modification", "id": "M", "contract": "C", "treatment": "catch_up"}


def _below(cli: Cli, *options: str) -> list[tuple[str, str, str]]:
    return [(row["month"], row["subject"], row["amount"]) for row in cli.report("below-zero", *options)]


def _lowered(price: str) -> list[dict[str, Any]]:
    return [obligation("C/o", price, "2026-01-01", "2026-06-30", pattern="monthly")]


def _books(cli: Cli, *more: dict[str, Any]) -> None:
    """60.00 over six months from January, billed at once and recognised through March; and what comes then."""
    cli.post(
        *parties(), contract("C", "2026-01-01", *_lowered("60.00")),
        invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "60.00", "obligation": "C/o"}),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    cli.post(*more)


def _close(cli: Cli, months: int) -> None:
    for month in range(1, months + 1):
        cli.ok("close", f"2026-{month:02}")


def _moved(owner: Connection, subject: str, month: str) -> None:
    """Behind the books' back: what is earned in a month of a thing is taken out of revenue instead, twice."""
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(
        text(
            "update posting p set debit_account = p.credit_account, credit_account = p.debit_account from account a"
            " where a.customer_id = p.customer_id and a.account_id = p.credit_account and a.role = 'revenue' and a.subject = :subject"
            " and to_char(p.effective_on, 'YYYY-MM') = :month"
        ),
        {"subject": subject, "month": month},
    )
    owner.commit()


def test_a_month_below_zero_is_named_with_its_amount(cli: Cli, owner: Connection) -> None:
    _books(cli)
    assert _below(cli) == []
    _moved(owner, "obligation:C/o", "2026-02")
    assert _below(cli) == [("2026-02", "obligation:C/o", "-10.00")]
    (row,) = cli.report("below-zero")
    assert (row["entity"], row["customer"], row["contract"], row["product"], row["currency"]) == (
        "us",
        "globex",
        "C",
        "seats",
        "USD",
    )
    assert _below(cli, "--as-of", "2026-01-31") == []
    assert _below(cli, "--from", "2026-03-01") == []
    assert _below(cli, "--product", "tokens") == []
    assert _below(cli, "--contract", "C") == [("2026-02", "obligation:C/o", "-10.00")]


@pytest.mark.parametrize("document", [
    _MODIFIED | {"date": "2026-04-01", "obligations": _lowered("12.00")},
    {"type": "contract_termination", "id": "T", "contract": "C", "date": "2026-02-01", "reason": "left"},
    {"type": "estimate", "id": "E", "contract": "C", "component": "rebate", "date": "2026-04-10", "amount": "-55.00"},
    {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-04-10", "lines": [{"line": "1", "amount": "55.00"}]},
    {"type": "consideration_payable", "id": "P", "contract": "C", "date": "2026-04-10", "amount": "55.00", "reason": "a fair"},
    {"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-04-10", "reason": "wrong"},
], ids=lambda document: document["type"])  # fmt: skip
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_document_that_lowers_a_price_is_a_cause(cli: Cli, document: dict[str, Any], closed: bool) -> None:
    """In its own month; or, where that is closed already, in the first open one."""
    _books(cli)
    if closed:
        cli.ok("recognize", "--through", "2026-04")
        _close(cli, 4)
    cli.post(document)
    cli.ok("recognize", "--through", "2026-06")
    assert _below(cli) == []


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_progress_estimated_anew_is_a_cause(cli: Cli, closed: bool) -> None:
    built = obligation("C/o", "100.00", "2026-01-01", "2026-12-31", pattern="progress")
    done = {"type": "progress", "obligation": "C/o"}
    cli.post(*parties(), contract("C", "2026-01-01", built), done | {"id": "p1", "date": "2026-01-31", "percent": "60"})
    cli.ok("recognize", "--through", "2026-01")
    if closed:
        _close(cli, 2)
    cli.post(done | {"id": "p2", "date": "2026-02-20", "percent": "40", "reestimated": "harder than thought"})
    cli.ok("recognize", "--through", "2026-03")
    summary = cli.summary()
    assert summary["2026-03" if closed else "2026-02"]["revenue"] == "-20.00"
    assert _below(cli) == []


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_usage_corrected_is_a_cause(cli: Cli, closed: bool) -> None:
    cli.post(*parties(), usage("u1", "40.00", "2026-01-10"))
    if closed:
        _close(cli, 1)
    cli.post(usage("u2", "1.00", "2026-01-10", supersedes="u1"))
    assert _below(cli) == []


def test_a_credit_for_a_period_is_of_the_line_it_credits(cli: Cli) -> None:
    cli.post(*parties(), invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-12-31")))
    cli.ok("recognize", "--through", "2026-03")
    # 275 of 365 days earn 90.41, of which 90.00 is credited
    cli.post({"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-04-01",
              "lines": [{"line": "1", "amount": "90.00", "start": "2026-04-01", "end": "2026-12-31"}]})  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    assert _below(cli) == []


def test_a_line_below_zero_is_of_the_customers_other_revenue(cli: Cli) -> None:
    """An upgrade in mid-month: what is left of the old is taken off, month after month, beside what the new earns."""
    cli.post(
        *parties(), invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-12-31")),
        invoice("J", "2026-03-15", service("-80.00", "2026-03-15", "2026-12-31"), service("160.00", "2026-03-15", "2026-12-31", "2")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    assert _below(cli) == []


def test_a_refund_is_no_cause(cli: Cli, owner: Connection) -> None:
    cli.post(
        *parties(), invoice("I", "2026-01-01", one_time("100.00")), payment("P", "100.00", "2026-01-02", ("I", "100.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.post({"type": "refund", "id": "R", "payment": "P", "date": "2026-01-20", "amount": "50.00"})
    cli.ok("recognize", "--through", "2026-01")
    assert _below(cli) == []  # it is shown beside revenue
    _moved(owner, "obligation:I/1", "2026-01")
    assert _below(cli) == [("2026-01", "obligation:I/1", "-100.00")]


def test_what_leaves_one_grant_for_another_is_not_below_zero(cli: Cli) -> None:
    cli.post(*parties(), grant("G", "50.00", expires_on="2026-01-31"), promotion("B", "50.00"), invoice("I", "2026-01-01", prepaid("50.00")),
             usage("u1", "10.00", "2026-01-10"), usage("u2", "100.00", "2026-01-20"), invoice("J", "2026-01-31", billed_usage("10.00")))  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    cli.post(usage("u3", "9.00", "2026-01-20", supersedes="u1"))
    assert _below(cli) == []


def test_a_cause_of_another_month_or_contract_is_none(cli: Cli, owner: Connection) -> None:
    other = contract(
        "D",
        "2026-01-01",
        obligation("D/o", "60.00", "2026-01-01", "2026-06-30", pattern="monthly") | {"product": "tokens"},
    )
    _books(
        cli, other, _MODIFIED | {"date": "2026-03-10", "obligations": _lowered("54.00")},
        {"type": "estimate", "id": "E", "contract": "D", "component": "rebate", "date": "2026-02-10", "amount": "-6.00"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    assert _below(cli) == []
    _moved(owner, "obligation:C/o", "2026-02")
    assert _below(cli) == [("2026-02", "obligation:C/o", "-10.00")]
    assert PARTY["customer"] == cli.report("below-zero")[0]["customer"]


@pytest.mark.parametrize("lost", [False, True])
def test_money_that_went_back_before_what_was_given_meanwhile_is_a_cause_where_it_comes_late(
    cli: Cli, lost: bool
) -> None:
    """30.00 a month from January; all of it goes back on 10 January, known in April: 30.00 were given, and 60.00 earned since go."""
    refund = {"type": "refund", "id": "R", "payment": "P", "invoice": "I", "date": "2026-01-10", "amount": "120.00"}
    dispute = {"type": "dispute", "payment": "P", "date": "2026-01-10", "amount": "120.00"}
    cli.post(
        *parties(), invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-04-30", pattern="monthly")),
        payment("P", "120.00", "2026-01-05", ("I", "120.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    _close(cli, 3)
    opened = [dispute | {"id": "D", "status": "opened"}, dispute | {"id": "L", "status": "lost"}]
    cli.post(*(opened if lost else [refund]))
    cli.ok("recognize", "--through", "2026-05")
    assert cli.summary()["2026-04"]["revenue"] == "-60.00"
    assert _below(cli) == []


@pytest.mark.parametrize("lost", [False, True])
def test_what_comes_back_of_an_invoice_voided_since_is_a_cause(cli: Cli, lost: bool) -> None:
    """100.00 paid, 60.00 went back, the rest was voided: as the 60.00 are here again, the void takes what they had left earned."""
    gone = {"payment": "P", "amount": "60.00"}
    if lost:
        went = [
            {"type": "dispute", "id": ref, **gone, "date": "2026-02-01", "status": ref} for ref in ("opened", "lost")
        ]
        back = {"type": "dispute", "id": "B", **gone, "date": "2026-03-01", "status": "reinstated"}
    else:
        went = [{"type": "refund", "id": "R", **gone, "date": "2026-02-01"}]
        back = {"type": "refund_reversal", "id": "B", "refund": "R", "date": "2026-03-01", "reason": "x"}
    cli.post(
        *parties(), invoice("I", "2026-01-10", one_time("100.00")), payment("P", "100.00", "2026-01-15", ("I", "100.00")), *went,
        {"type": "unapplication", "id": "U", "payment": "P", "invoice": "I", "date": "2026-02-10"},
        {"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-02-10", "reason": "x"}, back,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    # by hand: March gives up the 60.00 of revenue that stood beside 60.00 of refunds
    assert [
        row["amount"] for row in cli.report("summary") if (row["month"], row["account"]) == ("2026-03", "revenue")
    ] == ["-60.00"]
    assert _below(cli) == []
