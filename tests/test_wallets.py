"""Wallets, in the accountant's words: given documents, then these balances."""

from __future__ import annotations

from datetime import date

import pytest

from ledger.wallets.draw_plans import draw_order, plan_draws
from ledger.wallets.grants import Grant
from tests.conftest import Cli
from tests.samples import billed_usage, grant, invoice, parties, payment, prepaid, promotion, usage


def _grant(ref: str, **more: object) -> Grant:
    facts: dict[str, object] = {
        "customer_id": 1,
        "grant_id": 1,
        "ref": ref,
        "entity": "us",
        "currency": "USD",
        "kind": "prepaid",
        "face": 100,
        "price": 100,
        "effective_on": date(2026, 1, 1),
        "expires_on": None,
        "products": None,
        "priority": None,
    }
    return Grant(**(facts | more))  # type: ignore[arg-type]


def test_the_order_of_drawing() -> None:
    # docs/documents/usage.md: priority (none last), soonest expiry (never last), kind, first effective, id
    grants = [
        _grant("e"),
        _grant("d", effective_on=date(2025, 1, 1)),
        _grant("c", kind="promotional", effective_on=date(2026, 2, 1)),
        _grant("b", expires_on=date(2026, 12, 31)),
        _grant("a2", expires_on=date(2026, 3, 31)),
        _grant("a1", expires_on=date(2026, 3, 31)),
        _grant("p", priority=5),
        _grant("o", priority=1, expires_on=date(2030, 1, 1)),
    ]
    assert [g.ref for g in sorted(grants, key=draw_order)] == ["o", "p", "a1", "a2", "b", "c", "d", "e"]


def test_draws_pass_over_what_does_not_match() -> None:
    grants = [
        _grant("other", products=frozenset({"images"})),
        _grant("later", effective_on=date(2026, 2, 1)),
        _grant("over", expires_on=date(2026, 1, 9)),
        _grant("used", drawn_face=100, drawn=100),
        _grant("some", drawn_face=70, drawn=70),
        _grant("all"),
    ]
    draws, overage = plan_draws(grants, "tokens", date(2026, 1, 10), 150)
    assert [(d.grant.ref, d.face, d.money) for d in draws] == [("some", 30, 30), ("all", 100, 100)]
    assert overage == 20


def test_a_grant_bought_below_face_earns_its_price(cli: Cli) -> None:
    # accounting.md: a grant of 60,000 credits paid 50,000 earns 5/6 a credit, cumulatively rounded
    cli.post(
        *parties(),
        grant("G", "60000.00", price="50000.00"),
        invoice("I", "2026-01-01", prepaid("50000.00")),
        usage("u1", "0.01", "2026-01-05"),  # 5/6 of a cent rounds to 0.01
        usage("u2", "0.01", "2026-01-06"),  # 10/6 in all rounds to 0.02
        usage("u3", "0.01", "2026-01-07"),  # 15/6 in all is 2.5 cents, half-even 0.02: nothing now
        usage("u4", "59999.97", "2026-02-07"),
    )
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "50000.00", "customer_credits": "49999.98", "revenue": "0.02"},
        "2026-02": {"customer_credits": "-49999.98", "revenue": "49999.98"},
    }
    (row,) = cli.report("wallet")
    assert (row["granted"], row["drawn"], row["left"], row["revenue"]) == ("60000.00", "60000.00", "0.00", "50000.00")
    cli.ok("verify")


def test_usage_before_the_grant_is_billed_is_a_contract_asset(cli: Cli) -> None:
    cli.post(*parties(), grant("G"), usage("u", "30.00", "2026-01-20"))
    assert cli.summary()["2026-01"] == {"unbilled_receivable": "30.00", "revenue": "30.00"}
    cli.post(invoice("I", "2026-02-01", prepaid("100.00")))
    assert cli.summary()["2026-02"] == {
        "accounts_receivable": "100.00",
        "unbilled_receivable": "-30.00",
        "customer_credits": "70.00",
    }
    cli.ok("verify")


def test_the_same_books_when_the_invoice_arrives_first(cli: Cli) -> None:
    # the invoice of 1 February is posted before the usage of 20 January: by date, nothing differs
    cli.post(*parties(), grant("G"), invoice("I", "2026-02-01", prepaid("100.00")), usage("u", "30.00", "2026-01-20"))
    assert cli.summary() == {
        "2026-01": {"unbilled_receivable": "30.00", "revenue": "30.00"},
        "2026-02": {"accounts_receivable": "100.00", "unbilled_receivable": "-30.00", "customer_credits": "70.00"},
    }
    cli.ok("verify")


def test_late_usage_draws_on_a_grant_that_expired_since(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", expires_on="2026-01-31"),
        promotion("P", "10.00", expires_on="2026-01-31"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "40.00", "2026-01-10"),
    )
    cli.ok("recognize", "--through", "2026-02")
    # 10 promotional first, then 30 prepaid; 70 broken
    assert cli.summary()["2026-01"]["breakage_revenue"] == "70.00"
    cli.post(usage("u2", "25.00", "2026-01-15"))
    january = {
        "accounts_receivable": "100.00",
        "breakage_revenue": "45.00",
        "promotional_credits": "10.00",
        "revenue": "65.00",
    }
    assert cli.summary() == {"2026-01": january}
    cli.post(usage("u3", "50.00", "2026-01-20"))
    january |= {"revenue": "115.00", "unbilled_receivable": "5.00"}
    january.pop("breakage_revenue")
    assert cli.summary() == {"2026-01": january}
    assert "nothing was due" in cli.ok("recognize", "--through", "2026-02")
    cli.ok("verify")


def test_late_usage_draws_on_promotional_credits_that_expired_since(cli: Cli) -> None:
    cli.post(*parties(), promotion("P", "10.00", expires_on="2026-01-31"), usage("u1", "4.00", "2026-01-10"))
    cli.ok("recognize", "--through", "2026-01")
    (row,) = cli.report("wallet")
    assert (row["drawn"], row["expired"], row["left"]) == ("4.00", "6.00", "0.00")
    cli.post(usage("u2", "5.00", "2026-01-15"))
    (row,) = cli.report("wallet")
    assert (row["drawn"], row["expired"], row["left"]) == ("9.00", "1.00", "0.00")
    assert cli.summary() == {"2026-01": {"promotional_credits": "9.00", "revenue": "9.00"}}
    cli.ok("verify")


def test_a_grant_billed_after_it_expired_breaks_when_billed(cli: Cli) -> None:
    cli.post(*parties(), grant("G", expires_on="2026-01-31"), usage("u", "40.00", "2026-01-10"))
    cli.ok("recognize", "--through", "2026-01")
    cli.post(invoice("I", "2026-02-15", prepaid("100.00")))
    cli.ok("recognize", "--through", "2026-02")
    assert cli.summary() == {
        "2026-01": {"revenue": "40.00", "unbilled_receivable": "40.00"},
        "2026-02": {"accounts_receivable": "100.00", "breakage_revenue": "60.00", "unbilled_receivable": "-40.00"},
    }
    cli.ok("verify")


def test_fractions_of_a_cent_add_up(cli: Cli) -> None:
    # 418 tokens at 0.002 USD per 1,000 are 0.000836 USD: six of them are 0.005016, a cent at last
    events = [usage(f"u{n}", "418", "2026-01-05", unit_price="0.000002") for n in range(6)]
    cli.post(*parties(), *events[:5])
    assert cli.summary() == {}
    cli.post(events[5])
    assert cli.summary() == {"2026-01": {"revenue": "0.01", "unbilled_receivable": "0.01"}}
    cli.ok("verify")


def test_usage_billed_before_it_is_reported(cli: Cli) -> None:
    cli.post(
        *parties(),
        usage("u1", "20.00", "2026-01-10"),
        invoice("I", "2026-01-31", billed_usage("50.00")),
        usage("u2", "10.00", "2026-01-20"),  # earned before the invoice, reported after it
        usage("u3", "25.00", "2026-02-03"),
    )
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "50.00", "deferred_revenue": "20.00", "revenue": "30.00"},
        "2026-02": {"deferred_revenue": "-20.00", "revenue": "25.00", "unbilled_receivable": "5.00"},
    }
    cli.ok("verify")


def test_terms_that_refuse_overage(cli: Cli) -> None:
    entity, _, *rest = parties()
    cli.post(entity, {"type": "customer", "id": "globex", "name": "Globex", "overage": "refuse"}, *rest)
    cli.post(grant("G"), invoice("I", "2026-01-01", prepaid("100.00")), usage("u1", "99.00", "2026-01-05"))
    message = cli.refuse(usage("u2", "1.01", "2026-01-06"))
    assert "usage u2: quantity = 1.01: expected at most 1.00 USD" in message
    cli.post(usage("u3", "1.00", "2026-01-06"))
    assert cli.report("wallet")[0]["left"] == "0.00"


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([invoice("I", "2026-01-01", prepaid("100.01"))], "expected at most 100.00, what is not yet billed"),
        (
            [invoice("I", "2026-01-01", prepaid("60.00"), prepaid("40.01", line="2"))],
            "lines.1.amount = 40.01 USD: expected at most 40.00",
        ),
        (
            [invoice("I", "2026-01-01", prepaid("1.00", "P"))],
            "expected a grant that is paid for, found a promotional one",
        ),
        ([invoice("I", "2026-01-01", prepaid("1.00", "X"))], "grant = X: expected the id of a grant of this customer"),
    ],
)
def test_a_grant_is_billed_its_price_at_most(cli: Cli, documents: list[dict[str, object]], words: str) -> None:
    cli.post(*parties(), grant("G"), promotion("P", "5.00"))
    assert words in cli.refuse(*documents)
    assert cli.summary() == {}


def test_the_wallet_as_of_a_day_and_as_known(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", expires_on="2026-03-31"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        payment("P", "100.00", "2026-01-10", ("I", "100.00")),
        usage("u1", "10.00", "2026-01-10"),
        usage("u2", "20.00", "2026-02-10"),
    )
    cli.ok("recognize", "--through", "2026-03")
    left = {day: cli.report("wallet", "--as-of", day)[0]["left"] for day in ("2026-01-31", "2026-02-28", "2026-03-31")}
    assert left == {"2026-01-31": "90.00", "2026-02-28": "70.00", "2026-03-31": "0.00"}
    assert cli.report("wallet", "--known-at", "2020-01-01") == []


def test_breakage_in_proportion_to_use(cli: Cli) -> None:
    # 100 sold, 15 never expected to be used; 40 used, then 45: breakage 15 x 40/85 = 7.06, then 7.94
    cli.post(
        *parties(),
        grant("G", expires_on="2026-03-31", breakage="proportional", expected_breakage="0.15"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "40.00", "2026-01-15"),
        usage("u2", "45.00", "2026-02-15"),
    )
    cli.ok("recognize", "--through", "2026-03")
    assert cli.summary() == {
        "2026-01": {
            "accounts_receivable": "100.00",
            "breakage_revenue": "7.06",
            "customer_credits": "52.94",
            "revenue": "40.00",
        },
        "2026-02": {"breakage_revenue": "7.94", "customer_credits": "-52.94", "revenue": "45.00"},
    }
    (row,) = cli.report("wallet")
    assert (row["drawn"], row["expired"], row["left"]) == ("85.00", "15.00", "0.00")
    cli.ok("verify")


def test_use_beyond_expectation_puts_breakage_back(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", expires_on="2026-03-31", breakage="proportional", expected_breakage="0.15"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "85.00", "2026-01-15"),
        usage("u2", "10.00", "2026-02-15"),
    )
    assert cli.summary()["2026-01"]["breakage_revenue"] == "15.00"
    assert cli.summary()["2026-02"] == {"breakage_revenue": "-10.00", "revenue": "10.00"}
    cli.ok("recognize", "--through", "2026-03")
    assert "2026-03" not in cli.summary()
    cli.ok("verify")
