"""Pilots, commitments, bonus credits, a contract's own order, credits carried on and given back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import (
    billed_usage,
    contract,
    grant,
    invoice,
    parties,
    payment,
    prepaid,
    promotion,
    usage,
)


def pilot(ref: str, amount: str, start: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    return grant(ref, amount, start, kind="pilot", **more)


def commitment(ref: str, amount: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return grant(ref, amount, start, kind="commitment", expires_on=end, **more)


def shortfall(amount: str, ref: str = "C", line: str = "2") -> dict[str, Any]:
    return {"id": line, "kind": "shortfall", "amount": amount, "grant": ref, "product": "tokens"}


def returned(ref: str, of: str, day: str, amount: str | None = None) -> dict[str, Any]:
    document = {
        "type": "grant_return",
        "id": ref,
        "customer": "globex",
        "grant": of,
        "date": day,
        "reason": "cancelled",
    }
    return document | ({} if amount is None else {"amount": amount})


def _left(cli: Cli, *options: str) -> dict[str, str]:
    return {row["grant"]: row["left"] for row in cli.report("wallet", *options)}


def _verified(cli: Cli) -> dict[str, dict[str, str]]:
    assert "all" in cli.ok("verify")
    return cli.summary()


def test_a_free_pilot_is_a_discount_and_a_paid_one_a_liability(cli: Cli) -> None:
    cli.post(
        *parties(), pilot("F", "10.00"), pilot("P", "50.00", price="20.00"),
        invoice("I", "2026-01-01", prepaid("20.00", "P")), usage("u", "35.00", "2026-01-10"),
    )  # fmt: skip
    # F and P are both pilots: by id, 10 of F, then 25 of P at 0.40
    assert _verified(cli)["2026-01"] == {
        "accounts_receivable": "20.00", "customer_credits": "10.00", "promotional_credits": "10.00", "revenue": "20.00",
    }  # fmt: skip
    assert _left(cli) == {"F": "0.00", "P": "25.00"}


def test_a_paid_pilot_is_carried_into_a_contract(cli: Cli) -> None:
    """30 of 50 credits left, paid 20 for 50: 12.00 go over into a grant of 130 credits, of which 100 are billed."""
    cli.post(
        *parties(), pilot("P", "50.00", price="20.00", expires_on="2026-03-31"), invoice("I", "2026-01-01", prepaid("20.00", "P")),
        usage("u", "20.00", "2026-01-10"),
    )  # fmt: skip
    before = cli.summary()["2026-01"]
    cli.post(grant("G", "130.00", "2026-02-01", carried_from="P"))
    assert cli.summary() == {"2026-01": before}  # from one liability to another
    assert _left(cli) == {"P": "0.00", "G": "130.00"}
    assert _left(cli, "--as-of", "2026-01-31") == {"P": "30.00"}
    cli.post(invoice("J", "2026-02-01", prepaid("100.00", "G")))
    assert "expected at most 0.00, what is not yet billed" in cli.refuse(
        invoice("K", "2026-02-01", prepaid("0.01", "G"))
    )
    cli.post(usage("v", "130.00", "2026-02-10"))
    assert _verified(cli)["2026-02"] == {
        "accounts_receivable": "100.00",
        "customer_credits": "-12.00",
        "revenue": "112.00",
    }
    cli.ok("recognize", "--through", "2026-03")
    assert "2026-03" not in _verified(cli)  # nothing is left to expire


def test_a_free_pilot_is_carried_in_memorandum(cli: Cli) -> None:
    cli.post(
        *parties(), pilot("F", "50.00"), usage("u", "20.00", "2026-01-10"), promotion("G", "30.00", "2026-02-01", carried_from="F"),
        usage("v", "10.00", "2026-02-10"), usage("late", "5.00", "2026-01-11"),
    )  # fmt: skip
    assert _left(cli) == {"F": "0.00", "G": "20.00"}
    months = _verified(cli)
    assert months["2026-01"] == {"promotional_credits": "20.00", "revenue": "25.00", "unbilled_receivable": "5.00"}
    assert months["2026-02"] == {"promotional_credits": "10.00", "revenue": "10.00"}


def test_a_commitment_with_its_shortfall(cli: Cli) -> None:
    """PUB-019: a monthly minimum of 1,000; 800 used in January, 1,300 in February."""
    cli.post(
        *parties(), commitment("C", "1000.00", "2026-01-01", "2026-01-31"), commitment("D", "1000.00", "2026-02-01", "2026-02-28"),
        usage("u", "800.00", "2026-01-20"), usage("v", "1300.00", "2026-02-20"),
    )  # fmt: skip
    assert _left(cli) == {"C": "200.00", "D": "0.00"}
    assert "expected the commitment's last day, 2026-01-31, to be over" in cli.refuse(
        invoice("I", "2026-01-30", shortfall("200.00"))
    )
    assert "expected at most 200.00, what is left of commitment C" in cli.refuse(
        invoice("I", "2026-01-31", shortfall("200.01"))
    )
    assert "what is left of commitment D" in cli.refuse(invoice("I", "2026-02-28", shortfall("0.01", "D")))
    cli.post(
        invoice("I", "2026-01-31", billed_usage("800.00"), shortfall("200.00")), invoice("J", "2026-02-28", billed_usage("1300.00")),
    )  # fmt: skip
    assert _verified(cli) == {
        "2026-01": {"accounts_receivable": "1000.00", "revenue": "1000.00"},
        "2026-02": {"accounts_receivable": "1300.00", "revenue": "1300.00"},
    }
    assert _left(cli) == {"C": "0.00", "D": "0.00"}
    cli.post({"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-02-02", "reason": "wrong"})
    assert _left(cli) == {"C": "200.00", "D": "0.00"}
    assert _verified(cli)["2026-02"]["revenue"] == "1100.00"
    cli.post(invoice("I2", "2026-02-02", billed_usage("800.00"), shortfall("200.00")))
    memorandum = {row["role"]: row["debit"] for row in cli.report("trial-balance", "--memorandum")}
    assert memorandum["memo_commitments_made"] == "0.00"


def test_a_commitment_comes_after_everything_paid(cli: Cli) -> None:
    cli.post(
        *parties(), commitment("C", "50.00", "2026-01-01", "2026-12-31"), grant("G", "20.00"), promotion("P", "5.00"),
        invoice("I", "2026-01-01", prepaid("20.00")), usage("u", "100.00", "2026-01-10"),
    )  # fmt: skip
    # the commitment expires, the others never do: it comes first, and what it covers is billed as other usage
    assert _left(cli) == {"C": "0.00", "G": "0.00", "P": "0.00"}
    assert _verified(cli)["2026-01"] == {
        "accounts_receivable": "20.00", "promotional_credits": "5.00", "revenue": "100.00", "unbilled_receivable": "75.00",
    }  # fmt: skip


def test_usage_that_counted_is_given_back_to_the_commitment(cli: Cli) -> None:
    cli.post(*parties(), commitment("C", "50.00", "2026-01-01", "2026-12-31"), usage("u", "40.00", "2026-01-10"))
    cli.post(usage("w", "10.00", "2026-01-10", supersedes="u"))
    assert _left(cli) == {"C": "40.00"}
    assert _verified(cli)["2026-01"] == {"revenue": "10.00", "unbilled_receivable": "10.00"}


def test_terms_that_refuse_overage_allow_what_is_committed(cli: Cli) -> None:
    cli.post(
        *parties(), {"type": "customer", "id": "strict", "name": "Strict", "overage": "refuse"},
        commitment("C", "50.00", "2026-01-01", "2026-12-31", customer="strict"),
        usage("u", "50.00", "2026-01-10", customer="strict"),
    )  # fmt: skip
    assert "expected at most 0.00" in cli.refuse(usage("v", "0.01", "2026-01-10", customer="strict"))


def test_bonus_credits_share_the_price_of_their_order(cli: Cli) -> None:
    """PUB-037: 100 paid for 100 credits and 100 more; 50 used earn 25.00, whichever are drawn first."""
    cli.post(
        *parties(), grant("G", "100.00", contract="o"), promotion("B", "100.00", contract="o"),
        invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "50.00", "2026-01-10"),
    )  # fmt: skip
    assert _verified(cli)["2026-01"] == {
        "accounts_receivable": "100.00",
        "customer_credits": "75.00",
        "revenue": "25.00",
    }
    assert _left(cli) == {"G": "100.00", "B": "50.00"}
    cli.post(usage("v", "150.00", "2026-02-10"), usage("w", "1.00", "2026-02-11"))
    assert _verified(cli)["2026-02"] == {
        "customer_credits": "-75.00",
        "unbilled_receivable": "1.00",
        "revenue": "76.00",
    }


def test_bonus_credits_that_expire_break_their_share_and_late_usage_corrects_it(cli: Cli) -> None:
    cli.post(
        *parties(), grant("G", "100.00", contract="o"), promotion("B", "100.00", contract="o", expires_on="2026-01-31"),
        invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "40.00", "2026-01-10"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    assert _verified(cli)["2026-01"] == {
        "accounts_receivable": "100.00", "breakage_revenue": "30.00", "customer_credits": "50.00", "revenue": "20.00",
    }  # fmt: skip
    cli.post(usage("late", "20.00", "2026-01-12"))
    assert _verified(cli)["2026-01"] == {
        "accounts_receivable": "100.00", "breakage_revenue": "20.00", "customer_credits": "50.00", "revenue": "30.00",
    }  # fmt: skip
    cli.post(usage("v", "100.00", "2026-02-10"))
    assert _verified(cli)["2026-02"] == {"customer_credits": "-50.00", "revenue": "50.00"}


def test_a_contract_s_own_order(cli: Cli) -> None:
    """By default the promotion goes first, then the one that expires; this contract wants prepaid before the rest."""
    cli.post(
        *parties(), contract("c", "2026-01-01", draw_order=["prepaid"]),
        grant("G", "20.00", contract="c"), pilot("F", "20.00", price="8.00", contract="c", expires_on="2026-12-31"),
        promotion("other", "5.00"), usage("u", "30.00", "2026-01-10"),
    )  # fmt: skip
    # F stood first, for it expires; G takes its place, then the promotion of no contract, then F where G stood
    assert _left(cli) == {"G": "0.00", "F": "15.00", "other": "0.00"}
    _verified(cli)


@pytest.mark.parametrize("paid", [False, True])
def test_unused_credits_are_given_back(cli: Cli, paid: bool) -> None:
    """60 of 100 credits left, bought with 10 % tax on top for 100: 66.00 go back."""
    vat = {"type": "tax_code", "id": "T", "name": "Tax", "rate": "0.10"}
    cli.post(
        *parties(), vat, grant("G"), invoice("I", "2026-01-01", prepaid("100.00") | {"tax_codes": ["T"]}),
        usage("u", "40.00", "2026-01-10"),
    )  # fmt: skip
    if paid:
        cli.post(payment("P", "110.00", "2026-01-15", ("I", "110.00")))
    cli.post(returned("R", "G", "2026-02-01"))
    taken = "customer_balance" if paid else "accounts_receivable"
    assert _verified(cli)["2026-02"] == {
        taken: "66.00" if paid else "-66.00", "customer_credits": "-60.00", "tax_payable": "-6.00",
    }  # fmt: skip
    assert _left(cli) == {"G": "0.00"}
    cli.post(usage("v", "1.00", "2026-02-02"))  # nothing is left to draw on
    assert cli.summary()["2026-02"]["unbilled_receivable"] == "1.00"
    if paid:
        cli.post({"type": "refund", "id": "RF", "payment": "P", "date": "2026-02-03", "amount": "66.00"})
        assert _verified(cli)["2026-02"] == {
            "cash": "-66.00", "customer_credits": "-60.00", "tax_payable": "-6.00", "unbilled_receivable": "1.00",
            "revenue": "1.00",
        }  # fmt: skip


def test_a_part_is_given_back_of_credits_bought_below_their_worth(cli: Cli) -> None:
    """100 credits for 50: 30 given back are 15.00; the other 70 earn 35.00."""
    cli.post(
        *parties(), grant("G", price="50.00"), invoice("I", "2026-01-01", prepaid("50.00")),
        returned("R", "G", "2026-01-05", "30.00"), usage("u", "80.00", "2026-01-10"),
    )  # fmt: skip
    assert _verified(cli)["2026-01"] == {
        "accounts_receivable": "35.00",
        "unbilled_receivable": "10.00",
        "revenue": "45.00",
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            promotion("x", "1.00", contract="nothing"),
            "contract = nothing: expected a paid grant of the order, or a contract with obligations",
        ),
        (commitment("x", "1.00", "2026-01-01", "2026-01-31", price="1.00"), "price = 1.00: expected none"),
        (grant("x", kind="commitment"), "expires_on = missing: expected the last day"),
        (grant("x", carried_from="nothing"), "carried_from = nothing: expected the id of a grant"),
        (grant("x", "5.00", carried_from="G"), "carried_from = G: expected at most 5.00 USD left of it"),
        (grant("x", "500.00", carried_from="U"), "carried_from = U: expected a grant that is invoiced in full"),
        (promotion("x", "500.00", carried_from="G"), "carried_from = G: expected a grant that is free"),
        (grant("x", "500.00", "2026-06-01", carried_from="G"), "expected a grant that is valid on 2026-06-01"),
        (grant("x", "500.00", carried_from="G", price="1.00"), "price = 1.00: expected at least 100.00"),
        (returned("x", "F", "2026-01-01"), "grant = F: expected credits that were paid for"),
        (returned("x", "G", "2026-01-01", "100.01"), "amount = 100.01: expected at most 100.00"),
        (returned("x", "G", "2025-12-31"), "date = 2025-12-31: expected 2026-01-01"),
        (invoice("x", "2026-01-01", shortfall("1.00", "G")), "grant = G: expected a commitment, found a prepaid grant"),
        (
            invoice("x", "2026-01-01", prepaid("1.00", "F")),
            "expected a grant that is paid for, found a promotional one",
        ),
        (contract("x", "2026-01-01"), "expected what was promised, or a draw_order"),
        (contract("x", "2026-01-01", draw_order=["pilot", "pilot"]), "found pilot twice"),
    ],
)
def test_what_is_refused(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(
        *parties(), grant("G", expires_on="2026-05-31"), grant("U", "10.00"), promotion("F", "3.00"),
        invoice("I", "2026-01-01", prepaid("100.00")),
    )  # fmt: skip
    before = _left(cli), cli.summary()
    assert words in cli.refuse(document)
    assert (_left(cli), cli.summary()) == before


def test_late_usage_of_a_closed_month_draws_on_credits_that_expired_since(cli: Cli) -> None:
    """What had been broken is a liability again before the usage takes it: nothing is left of either on any day."""
    cli.post(
        *parties(),
        grant("G", "10.00", price="50.00", expires_on="2026-02-28"),
        invoice("I", "2026-01-05", prepaid("20.00")),
    )
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("close", "2026-01")
    cli.ok("close", "2026-02")
    cli.ok("close", "2026-03")
    cli.post(usage("late", "1.00", "2026-02-10"))
    assert _verified(cli)["2026-04"] == {"breakage_revenue": "-5.00", "revenue": "5.00"}


@pytest.mark.parametrize("recognised", [False, True])
def test_what_is_written_off_after_an_expiry_broke_by_then(cli: Cli, recognised: bool) -> None:
    """Credits of 10 expire in January, posted already or not; in April their invoice is written off: all was earned, 10 are bad debt."""
    cli.post(
        *parties(), grant("G", "10.00", expires_on="2026-01-16"), invoice("I", "2026-01-08", prepaid("10.00")),
    )  # fmt: skip
    if recognised:
        cli.ok("recognize", "--through", "2026-03")
    cli.post(
        {
            "type": "write_off",
            "id": "W",
            "invoice": "I",
            "date": "2026-04-05",
            "reason": "bankrupt",
            "approved_by": "ann",
        }
    )
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("verify")
    held = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert {role: sides for role, sides in held.items() if sides != ("0.00", "0.00")} == {
        "bad_debt": ("10.00", "0.00"), "breakage_revenue": ("0.00", "10.00")
    }  # fmt: skip


@pytest.mark.parametrize("closed", [0, 2, 4])
def test_credits_are_carried_on_from_a_day_before_they_expired(cli: Cli, closed: int) -> None:
    """40.00 of 100.00 used, 60.00 expired in March as far as was known: they were carried on before, until June."""
    cli.post(
        *parties(), grant("P", "100.00", expires_on="2026-03-31"), invoice("I", "2026-01-01", prepaid("100.00", "P")),
        usage("u", "40.00", "2026-01-10"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    for month in range(1, closed + 1):
        cli.ok("close", f"2026-{month:02}")
    refused = cli.refuse(grant("G", "50.00", "2026-03-01", expires_on="2026-06-30", carried_from="P"))
    assert "expected at most 50.00 USD left of it" in refused
    cli.post(grant("G", "60.00", "2026-03-01", expires_on="2026-06-30", carried_from="P"))
    cli.ok("recognize", "--through", "2026-05")
    cli.ok("verify")
    broken = {month: moved.get("breakage_revenue", "0.00") for month, moved in cli.summary().items()}
    assert {month: amount for month, amount in broken.items() if amount != "0.00"} == (
        {} if closed < 3 else {"2026-03": "60.00", "2026-05": "-60.00"}
    )
    assert [row["left"] for row in cli.report("wallet") if row["grant"] == "G"] == ["60.00"]
    cli.post(usage("v", "25.00", "2026-05-10"))
    cli.ok("recognize", "--through", "2026-07")
    cli.ok("verify")
    assert cli.summary()["2026-06"] == {"breakage_revenue": "35.00", "customer_credits": "-35.00"}
