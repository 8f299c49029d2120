"""One line bills a contract as a whole: its obligations, by the prices allocated to them. And service that only a bill tells of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import contract, credit_note, invoice, obligation, parties, payment, service

# 60.00 of seats in January, 40.00 of tokens on 10 February, agreed for 100.00 together
SEATS = {"id": "c/seats", "product": "seats", "start": "2026-01-01", "end": "2026-01-31", "ssp": "60.00"}
TOKENS = {"id": "c/tokens", "product": "tokens", "start": "2026-02-10", "pattern": "point_in_time", "ssp": "40.00"}


def _whole(ref: str, day: str, amount: str, **more: Any) -> dict[str, Any]:
    return invoice(ref, day, {"id": "1", "kind": "service", "contract": "c", "amount": amount, **more})


def _months(cli: Cli, through: str = "2026-03") -> dict[str, dict[str, str]]:
    cli.ok("recognize", "--through", through)
    cli.ok("verify")
    return cli.summary()


def _post(cli: Cli, *documents: dict[str, Any]) -> None:
    cli.post(*parties(), contract("c", "2026-01-01", SEATS, TOKENS, price="100.00"), *documents)


def test_a_bill_of_the_whole_contract(cli: Cli) -> None:
    _post(cli, _whole("I", "2026-01-05", "100.00"))
    assert _months(cli) == {
        "2026-01": {"accounts_receivable": "100.00", "deferred_revenue": "40.00", "revenue": "60.00"},
        "2026-02": {"deferred_revenue": "-40.00", "revenue": "40.00"},
    }
    assert {row["subject"] for row in cli.report("unbilled")} == set()


def test_half_of_it_is_written_off(cli: Cli) -> None:
    """50.00 given up on 1 February, of each part half: 30.00 of seats were given, 20.00 of tokens are to come."""
    _post(
        cli, _whole("I", "2026-01-05", "100.00"), payment("P", "50.00", "2026-01-20", ("I", "50.00")),
        {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-02-01", "reason": "gone", "approved_by": "ann"},
    )  # fmt: skip
    assert _months(cli) == {
        "2026-01": {"accounts_receivable": "50.00", "cash": "50.00", "deferred_revenue": "40.00", "revenue": "60.00"},
        "2026-02": {
            "accounts_receivable": "-50.00",
            "bad_debt": "30.00",
            "deferred_revenue": "-40.00",
            "revenue": "20.00",
        },
    }


def test_credited_and_voided(cli: Cli) -> None:
    """10.00 credited lowers the prices of both, 6.00 and 4.00; another bill of the whole voided and billed again leaves nothing."""
    _post(
        cli, _whole("I", "2026-01-05", "50.00"), _whole("J", "2026-01-06", "50.00"),
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-01-20", "lines": [{"line": "1", "amount": "10.00"}]},
        {"type": "invoice_void", "id": "V", "invoice": "J", "date": "2026-01-22", "reason": "address"}, _whole("K", "2026-01-22", "50.00"),
    )  # fmt: skip
    assert _months(cli) == {
        "2026-01": {"accounts_receivable": "90.00", "deferred_revenue": "36.00", "revenue": "54.00"},
        "2026-02": {"deferred_revenue": "-36.00", "revenue": "36.00"},
    }


def test_a_note_on_a_bill_beyond_the_contract_lowers_prices_alike_once_that_was_billed_again(cli: Cli) -> None:
    """3328.00 billed of 3156.00, a third of it credited: the same is earned of a bill and of one that was billed again."""
    cli.post(*parties(), {"type": "product", "id": "images", "name": "Images"})
    seats = {"product": "seats", "pattern": "monthly"}

    def post(ref: str, *, again: bool) -> None:
        bill = {"id": "1", "kind": "service", "contract": ref, "amount": "3328.00"}
        obligations = [
            seats | {"id": f"{ref}/1", "start": "2026-04-23", "end": "2026-08-04", "price": "1656.00"},
            seats
            | {"id": f"{ref}/2", "product": "tokens", "start": "2026-04-28", "end": "2027-01-21", "price": "492.00"},
            {"id": f"{ref}/3", "product": "images", "start": "2026-04-24", "pattern": "progress", "price": "516.00"},
        ]
        renewal = {
            "type": "contract_renewal", "id": f"{ref}/R", "contract": ref, "date": "2026-05-11",
            "obligations": [{"id": f"{ref}/4", "renews": f"{ref}/2", "end": "2027-07-21"}],
        }  # fmt: skip
        cli.post(contract(ref, "2026-04-23", *obligations), renewal)
        cli.post(invoice(f"{ref}/I", "2026-05-17", bill))
        if again:
            cli.post(credit_note(f"{ref}/B", "2026-06-24", "3328.00", invoice=f"{ref}/I", rebill=True))
            cli.post(invoice(f"{ref}/J", "2026-06-24", bill))
        cli.post(credit_note(f"{ref}/N", "2026-06-27", "1109.33", invoice=f"{ref}/J" if again else f"{ref}/I"))

    post("c", again=False)
    once = {month: Decimal(moved.get("revenue", "0")) for month, moved in _months(cli, "2027-12").items()}
    post("d", again=True)
    assert {month: Decimal(moved.get("revenue", "0")) for month, moved in _months(cli, "2027-12").items()} == {
        month: 2 * amount for month, amount in once.items()
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"contract": "x"}, "lines.0.contract = x: expected the id of a contract posted before"),
        ({"contract": "c", "obligation": "c/seats"}, "obligation = c/seats: expected none beside contract"),
        ({"contract": "c", "amount": "-1.00"}, "amount = -1.00: expected more than 0 on a line that bills a contract"),
    ],
)
def test_what_can_not_be_billed(cli: Cli, line: dict[str, str], words: str) -> None:
    _post(cli)
    assert words in cli.refuse(invoice("I", "2026-01-05", {"id": "1", "kind": "service", "amount": "1.00", **line}))


@pytest.mark.parametrize(
    ("setting", "revenue"),
    [
        ({}, {"2026-02": "59.00", "2026-03": "31.00"}),
        ({"arrears": "when_given"}, {"2026-01": "31.00", "2026-02": "28.00", "2026-03": "31.00"}),
    ],
)
def test_service_that_only_a_bill_tells_of(cli: Cli, setting: dict[str, str], revenue: dict[str, str]) -> None:
    """January to March, 90 days of 1.00, billed on 5 February: caught up then (Stripe's default), or each in its own month."""
    entity, *others = parties()
    cli.post(entity | setting, *others, invoice("I", "2026-02-05", service("90.00", "2026-01-01", "2026-03-31")))
    assert {month: row["revenue"] for month, row in _months(cli).items()} == revenue


def test_what_was_given_in_a_closed_month_counts_in_the_first_open_one(cli: Cli) -> None:
    entity, *others = parties()
    cli.post(entity | {"arrears": "when_given"}, *others)
    cli.ok("close", "2026-01")
    cli.post(invoice("I", "2026-02-05", service("90.00", "2026-01-01", "2026-03-31")))
    assert {month: row["revenue"] for month, row in _months(cli).items()} == {"2026-02": "59.00", "2026-03": "31.00"}


def test_a_run_through_an_earlier_month_leaves_what_a_later_one_netted(cli: Cli) -> None:
    """The second obligation is promised in June; by December it is earned ahead and nets with the first. A run through March is no reason."""
    added = obligation("C/t", "600.00", "2026-06-01", "2026-12-31", product="tokens", pattern="monthly")
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/s", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-06-01", "reason": "more", "obligations": [added]},
        invoice("I", "2026-01-15", {"id": "1", "kind": "service", "amount": "1200.00", "obligation": "C/s"}),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    before = cli.summary()
    cli.ok("recognize", "--through", "2026-03")
    assert cli.summary() == before
    assert "all" in cli.ok("verify")
