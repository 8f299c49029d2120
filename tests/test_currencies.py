"""Other currencies than the entity's: locked rates, realised differences, what stays at the rate it came in at."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import (
    application,
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

EUR = {"currency": "EUR"}


def rate(day: str, value: str, base: str = "EUR", quote: str = "USD") -> dict[str, Any]:
    return {"type": "fx_rate", "id": f"{day}/{base}/{quote}", "date": day, "base": base, "quote": quote, "rate": value}


def _summary(cli: Cli) -> dict[str, dict[str, str]]:
    assert "all" in cli.ok("verify")
    return cli.summary()


def test_an_advance_stays_at_its_rate_and_the_rest_counts_at_delivery(cli: Cli) -> None:
    """PUB-028, after IFRIC 22 example 2: an advance of 40 at 1.10, the rest of 60 at delivery at 1.20."""
    cli.post(
        *parties(), rate("2026-01-10", "1.10"), rate("2026-03-31", "1.20"),
        contract("c", "2026-01-10", obligation("c/o", "100.00", "2026-03-31", "2026-03-31", pattern="point_in_time")) | EUR,
        invoice("I1", "2026-01-10", {"id": "1", "kind": "one_time", "amount": "40.00", "obligation": "c/o"}) | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    assert _summary(cli)["2026-03"] == {
        "deferred_revenue": "-44.00", "unbilled_receivable": "72.00", "revenue": "116.00",
    }  # fmt: skip
    cli.post(
        rate("2026-04-15", "1.25"),
        invoice("I2", "2026-04-15", {"id": "1", "kind": "one_time", "amount": "60.00", "obligation": "c/o"}) | EUR,
    )
    assert _summary(cli)["2026-04"] == {
        "accounts_receivable": "75.00", "unbilled_receivable": "-72.00", "fx_gain": "3.00",
    }  # fmt: skip


def test_the_functional_schedule_follows_the_locked_amount_by_the_same_formula(cli: Cli) -> None:
    """1,000.00 EUR over a year at 1.2345: 1,234.50 USD by days, whatever the rates do since."""
    cli.post(
        *parties(), rate("2026-01-01", "1.2345"), rate("2026-02-01", "9.00"),
        invoice("I", "2026-01-01", service("1000.00", "2026-01-01", "2026-12-31")) | EUR,
    )  # fmt: skip
    for month in ("2026-01", "2026-06", "2026-12"):
        cli.ok("recognize", "--through", month)
    earned, before = {}, Decimal(0)
    for month, day in enumerate((31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365), 1):
        reached = (Decimal("1234.50") * day / 365).quantize(Decimal("0.01"))
        earned[f"2026-{month:02}"] = f"{reached - before}"
        before = reached
    assert {month: row["revenue"] for month, row in _summary(cli).items()} == earned


def test_a_stated_rate_is_the_invoice_s(cli: Cli) -> None:
    cli.post(
        *parties(), rate("2026-01-01", "1.50"),
        invoice("I", "2026-01-05", one_time("10.00"), fx_rate="1.2") | EUR,
        payment("P", "10.00", "2026-01-20", ("I", "10.00"), fx_rate="1.3") | EUR,
    )  # fmt: skip
    assert _summary(cli)["2026-01"] == {"cash": "13.00", "deferred_revenue": "12.00", "fx_gain": "1.00"}


def test_partial_payments_realise_their_part(cli: Cli) -> None:
    """100 EUR at 1.20, paid by 33.33 at 1.10 and 66.67 at 1.30: AR leaves at 40.00 and 80.00."""
    cli.post(
        *parties(), rate("2026-01-01", "1.20"), rate("2026-02-01", "1.10"), rate("2026-03-01", "1.30"),
        invoice("I", "2026-01-01", one_time("100.00")) | EUR,
        payment("P1", "33.33", "2026-02-01", ("I", "33.33")) | EUR,
        payment("P2", "66.67", "2026-03-01", ("I", "66.67")) | EUR,
    )  # fmt: skip
    found = _summary(cli)
    assert found["2026-02"] == {"accounts_receivable": "-40.00", "cash": "36.66", "fx_loss": "3.34"}
    assert found["2026-03"] == {"accounts_receivable": "-80.00", "cash": "86.67", "fx_gain": "6.67"}


@pytest.mark.parametrize(
    ("money", "paid", "expected"),
    [
        # 30 EUR of an invoice at 1.20 (36.00) for 34.00 USD
        ({"currency": "USD", "amount": "34.00"}, {"paid": "34.00"},
         {"accounts_receivable": "-36.00", "cash": "34.00", "fx_loss": "2.00"}),
        # by the rate of the day: 30 EUR are 33.00 USD
        ({"currency": "USD", "amount": "33.00"}, {}, {"accounts_receivable": "-36.00", "cash": "33.00", "fx_loss": "3.00"}),
        # 25 GBP at 1.50 (37.50)
        ({"currency": "GBP", "amount": "25.00"}, {"paid": "25.00"},
         {"accounts_receivable": "-36.00", "cash": "37.50", "fx_gain": "1.50"}),
    ],
)  # fmt: skip
def test_paid_in_another_currency(
    cli: Cli, money: dict[str, str], paid: dict[str, str], expected: dict[str, str]
) -> None:
    cli.post(
        *parties(), rate("2026-01-01", "1.20"), rate("2026-02-01", "1.10"), rate("2026-02-01", "1.50", "GBP"),
        invoice("I", "2026-01-01", one_time("30.00")) | EUR,
        payment("P", money["amount"], "2026-02-01") | money | {"applications": [{"invoice": "I", "amount": "30.00", **paid}]},
    )  # fmt: skip
    assert _summary(cli)["2026-02"] == expected


def test_a_dollar_invoice_paid_in_euros_and_back(cli: Cli) -> None:
    cli.post(
        *parties(), rate("2026-01-01", "1.25"),
        invoice("I", "2026-01-01", one_time("50.00")),
        invoice("J", "2026-01-01", one_time("40.00")) | EUR,
        payment("P", "40.00", "2026-01-02", fx_rate="1.20") | EUR | {"applications": [{"invoice": "I", "amount": "48.00"}]},
        payment("Q", "50.00", "2026-01-02") | {"applications": [{"invoice": "J", "amount": "40.00"}]},
    )  # fmt: skip
    found = _summary(cli)["2026-01"]
    assert found == {"accounts_receivable": "2.00", "cash": "98.00", "deferred_revenue": "100.00"}


def test_a_refund_is_at_the_invoice_s_rate_and_the_difference_is_exchange(cli: Cli) -> None:
    cli.post(
        *parties(), rate("2026-01-01", "1.20"), rate("2026-02-01", "1.10"), rate("2026-03-01", "1.40"),
        invoice("I", "2026-01-01", one_time("30.00")) | EUR,
        payment("P", "30.00", "2026-02-01", ("I", "30.00")) | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    cli.post({"type": "refund", "id": "R", "payment": "P", "date": "2026-03-01", "amount": "10.00"})
    assert _summary(cli)["2026-03"] == {"cash": "-11.00", "refunds": "12.00", "fx_gain": "1.00"}


def test_a_voided_invoice_leaves_nothing(cli: Cli) -> None:
    cli.post(
        *parties(), rate("2026-01-01", "1.20"), rate("2026-02-01", "1.10"),
        invoice("I", "2026-01-01", service("30.00", "2026-01-01", "2026-03-31")) | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.post({"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-02-10", "reason": "wrong"})
    cli.ok("recognize", "--through", "2026-03")
    _summary(cli)
    assert {row[side] for row in cli.report("trial-balance") for side in ("debit", "credit")} == {"0.00"}


def test_wallets_in_other_currencies_draw_at_what_was_paid(cli: Cli) -> None:
    """100 EUR of credits billed at 1.20; usage at other rates earns 1.20 an euro, overage the rate of its day."""
    cli.post(
        *parties(), rate("2026-01-01", "1.20"), rate("2026-01-10", "1.50"),
        grant("G", "100.00", expires_on="2026-01-31") | EUR, promotion("F", "10.00") | EUR,
        invoice("I", "2026-01-01", prepaid("100.00")) | EUR,
        usage("u1", "40.00", "2026-01-10") | EUR, usage("u2", "90.00", "2026-01-11") | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    # the grant expires first, so it is drawn first: 100 at 1.20, 10 promotional and 20 overage at 1.50
    assert _summary(cli)["2026-01"] == {
        "accounts_receivable": "120.00", "promotional_credits": "15.00", "unbilled_receivable": "30.00",
        "revenue": "165.00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "amount", "quoted", "expected"),
    [("JPY", "1000", "0.0067", "6.70"), ("KWD", "1.234", "3.25", "4.01"), ("GBP", "10.00", None, "12.50")],
)
def test_any_number_of_decimals_and_a_rate_through_the_euro(
    cli: Cli, currency: str, amount: str, quoted: str | None, expected: str
) -> None:
    """Without a rate of its own the pound goes through the euro: 0.80 GBP and 1.00 USD an euro."""
    rates = (
        [rate("2026-01-01", quoted, currency)]
        if quoted
        else [rate("2026-01-01", "0.80", "EUR", "GBP"), rate("2026-01-01", "1.00", "EUR", "USD")]
    )
    cli.post(*parties(), *rates, invoice("I", "2026-01-01", one_time(amount)) | {"currency": currency})
    assert _summary(cli)["2026-01"] == {"accounts_receivable": expected, "deferred_revenue": expected}


def test_what_is_refused(cli: Cli) -> None:
    cli.post(*parties(), rate("2026-01-05", "1.20"))
    told = cli.refuse(invoice("I", "2026-01-04", one_time("1.00")) | EUR)
    assert "currency = EUR: expected an fx_rate of EUR/USD on or before 2026-01-04 to be posted before" in told
    told = cli.refuse(invoice("I", "2026-01-06", one_time("1.00"), fx_rate="1.1"))
    assert "fx_rate = 1.1: expected none: USD is the currency of entity us" in told
    told = cli.refuse(rate("2026-01-05", "1.30") | {"id": "again"})
    assert "the rate of EUR/USD on 2026-01-05 is in the books already" in told
    told = cli.refuse(rate("2026-01-05", "0.80", "USD", "EUR"))
    assert "the rate of USD/EUR on 2026-01-05 is in the books already" in told
    assert "expected another currency than base (EUR)" in cli.refuse(rate("2026-01-05", "1", "EUR", "EUR"))
    cli.post(invoice("I", "2026-01-06", one_time("1.00")) | EUR)
    told = cli.refuse(
        payment("P", "1.00", "2026-01-07")
        | EUR
        | {"applications": [{"invoice": "I", "amount": "1.00", "paid": "1.00"}]}
    )
    assert "applications.0.paid = 1.00: expected none: the invoice and the money are EUR" in told
    told = cli.refuse(payment("P", "1.00", "2026-01-07") | {"applications": [{"invoice": "I", "amount": "1.00"}]})
    assert "applications = 1.20 USD: expected at most the payment's amount, 1.00" in told


def test_an_application_is_moved(cli: Cli) -> None:
    cli.post(
        *parties(),
        invoice("I", "2026-01-01", one_time("30.00")), invoice("J", "2026-01-15", one_time("30.00")),
        payment("P", "30.00", "2026-01-10", ("I", "30.00")),
    )  # fmt: skip
    move = {"type": "application", "customer": "globex", "entity": "us", "currency": "USD", "date": "2026-01-20",
            "invoice": "J", "from_invoice": "I"}  # fmt: skip
    assert "expected at most 30.00" in cli.refuse(move | {"id": "m", "amount": "31.00"})
    cli.post(move | {"id": "m", "amount": "20.00"})
    assert {row["invoice"]: row["due"] for row in cli.report("ar-aging")} == {"I": "20.00", "J": "10.00"}
    told = cli.refuse(move | {"id": "n", "amount": "10.01"})
    assert "expected at most 10.00, what is due of invoice J" in told
    assert "expected another invoice than" in cli.refuse(move | {"id": "n", "amount": "1.00", "invoice": "I"})
    # a refund of the payment goes for what it settles now: 10.00 of I, 20.00 of J
    cli.post({"type": "refund", "id": "R", "payment": "P", "invoice": "J", "date": "2026-02-01", "amount": "20.00"})
    _summary(cli)


def test_revaluation_at_month_end_is_reversed_and_then_realised(cli: Cli) -> None:
    """PUB-035: 1,000 EUR at 1.10, 1.15 at the month's end, paid at 1.13."""
    cli.post(
        *parties(), rate("2026-01-15", "1.10"), rate("2026-01-31", "1.15"), rate("2026-02-10", "1.13"),
        invoice("I", "2026-01-15", one_time("1000.00")) | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    assert cli.ok("revalue", "2026-01") == "revalued 2026-01 for us: 2 entries: gain of 50.00 USD on EUR\n"
    assert cli.ok("revalue", "2026-01") == "revalued 2026-01 for us: nothing to revalue\n"
    cli.ok("close", "2026-01")
    assert "closed through 2026-01-31" in cli.refused("revalue", "2026-01")
    cli.post(payment("P", "1000.00", "2026-02-10", ("I", "1000.00")) | EUR)
    found = _summary(cli)
    assert found["2026-01"] == {"accounts_receivable": "1150.00", "fx_gain": "50.00", "revenue": "1100.00"}
    assert found["2026-02"] == {"accounts_receivable": "-1150.00", "cash": "1130.00", "fx_gain": "-20.00"}
    cli.ok("revalue", "2026-02")  # cash, at the same rate: nothing
    assert _summary(cli) == found


def test_liabilities_of_money_are_revalued_and_contract_liabilities_are_not(cli: Cli) -> None:
    cli.post(
        *parties(), rate("2026-01-01", "1.00"), rate("2026-01-31", "1.50"),
        invoice("I", "2026-01-01", service("100.00", "2026-02-01", "2026-02-28")) | EUR,
        payment("P", "110.00", "2026-01-01", ("I", "100.00")) | EUR,
    )  # fmt: skip
    cli.ok("revalue", "2026-01")
    found = _summary(cli)
    # cash 110 gains 55; the 10 owed to the customer lose 5; the 100 deferred stay
    assert found["2026-01"] == {
        "cash": "165.00", "customer_balance": "15.00", "deferred_revenue": "100.00", "fx_gain": "55.00", "fx_loss": "5.00",
    }  # fmt: skip
    assert found["2026-02"] == {"cash": "-55.00", "customer_balance": "-5.00", "fx_gain": "-55.00", "fx_loss": "-5.00"}


def test_taxes_owed_are_revalued(cli: Cli) -> None:
    """1,000 EUR and 200 of VAT at 1.10, 1.20 at the month's end: the receivable gains 120.00, the tax loses 20.00."""
    cli.post(
        *parties(), {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}, rate("2026-01-01", "1.10"),
        rate("2026-01-31", "1.20"),
        invoice("I", "2026-01-01", service("1000.00", "2026-01-01", "2026-12-31") | {"tax_codes": ["VAT"]}) | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("revalue", "2026-01")
    found = _summary(cli)
    assert found["2026-01"] == {
        "accounts_receivable": "1440.00", "tax_payable": "240.00", "deferred_revenue": "1006.58", "revenue": "93.42",
        "fx_gain": "120.00", "fx_loss": "20.00",
    }  # fmt: skip
    assert found["2026-02"] == {
        "accounts_receivable": "-120.00", "tax_payable": "-20.00", "fx_gain": "-120.00", "fx_loss": "-20.00",
    }  # fmt: skip


def test_disputed_funds_are_revalued(cli: Cli) -> None:
    """100 EUR at 1.10, 40 of them disputed: 60 and 40 are 12.00 more worth at 1.30 (60 x 0.20), and 8.00 (40 x 0.20)."""
    cli.post(
        *parties(), rate("2026-01-01", "1.10"), rate("2026-01-31", "1.30"),
        invoice("I", "2026-01-01", one_time("100.00")) | EUR, payment("P", "100.00", "2026-01-01", ("I", "100.00")) | EUR,
        {"type": "dispute", "id": "D", "payment": "P", "date": "2026-01-20", "amount": "40.00", "status": "opened"},
    )  # fmt: skip
    cli.ok("revalue", "2026-01")
    found = _summary(cli)["2026-01"]
    assert (found["cash"], found["disputed_funds"], found["fx_gain"]) == ("78.00", "52.00", "20.00")


def test_money_that_is_not_there_leaves_at_the_day_s_rate(cli: Cli) -> None:
    """15 EUR came in by card at 1.10, 10 of them were swept to another account. Of 15 that are refunded 5 are there (5.50).

    The others leave at the day's 1.40 (14.00): 19.50 for refunds of 15 at the invoice's 1.20 (18.00), a loss of 1.50.
    """
    cli.post(
        *parties(), rate("2026-01-01", "1.20"), rate("2026-02-01", "1.10"), rate("2026-03-01", "1.40"),
        invoice("I", "2026-01-01", one_time("25.00")) | EUR, invoice("J", "2026-01-01", one_time("15.00")) | EUR,
        payment("P", "25.00", "2026-02-01", ("I", "25.00")) | EUR,
        payment("Q", "15.00", "2026-02-02", ("J", "15.00"), rail="card") | EUR,
        {"type": "manual_entry", "id": "M", "entity": "us", "date": "2026-02-10", "currency": "EUR", "reason": "swept",
         "approved_by": "ann", "lines": [{"debit": "opening_balances", "credit": "cash", "amount": "10.00", "customer": "globex",
                                          "credit_subject": "rail:card"}]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    before = _summary(cli)
    assert before["2026-02"]["cash"] == "33.00"  # 30 EUR at 1.10
    cli.post({"type": "refund", "id": "R", "payment": "Q", "date": "2026-03-01", "amount": "15.00"})
    # 5 EUR of the card's are left, at 5.50; 10 more at 1.40
    assert _summary(cli)["2026-03"] == {"cash": "-19.50", "refunds": "18.00", "fx_loss": "1.50"}


def test_what_was_paid_and_billed_at_its_own_rate_needs_none_of_the_day(cli: Cli) -> None:
    """No fx_rate at all: 20 EUR at 1.10 onto an invoice at 1.20, then 5 of them onto one at 1.30, and 3 paid back."""
    cli.post(
        *parties(), invoice("I", "2026-01-02", one_time("20.00"), fx_rate="1.20") | EUR,
        invoice("J", "2026-01-02", one_time("5.00"), fx_rate="1.30") | EUR,
        payment("P", "23.00", "2026-01-01", fx_rate="1.10") | EUR, application("A", "20.00", "2026-01-05", "I") | EUR,
    )  # fmt: skip
    assert _summary(cli)["2026-01"] == {
        "accounts_receivable": "6.50", "cash": "25.30", "customer_balance": "3.30", "deferred_revenue": "30.50", "fx_loss": "2.00",
    }  # fmt: skip
    cli.post(application("B", "5.00", "2026-01-06", "J", from_invoice="I") | EUR)
    # 5 of I are due again at 6.00, and J's 6.50 are settled by them: a loss of 0.50 more
    found = _summary(cli)["2026-01"]
    assert (found["accounts_receivable"], found["fx_loss"]) == ("6.00", "2.50")
    cli.post({"type": "refund", "id": "R", "payment": "P", "date": "2026-01-07", "amount": "3.00"})
    found = _summary(cli)["2026-01"]
    assert (found["cash"], found.get("customer_balance")) == ("22.00", None)
    told = cli.refuse({"type": "refund", "id": "S", "payment": "P", "date": "2026-01-08", "amount": "21.00"})
    assert "expected at most 20.00" in told


def test_a_late_application_keeps_its_own_date(cli: Cli) -> None:
    cli.post(
        *parties(), invoice("I", "2026-01-10", one_time("100.00")), payment("P", "100.00", "2026-01-20"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    told = cli.post(application("A", "60.00", "2026-01-23", "I"))
    assert "1 entries moved out of closed months" in told
    (entry,) = json.loads(cli.ok("trace", "application:A", "--format", "json"))["entries"]
    assert (entry["effective_on"], entry["occurred_on"]) == ("2026-02-01", "2026-01-23")
    told = cli.post(payment("Q", "40.00", "2026-01-24", ("I", "40.00")))
    assert "2 entries moved out of closed months" in told
    first, second = json.loads(cli.ok("trace", "payment:Q", "--format", "json"))["entries"]
    assert first["occurred_on"] == second["occurred_on"] == "2026-01-24"


def test_a_late_document_is_revalued_by_the_next_run(cli: Cli) -> None:
    cli.post(
        *parties(),
        rate("2026-01-01", "1.00"),
        rate("2026-01-31", "1.50"),
        invoice("I", "2026-01-01", one_time("10.00")) | EUR,
    )
    cli.ok("revalue", "2026-01")
    cli.post(invoice("J", "2026-01-01", one_time("4.00")) | EUR)
    assert "gain of 2.00 USD on EUR" in cli.ok("revalue", "2026-01")
    assert _summary(cli)["2026-01"]["accounts_receivable"] == "21.00"


def test_the_ecb_s_rates_become_documents(cli: Cli) -> None:
    """The ECB's reference rate of 16 November 2023 was 1.0849 USD for a euro; 18 and 19 were a weekend."""
    told = cli.ok("rates", "--from", "2023-11-16", "--to", "2023-11-20", "--currency", "USD", "--currency", "GBP")
    documents = [json.loads(line) for line in told.splitlines()]
    assert [(d["date"], d["quote"]) for d in documents] == [
        (day, quote) for day in ("2023-11-16", "2023-11-17", "2023-11-20") for quote in ("GBP", "USD")
    ]
    assert documents[1]["rate"] == "1.0849"
    assert "posted 6 documents" in cli.post(*documents)
    assert "expected one of" in cli.refused("rates", "--from", "2023-11-16", "--to", "2023-11-16", "--currency", "XXX")
    told = cli.refused("rates", "--from", "2023-11-16", "--to", "2023-11-16", "--currency", "EUR")
    assert "currency = EUR: expected another one" in told
    assert "the last day of the file" in cli.refused("rates", "--from", "2190-01-01", "--to", "2190-01-02")


def test_what_one_run_earns_before_it_is_billed_and_after_leaves_nothing(cli: Cli) -> None:
    """4.00 EUR over four months billed in the third: two months at their own rates, then what the invoice brought, all of it."""
    rates = [
        {"type": "fx_rate", "id": f"r{month}", "date": f"2026-0{month}-01", "base": "EUR", "quote": "USD", "rate": rate}
        for month, rate in ((1, "1.10"), (2, "1.20"), (3, "1.50"), (4, "1.05"))
    ]
    cli.post(
        *parties(), *rates, contract("C", "2026-01-01", obligation("C/o", "4.00", "2026-01-01", "2026-04-30", pattern="monthly")) | EUR,
        invoice("I", "2026-03-15", {"id": "1", "kind": "service", "amount": "4.00", "obligation": "C/o"}) | EUR,
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("verify")
    revenue = {month: moved["revenue"] for month, moved in cli.summary().items() if "revenue" in moved}
    assert revenue == {"2026-01": "1.10", "2026-02": "1.20", "2026-03": "1.50", "2026-04": "1.50"}
