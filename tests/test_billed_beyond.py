"""What is billed beyond a price goes back first; what lowered both the price and the bill before counts on neither side.

Whatever happened to a bill before, once its obligation is cut short a credit note of what is billed beyond what was given takes
nothing out of revenue, and leaves nothing. Figures by hand.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, parties, usage

Document = dict[str, Any]
YEAR = ("2026-01-01", "2026-12-31")


def _bill(amount: str) -> Document:
    return invoice("I", "2026-01-01", {"id": "1", "kind": "service", "obligation": "C/s", "amount": amount})


def _credit(ref: str, day: str, amount: str, line: str = "1", **period: str) -> Document:
    return {
        "type": "credit_note",
        "id": ref,
        "invoice": "I",
        "date": day,
        "lines": [{"line": line, "amount": amount, **period}],
    }


def _cancel(day: str) -> Document:
    return {
        "type": "contract_modification",
        "id": "C/m",
        "contract": "C",
        "date": day,
        "obligations": [],
        "cancel": ["C/s"],
    }


# (what was promised, what was billed, what happened, what is left to claim and was earned)
CASES: dict[str, tuple[Document, str, list[Document], str]] = {
    # 240.00 off: 80.00 a month; six months are 480.00, and 1,200.00 - 240.00 - 480.00 is beyond
    "a credit note": (
        obligation("C/s", "1200.00", *YEAR, pattern="monthly"), "1200.00",
        [_credit("N", "2026-03-01", "240.00"), _cancel("2026-07-01"), _credit("M", "2026-07-10", "480.00")], "480.00",
    ),
    # May is free; until the end of June 150 days of 1.00; 365.00 - 31.00 - 150.00
    "a credit note for a period": (
        obligation("C/s", "365.00", *YEAR), "365.00",
        [_credit("N", "2026-03-10", "31.00", start="2026-05-01", end="2026-05-31"), _cancel("2026-07-01"),
         _credit("M", "2026-07-10", "184.00")], "150.00",
    ),
    # 90.00 given, 200.00 of 275.00 given up; April is 75.00 x 30 / 275 = 8.18; 365.00 - 200.00 - 98.18
    "a write-off": (
        obligation("C/s", "365.00", *YEAR), "365.00",
        [{"type": "write_off", "id": "W", "invoice": "I", "date": "2026-04-01", "amount": "200.00", "reason": "x", "approved_by": "ann"},
         _cancel("2026-05-01"), _credit("M", "2026-05-15", "66.82")], "98.18",
    ),
    # 120.00 is expected back: the price is 1,080.00; of 150.00 credited 30.00 is more, and lowers it
    "an estimate": (
        obligation("C/s", "1200.00", *YEAR, pattern="monthly"), "1200.00",
        [{"type": "estimate", "id": "e", "contract": "C", "component": "returns", "date": "2026-01-01", "amount": "-120.00", "refund": True},
         _credit("N", "2026-07-10", "150.00")], "1050.00",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_beyond_goes_back_and_leaves_nothing(cli: Cli, case: str) -> None:
    promised, billed, happened, left = CASES[case]
    cli.post(*parties(), contract("C", "2026-01-01", promised), _bill(billed), *happened)
    _left(cli, left)


def _left(cli: Cli, amount: str) -> None:
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    totals = {row["role"]: row for row in cli.report("trial-balance")}
    assert totals["accounts_receivable"]["debit"] == totals["revenue"]["credit"] == amount
    stands = {
        role for role in ("deferred_revenue", "unbilled_receivable", "refund_liability", "customer_credits", "bad_debt")
        if totals.get(role, {}).get("debit", "0.00") != "0.00" or totals.get(role, {}).get("credit", "0.00") != "0.00"
    }  # fmt: skip
    assert stands == set()


def test_a_right_is_earned_with_what_it_is_part_of(cli: Cli) -> None:
    """900.00 by 900:100: seats 810.00, credits 90.00. After six months 405.00 is left of seats, and credited; 60 credits are 54.00."""
    free = {"kind": "promotional", "effective_on": "2026-01-01", "contract": "C"}
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/s", "900.00", *YEAR, pattern="monthly", ssp="900.00")),
        grant("b", "100.00") | free, _bill("900.00"), usage("u", "40.00", "2026-02-10"),
        {"type": "contract_termination", "id": "T", "contract": "C", "date": "2026-07-01", "reason": "x"},
        _credit("N", "2026-07-05", "405.00"), usage("v", "60.00", "2026-08-10"),
    )  # fmt: skip
    _left(cli, "495.00")


def test_a_line_beside_one_below_zero_is_credited_as_any_other(cli: Cli) -> None:
    """275.00 of 365.00 goes back, 550.00 is charged for the rest of the year; 10.00 of that is credited."""
    rest = {"kind": "service", "start": "2026-04-01", "end": "2026-12-31"}
    whole = {"id": "1", "kind": "service", "product": "seats", "start": YEAR[0], "end": YEAR[1], "amount": "365.00"}
    cli.post(
        *parties(), invoice("old", "2026-01-01", whole),
        invoice("I", "2026-04-01", rest | {"id": "1", "obligation": "old/1", "amount": "-275.00"},
                rest | {"id": "2", "product": "seats", "amount": "550.00"}),
        _credit("N", "2026-10-01", "10.00", "2"),
    )  # fmt: skip
    _left(cli, "630.00")


def _two() -> list[Document]:
    """100.00 each for January and February, sold together for 200.00."""
    months = ("2026-01-01", "2026-02-28")
    return [
        contract(
            "C", "2026-01-01", {"id": "C/a", "product": "seats", "ssp": "100.00", "start": months[0], "end": months[1], "pattern": "monthly"},
            {"id": "C/b", "product": "tokens", "ssp": "100.00", "start": months[0], "end": months[1], "pattern": "monthly"}, price="200.00",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("bills", [{"C/a": "200.00"}, {"C/a": "150.00", "C/b": "50.00"}])
def test_a_line_for_more_than_its_obligation_is_for_the_contract(cli: Cli, bills: dict[str, str]) -> None:
    """200.00 billed of 200.00, whichever lines say so: nothing is beyond, and 40.00 credited lowers the price to 160.00."""
    lines = [
        {"id": str(number), "kind": "service", "obligation": ref, "amount": amount}
        for number, (ref, amount) in enumerate(bills.items(), start=1)
    ]
    cli.post(*parties(), *_two(), invoice("I", "2026-01-01", *lines), _credit("N", "2026-02-10", "40.00"))
    _left(cli, "160.00")


def test_of_a_bill_of_the_whole_what_is_beyond_goes_back_whichever_part_it_is_of(cli: Cli) -> None:
    """One of two cancelled after January: 50.00 of it is beyond, and is credited of the line that billed both: 150.00 are earned."""
    cancelled = _cancel("2026-02-01") | {"cancel": ["C/b"]}
    whole = {"id": "1", "kind": "service", "contract": "C", "amount": "200.00"}
    cli.post(*parties(), *_two(), invoice("I", "2026-01-01", whole), cancelled, _credit("N", "2026-02-10", "50.00"))
    _left(cli, "150.00")
