"""Commitments: late usage and a shortfall that was billed make up one promise; breakage in proportion, and estimated anew."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import PARTY, billed_usage, credit_note, grant, invoice, parties, prepaid, usage
from tests.test_usage_amounts import _total, amount

COMMITMENT = grant("K", "100.00", kind="commitment", expires_on="2026-01-31")


def shortfall(value: str, line: str = "1") -> dict[str, Any]:
    return {"id": line, "kind": "shortfall", "amount": value, "grant": "K", "product": "tokens"}


def estimate(ref: str, share: str, day: str, of: str) -> dict[str, Any]:
    return {
        "type": "breakage_estimate", "id": ref, "customer": PARTY["customer"], "grant": of, "date": day,
        "expected_breakage": share, "reason": "use of the last quarter",
    }  # fmt: skip


def _left(cli: Cli) -> str:
    (row,) = cli.report("wallet")
    return str(row["left"])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_late_usage_under_a_shortfall_that_was_billed_is_not_billed_twice(cli: Cli, order: tuple[int, ...]) -> None:
    """60 used and billed, 40 billed as shortfall; 30 more of January arrive: 100 were promised, and 100 are billed."""
    documents = [usage("late", "30.00", "2026-01-25"), invoice("S", "2026-02-01", shortfall("40.00")), None]
    cli.post(
        *parties(), COMMITMENT, usage("u", "60.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("60.00"))
    )
    for index in order:
        document = documents[index]
        if document is None:
            cli.ok("recognize", "--through", "2026-02")
        else:
            cli.post(document)
        cli.ok("verify")
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "60.00", "revenue": "90.00", "unbilled_receivable": "30.00"},
        "2026-02": {"accounts_receivable": "40.00", "revenue": "10.00", "unbilled_receivable": "-30.00"},
    }
    assert _left(cli) == "0.00"
    assert "expected at most 0.00" in cli.refuse(invoice("T", "2026-02-02", shortfall("0.01")))


def test_usage_beyond_the_shortfall_is_due(cli: Cli) -> None:
    cli.post(
        *parties(), COMMITMENT, usage("u", "60.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("60.00")),
        invoice("S", "2026-02-01", shortfall("40.00")), usage("late", "55.00", "2026-01-25"),
    )  # fmt: skip
    # 40 of the 55 are covered: 15 are due
    assert _total(cli) == {"accounts_receivable": "100.00", "revenue": "115.00", "unbilled_receivable": "15.00"}
    cli.ok("verify")


@pytest.mark.parametrize("late", [False, True])
def test_usage_that_falls_raises_the_shortfall(cli: Cli, late: bool) -> None:
    """60 used and billed, 40 of shortfall; 30 fall: 30 were used, 70 are shortfall, and 100 are billed."""
    fall, bill = amount("fall", "-30.00", "2026-01-25"), invoice("S", "2026-02-01", shortfall("40.00"))
    cli.post(
        *parties(), COMMITMENT, usage("u", "60.00", "2026-01-10"), invoice("I", "2026-01-20", billed_usage("60.00"))
    )
    cli.post(*((bill, fall) if late else (fall, bill)))
    assert cli.summary() == {
        "2026-01": {"accounts_receivable": "60.00", "deferred_revenue": "30.00", "revenue": "30.00"},
        "2026-02": {"accounts_receivable": "40.00", "deferred_revenue": "-30.00", "revenue": "70.00"},
    }
    assert _left(cli) == "0.00"
    cli.ok("verify")


def test_usage_that_falls_before_it_was_billed_leaves_more_to_bill(cli: Cli) -> None:
    cli.post(
        *parties(), COMMITMENT, usage("u", "60.00", "2026-01-10"), invoice("S", "2026-02-01", shortfall("40.00")),
        amount("fall", "-30.00", "2026-02-02"),
    )  # fmt: skip
    assert _left(cli) == "30.00"
    cli.post(invoice("T", "2026-02-03", shortfall("30.00"), billed_usage("30.00", line="2")))
    assert _total(cli) == {"accounts_receivable": "100.00", "revenue": "100.00"}
    cli.ok("verify")


def test_a_void_shortfall_leaves_the_usage_it_covered_to_bill(cli: Cli) -> None:
    cli.post(
        *parties(), COMMITMENT, usage("u", "60.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("60.00")),
        invoice("S", "2026-02-01", shortfall("40.00")), usage("late", "30.00", "2026-01-25"),
        {"type": "invoice_void", "id": "V", "invoice": "S", "date": "2026-02-05", "reason": "late usage"},
    )  # fmt: skip
    assert _left(cli) == "10.00"
    assert _total(cli) == {"accounts_receivable": "60.00", "revenue": "90.00", "unbilled_receivable": "30.00"}
    cli.post(invoice("T", "2026-02-06", shortfall("10.00"), billed_usage("30.00", line="2")))
    assert _total(cli) == {"accounts_receivable": "100.00", "revenue": "100.00"}
    cli.ok("verify")


def test_corrected_usage_under_a_shortfall_that_was_billed(cli: Cli) -> None:
    cli.post(
        *parties(), COMMITMENT, usage("u", "60.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("60.00")),
        invoice("S", "2026-02-01", shortfall("40.00")), usage("late", "30.00", "2026-01-25"),
        usage("late2", "20.00", "2026-01-25", supersedes="late"),
    )  # fmt: skip
    assert _total(cli) == {"accounts_receivable": "100.00", "revenue": "100.00"}
    assert _left(cli) == "0.00"
    cli.ok("verify")


def test_a_commitment_that_is_not_expected_to_be_used_up_is_earned_with_use(cli: Cli) -> None:
    """1,000 promised, 800 expected to be used: each 80 used earn 100; then 900 are expected, later 1,000 used."""
    promise = grant(
        "K", "1000.00", kind="commitment", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.2",
    )  # fmt: skip
    cli.post(*parties(), promise, usage("u", "80.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("80.00")))
    assert cli.summary()["2026-01"] == {
        "accounts_receivable": "80.00",
        "revenue": "100.00",
        "unbilled_receivable": "20.00",
    }
    # 80 of 900: 88.89
    cli.post(estimate("e", "0.1", "2026-03-31", "K"))
    assert cli.summary()["2026-03"] == {"revenue": "-11.11", "unbilled_receivable": "-11.11"}
    cli.ok("verify")
    # 450 of 900 used: half of it, 500
    cli.post(usage("v", "370.00", "2026-06-10"))
    assert _total(cli) == {"accounts_receivable": "80.00", "revenue": "500.00", "unbilled_receivable": "420.00"}
    # the end: 900 used, 100 due as shortfall, all of it earned before
    cli.post(
        usage("w", "450.00", "2026-12-10"), invoice("J", "2026-12-31", billed_usage("820.00"), shortfall("100.00", line="2")),
    )  # fmt: skip
    assert _total(cli) == {"accounts_receivable": "1000.00", "revenue": "1000.00"}
    cli.ok("verify")


def test_more_is_used_than_was_expected(cli: Cli) -> None:
    promise = grant(
        "K", "1000.00", kind="commitment", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.2",
    )  # fmt: skip
    cli.post(*parties(), promise, usage("u", "800.00", "2026-01-10"))
    assert _total(cli) == {"revenue": "1000.00", "unbilled_receivable": "1000.00"}
    cli.post(usage("v", "150.00", "2026-02-10"))
    assert _total(cli) == {"revenue": "1000.00", "unbilled_receivable": "1000.00"}
    cli.post(usage("w", "100.00", "2026-03-10"))
    assert _total(cli) == {"revenue": "1050.00", "unbilled_receivable": "1050.00"}
    cli.ok("verify")


def test_breakage_of_prepaid_credits_is_estimated_anew(cli: Cli) -> None:
    """450 of 1,000 used, a tenth never: 50. By a quarter: 450 / 750 of 250 are 150. By none: 0."""
    cli.post(
        *parties(), grant("G", "1000.00", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.10"),
        invoice("I", "2026-01-01", prepaid("1000.00")), usage("u", "450.00", "2026-01-10"), estimate("e1", "0.25", "2026-03-31", "G"),
    )  # fmt: skip
    assert cli.summary()["2026-03"] == {"breakage_revenue": "100.00", "customer_credits": "-100.00"}
    cli.post(estimate("e2", "0", "2026-04-30", "G"))
    assert cli.summary()["2026-04"] == {"breakage_revenue": "-150.00", "customer_credits": "150.00"}
    cli.ok("verify")
    assert "expected a day from 2026-01-01 to 2026-12-31" in cli.refuse(estimate("e3", "0.1", "2027-01-01", "G"))


def test_what_is_not_earned_in_proportion_has_no_estimate(cli: Cli) -> None:
    cli.post(*parties(), grant("G", "100.00"))
    assert "expected a grant with breakage proportional" in cli.refuse(estimate("e", "0.1", "2026-01-01", "G"))
    assert "expected a share below 1" in cli.refuse(estimate("e", "1", "2026-01-01", "G"))


@pytest.mark.parametrize("notes", [("90.00",), ("60.00", "30.00"), ("45.00", "30.00", "15.00")])
@pytest.mark.parametrize("late", [False, True])
def test_credits_of_a_shortfall_take_each_product_it_covered_once(cli: Cli, notes: tuple[str, ...], late: bool) -> None:
    """100 of shortfall cover 40 of tokens and 30 of seats, used in its term; 90 credited: 30 of its own, 30 of seats, 30 of tokens.

    The 10 that are left are revenue of tokens, however many notes there were; the last note leaves none of it.
    """
    used = [usage("u1", "40.00", "2026-01-10"), usage("u2", "30.00", "2026-01-12", product="seats")]
    bill = invoice("S", "2026-01-31", shortfall("100.00"))
    cli.post(*parties(), COMMITMENT, *([bill, *used] if late else [*used, bill]))
    for number, value in enumerate([*notes, "10.00"]):
        cli.post({"type": "credit_note", "id": f"N{number}", "invoice": "S", "date": f"2026-02-0{number + 1}",
                  "lines": [{"line": "1", "amount": value}]})  # fmt: skip
        cli.ok("verify")
        left = {"2026-01": "100.00", "2026-02": str(Decimal(-90) if number < len(notes) else Decimal(-100)) + ".00"}
        if number >= len(notes) - 1:
            assert {month: row["revenue"] for month, row in cli.summary().items()} == left
            assert _by_product(cli) == ({"tokens": "10.00"} if number < len(notes) else {})


def _by_product(cli: Cli) -> dict[str, str]:
    rows = cli.report("disaggregation", "--by", "year")
    return {row["product"]: row["total"] for row in rows if Decimal(row["total"])}


def _summary(cli: Cli, months: int, *roles: str) -> dict[str, tuple[str, ...]]:
    """Roles by month, once all is recognised and holds."""
    cli.ok("recognize", "--through", f"2026-{months:02}")
    cli.ok("verify")
    found = cli.summary()
    return {month: tuple(found[month].get(role, "0.00") for role in roles) for month in sorted(found)}


@pytest.mark.parametrize("order", [order for order in permutations(range(4)) if order.index(0) < order.index(3)])
def test_what_is_billed_ahead_of_use_is_due_as_shortfall_whichever_bill_came_first(
    cli: Cli, order: tuple[int, ...]
) -> None:
    """60 used and billed, 40 of shortfall; 10 fall: 50 were used, and 50 are shortfall."""
    documents = [
        usage("u", "60.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("60.00")),
        invoice("S", "2026-03-01", shortfall("40.00")), amount("fall", "-10.00", "2026-02-05"),
    ]  # fmt: skip
    cli.post(*parties(), grant("K", "100.00", kind="commitment", expires_on="2026-02-28"))
    for place in order:
        cli.post(documents[place])
    assert _summary(cli, 3, "revenue", "deferred_revenue") == {
        "2026-01": ("60.00", "0.00"), "2026-02": ("-10.00", "10.00"), "2026-03": ("50.00", "-10.00"),
    }  # fmt: skip


@pytest.mark.parametrize("late", range(4))
def test_a_shortfalls_bill_covers_each_product_as_it_was_used_and_billed(cli: Cli, late: int) -> None:
    """45 of tokens used and 40 billed, 26 of seats used and 20 billed; 40 of 100 are billed as shortfall: it covers 5 and 6."""
    documents = [
        usage("u1", "40.00", "2026-01-10"), usage("u2", "20.00", "2026-01-11", product="seats"),
        invoice("I", "2026-01-31", billed_usage("40.00")),
        invoice("J", "2026-01-31", billed_usage("20.00") | {"product": "seats"}),
        invoice("S", "2026-03-01", shortfall("40.00")),
        usage("u3", "6.00", "2026-02-15", product="seats"), usage("u4", "5.00", "2026-02-16"),
    ]  # fmt: skip
    cli.post(*parties(), grant("K", "100.00", kind="commitment", expires_on="2026-02-28"))
    for document in [*documents[:late], *documents[late + 1 :], documents[late]]:
        cli.post(document)
        cli.ok("recognize", "--through", "2026-03")
    assert _summary(cli, 3, "revenue", "unbilled_receivable", "deferred_revenue") == {
        "2026-01": ("60.00", "0.00", "0.00"), "2026-02": ("11.00", "11.00", "0.00"), "2026-03": ("29.00", "-11.00", "0.00"),
    }  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(4)))[::3])
@pytest.mark.parametrize("estimated", [False, True])
def test_breakage_of_a_commitment_is_told_by_days_once_its_shortfall_was_billed(
    cli: Cli, order: tuple[int, ...], estimated: bool
) -> None:
    """1000, of which 20 % are not expected to be used: with 400 used 500 are earned, with 500 of 800 it is 625, with the bill 1000.

    Where 10 % are expected from 15 March on, 500 of 900 used earn 55.56 beyond use: 500 + 55.56 - 500 in March.
    """
    documents = [
        usage("u1", "400.00", "2026-02-10"), usage("u2", "100.00", "2026-03-10"),
        invoice("U", "2026-04-01", billed_usage("500.00")), invoice("S", "2026-07-02", shortfall("500.00")),
    ]  # fmt: skip
    if estimated:
        documents.append(estimate("E", "0.1", "2026-03-15", "K"))
    cli.post(
        *parties(),
        grant("K", "1000.00", kind="commitment", expires_on="2026-06-30", breakage="proportional", expected_breakage="0.2"),
    )  # fmt: skip
    for place in [*order, *range(4, len(documents))]:
        cli.post(documents[place])
        cli.ok("recognize", "--through", "2026-07")
    march, july = ("55.56", "444.44") if estimated else ("125.00", "375.00")
    assert _summary(cli, 7, "revenue", "deferred_revenue") == {
        "2026-02": ("500.00", "0.00"), "2026-03": (march, "0.00"), "2026-04": ("0.00", "0.00"), "2026-07": (july, "0.00"),
    }  # fmt: skip
    assert cli.report("standing") == []


def test_a_shortfalls_bill_credited_to_be_billed_again_leaves_what_it_covered(cli: Cli) -> None:
    """100 of shortfall cover 40 of tokens that came late: credited to be billed again, 40 were earned, and are to be billed."""
    cli.post(
        *parties(), COMMITMENT, invoice("S", "2026-01-31", shortfall("100.00")), usage("u", "40.00", "2026-01-10"),
        {"type": "credit_note", "id": "N", "invoice": "S", "date": "2026-02-01", "rebill": True,
         "lines": [{"line": "1", "amount": "100.00"}]},
    )  # fmt: skip
    assert _summary(cli, 2, "revenue", "unbilled_receivable", "accounts_receivable") == {
        "2026-01": ("100.00", "0.00", "100.00"), "2026-02": ("-60.00", "40.00", "-100.00"),
    }  # fmt: skip
    cli.post(invoice("T", "2026-02-02", shortfall("60.00"), billed_usage("40.00", line="2")))
    assert _left(cli) == "0.00"


_TERM = grant("K", "100.00", "2026-01-01", kind="commitment", expires_on="2026-03-31")
_TERM_WITH_USE = _TERM | {"breakage": "proportional", "expected_breakage": "0.5"}


@pytest.mark.parametrize(
    "order",
    [order for order in permutations(range(5)) if order.index(2) < order.index(3) < order.index(4)],
)
@pytest.mark.parametrize("how", ["void", "rebill"])
def test_a_shortfalls_bill_that_was_taken_back_and_billed_again_covers_late_usage_once(
    cli: Cli, how: str, order: tuple[int, ...]
) -> None:
    """30.00 and 20.00 used, 30.00 billed of it, 70.00 billed twice and taken back once: 20.00 of use and 50.00 of shortfall."""
    back = {"type": "invoice_void", "id": "V", "invoice": "S", "date": "2026-04-10", "reason": "wrong"}
    taken = back if how == "void" else credit_note("N", "2026-04-10", "70.00", invoice="S", rebill=True)
    documents = [
        usage("u", "30.00", "2026-01-10"), usage("v", "20.00", "2026-03-05"), invoice("S", "2026-04-01", shortfall("70.00")),
        taken, invoice("T", "2026-05-01", shortfall("70.00")),
    ]  # fmt: skip
    cli.post(*parties(), _TERM, invoice("I", "2026-01-31", billed_usage("30.00")))
    for place in order:
        cli.post(documents[place])
        cli.ok("verify")
    found = _summary(cli, 5, "revenue", "unbilled_receivable")
    assert {month: moved for month, moved in found.items() if moved != ("0.00", "0.00")} == {
        "2026-01": ("30.00", "0.00"), "2026-03": ("20.00", "20.00"), "2026-05": ("50.00", "-20.00"),
    }  # fmt: skip


@pytest.mark.parametrize("late", [True, False])
def test_what_was_credited_of_a_shortfall_is_not_billed_again_where_usage_comes_after(cli: Cli, late: bool) -> None:
    """50.00 of shortfall, 25.00 credited; 40.00 of use come late: 10.00 of the note are shortfall, 15.00 lower the use's revenue."""
    used = usage("v", "40.00", "2026-03-15")
    cli.post(*parties(), _TERM, usage("u", "50.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("50.00")))
    for document in [
        *([] if late else [used]), invoice("S", "2026-04-01", shortfall("50.00")), credit_note("N", "2026-04-10", "25.00", invoice="S"),
        *([used] if late else []),
    ]:  # fmt: skip
        cli.post(document)
    assert _summary(cli, 4, "revenue", "unbilled_receivable") == {
        "2026-01": ("50.00", "0.00"), "2026-03": ("40.00", "40.00"), "2026-04": ("-15.00", "-40.00"),
    }  # fmt: skip
    cli.ok("verify")
    cli.post(credit_note("M", "2026-04-20", "25.00", invoice="S"))  # all that is left of the bill
    assert _total(cli)["revenue"] == "50.00"
    cli.ok("verify")


@pytest.mark.parametrize("at", range(4))
def test_late_usage_of_a_shortfall_that_is_to_be_billed_again_in_part(cli: Cli, at: int) -> None:
    """70.00 billed cover 20.00 of use; 20.00 of its shortfall are credited to be billed again, and are."""
    documents = [
        invoice("S", "2026-04-01", shortfall("70.00")), credit_note("N", "2026-04-10", "20.00", invoice="S", rebill=True), usage("v", "20.00", "2026-03-05"),
        invoice("T", "2026-05-01", shortfall("20.00")),
    ]  # fmt: skip
    rest = [0, 1, 3]
    rest.insert(at, 2)
    cli.post(*parties(), _TERM, usage("u", "30.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("30.00")))
    for place in rest:
        cli.post(documents[place])
    assert _summary(cli, 5, "revenue", "unbilled_receivable") == {
        "2026-01": ("30.00", "0.00"), "2026-03": ("20.00", "20.00"), "2026-04": ("30.00", "-20.00"), "2026-05": ("20.00", "0.00"),
    }  # fmt: skip


@pytest.mark.parametrize("late", [0, 1, 2])
def test_late_usage_of_a_commitment_earned_with_use_whose_shortfall_was_billed_again(cli: Cli, late: int) -> None:
    """25.00 and 15.00 used, as much is earned with it: nothing of that is April's, where the shortfall was billed and taken back."""
    usages = [usage("u", "25.00", "2026-01-10"), usage("v", "15.00", "2026-03-10")]
    bills = [
        invoice("S", "2026-04-01", shortfall("75.00")),
        {"type": "invoice_void", "id": "V", "invoice": "S", "date": "2026-04-10", "reason": "wrong"},
        invoice("T", "2026-05-01", shortfall("75.00")),
    ]  # fmt: skip
    cli.post(*parties(), _TERM_WITH_USE, usages[0], invoice("I", "2026-01-31", billed_usage("25.00")))
    for document in [*bills[: late + 1], usages[1], *bills[late + 1 :]]:
        cli.post(document)
        cli.ok("recognize", "--through", "2026-05")
        cli.ok("verify")
    found = _summary(cli, 5, "revenue", "unbilled_receivable")
    assert {month: moved for month, moved in found.items() if moved != ("0.00", "0.00")} == {
        "2026-01": ("50.00", "25.00"), "2026-03": ("30.00", "30.00"), "2026-05": ("20.00", "-55.00"),
    }  # fmt: skip


def test_all_that_is_to_be_billed_of_a_commitment_is_less_what_is_billed_ahead(cli: Cli) -> None:
    cli.post(
        *parties(), _TERM, usage("u", "30.00", "2026-01-10"), usage("v", "20.00", "2026-01-10", product="seats"),
        invoice("I", "2026-01-31", billed_usage("40.00")),
    )  # fmt: skip
    assert (
        "expected at most 50.00, what is left of commitment K, or 60.00 with all that was used of it and is not billed"
        in cli.refuse(invoice("S", "2026-04-01", shortfall("70.00")))
    )
    cli.post(invoice("S", "2026-04-01", shortfall("60.00")))
    assert _total(cli) == {"accounts_receivable": "100.00", "revenue": "100.00"}


@pytest.mark.parametrize("late", [False, True])
def test_what_is_left_of_a_commitment_is_told_by_days(cli: Cli, late: bool) -> None:
    """30.00 used in January and 20.00 in March: 70.00, then 50.00 are left, until April, when 70.00 are billed: 20.00 of it cover use."""
    used = usage("v", "20.00", "2026-03-05")
    cli.post(*parties(), _TERM, usage("u", "30.00", "2026-01-10"), invoice("I", "2026-01-31", billed_usage("30.00")))
    documents = [used, invoice("S", "2026-04-01", shortfall("70.00"))]
    cli.post(*(reversed(documents) if late else documents))
    found = []
    for day in ("2026-02-28", "2026-03-31", "2026-04-30"):
        rows = cli.report("trial-balance", "--memorandum", "--as-of", day)
        (memo,) = (row for row in rows if row["role"] == "memo_commitments_outstanding")
        found.append(Decimal(memo["credit"] or memo["debit"] or 0))
    assert found == [70, 50, 0]
