"""Voids, credit notes, refunds, disputes, write-offs: Stripe's published figures, contra accounts netted where ours are.

Each case is run twice: all documents first and recognition after, and recognition in between. The books are the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, lines
from tests.samples import (
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    prepaid,
    service,
    usage,
)


def void(ref: str, invoice_ref: str, day: str) -> dict[str, Any]:
    return {"type": "invoice_void", "id": ref, "invoice": invoice_ref, "date": day, "reason": "meter was wrong"}


def credit(ref: str, invoice_ref: str, day: str, *amounts: tuple[str, str], **period: str) -> dict[str, Any]:
    lines = [{"line": line, "amount": amount, **period} for line, amount in amounts]
    return {"type": "credit_note", "id": ref, "invoice": invoice_ref, "date": day, "lines": lines}


def refund(ref: str, payment_ref: str, day: str, amount: str, **more: Any) -> dict[str, Any]:
    return {"type": "refund", "id": ref, "payment": payment_ref, "date": day, "amount": amount, **more}


def dispute(ref: str, day: str, amount: str, status: str, **more: Any) -> dict[str, Any]:
    return {"type": "dispute", "id": ref, "payment": "P", "date": day, "amount": amount, "status": status, **more}


def write_off(ref: str, invoice_ref: str, day: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "write_off", "id": ref, "invoice": invoice_ref, "date": day, "reason": "bankrupt",
        "approved_by": "controller", **more,
    }  # fmt: skip


def recovery(ref: str, day: str, amount: str) -> dict[str, Any]:
    return {"type": "recovery", "id": ref, "write_off": "W", "date": day, "rail": "wire", "amount": amount}


VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}
QUARTER = invoice("I", "2019-01-01", service("90.00", "2019-01-01", "2019-03-31"))
MONTH = invoice("I", "2019-01-15", service("31.00", "2019-01-15", "2019-02-14"))
PAID = payment("P", "90.00", "2019-01-01", ("I", "90.00"), rail="card")
JANUARY = {"accounts_receivable": "90.00", "revenue": "31.00", "deferred_revenue": "59.00"}
JANUARY_PAID = {"cash": "90.00", "revenue": "31.00", "deferred_revenue": "59.00"}

# (documents, expected by month)
CASES = {
    # Stripe: refunds, full and partial; the rest of the schedule is scaled to 90 %: 28 x 0.9 and 31 x 0.9
    "full refund": (
        [QUARTER, PAID, refund("R", "P", "2019-02-01", "90.00")],
        {"2019-01": JANUARY_PAID, "2019-02": {"cash": "-90.00", "refunds": "31.00", "deferred_revenue": "-59.00"}},
    ),
    "partial refund": (
        [QUARTER, PAID, refund("R", "P", "2019-02-01", "9.00")],
        {
            "2019-01": JANUARY_PAID,
            "2019-02": {"cash": "-9.00", "refunds": "3.10", "revenue": "25.20", "deferred_revenue": "-31.10"},
            "2019-03": {"revenue": "27.90", "deferred_revenue": "-27.90"},
        },
    ),
    # Stripe: void of an unpaid invoice, their Voids (17.00) booked against revenue
    "void": (
        [MONTH, void("V", "I", "2019-02-01")],
        {
            "2019-01": {"accounts_receivable": "31.00", "revenue": "17.00", "deferred_revenue": "14.00"},
            "2019-02": {"accounts_receivable": "-31.00", "revenue": "-17.00", "deferred_revenue": "-14.00"},
        },
    ),
    # Stripe: uncollectible; only the recognised 17 is a loss
    "write-off": (
        [MONTH, write_off("W", "I", "2019-02-01")],
        {
            "2019-01": {"accounts_receivable": "31.00", "revenue": "17.00", "deferred_revenue": "14.00"},
            "2019-02": {"accounts_receivable": "-31.00", "bad_debt": "17.00", "deferred_revenue": "-14.00"},
        },
    ),
    "write-off in mid-term, paid after all": (
        [QUARTER, write_off("W", "I", "2019-02-01"), recovery("RC", "2019-04-15", "31.00")],
        {
            "2019-01": JANUARY,
            "2019-02": {"accounts_receivable": "-90.00", "bad_debt": "31.00", "deferred_revenue": "-59.00"},
            "2019-04": {"cash": "31.00", "bad_debt": "-31.00"},
        },
    ),
    # Stripe: credit note of half an unpaid invoice; their CreditNotes (15.50) booked against revenue: 14.00 - 15.50
    "credit note": (
        [QUARTER, credit("CN", "I", "2019-02-01", ("1", "45.00"))],
        {
            "2019-01": JANUARY,
            "2019-02": {"accounts_receivable": "-45.00", "revenue": "-1.50", "deferred_revenue": "-43.50"},
            "2019-03": {"revenue": "15.50", "deferred_revenue": "-15.50"},
        },
    ),
    "credit note on a paid invoice": (
        [QUARTER, PAID, credit("CN", "I", "2019-02-01", ("1", "45.00"))],
        {
            "2019-01": JANUARY_PAID,
            "2019-02": {"customer_balance": "45.00", "revenue": "-1.50", "deferred_revenue": "-43.50"},
            "2019-03": {"revenue": "15.50", "deferred_revenue": "-15.50"},
        },
    ),
    "refund of what a credit note left": (
        [
            QUARTER, PAID, credit("CN", "I", "2019-02-01", ("1", "45.00")),
            refund("R", "P", "2019-02-03", "45.00"),
        ],
        {
            "2019-01": JANUARY_PAID,
            "2019-02": {"cash": "-45.00", "revenue": "-1.50", "deferred_revenue": "-43.50"},
            "2019-03": {"revenue": "15.50", "deferred_revenue": "-15.50"},
        },
    ),
    # 30.00 for the last ten days of April, credited for those days: a downgrade on 21 April
    "credit note for a period of its own": (
        [
            invoice("I", "2019-04-01", service("90.00", "2019-04-01", "2019-04-30")),
            credit("CN", "I", "2019-04-21", ("1", "30.00"), start="2019-04-21", end="2019-04-30"),
        ],
        {"2019-04": {"accounts_receivable": "60.00", "revenue": "60.00"}},
    ),
    # Stripe: a lost dispute on a delivered payment: Disputes 90, cash -90; the fee is ours to expense
    "dispute lost": (
        [
            invoice("I", "2019-01-01", one_time("90.00")), PAID,
            dispute("D1", "2019-02-01", "90.00", "opened", fee="15.00"), dispute("D2", "2019-03-05", "90.00", "lost"),
        ],
        {
            "2019-01": {"cash": "90.00", "revenue": "90.00"},
            "2019-02": {"cash": "-105.00", "disputed_funds": "90.00", "processing_fees": "15.00"},
            "2019-03": {"disputed_funds": "-90.00", "disputes": "90.00"},
        },
    ),
    "dispute won, the schedule runs on": (
        [QUARTER, PAID, dispute("D1", "2019-02-01", "90.00", "opened"), dispute("D2", "2019-03-05", "90.00", "won")],
        {
            "2019-01": JANUARY_PAID,
            "2019-02": {"cash": "-90.00", "disputed_funds": "90.00", "revenue": "28.00", "deferred_revenue": "-28.00"},
            "2019-03": {"cash": "90.00", "disputed_funds": "-90.00", "revenue": "31.00", "deferred_revenue": "-31.00"},
        },
    ),
    "dispute lost in mid-term": (
        [QUARTER, PAID, dispute("D1", "2019-01-20", "90.00", "opened"), dispute("D2", "2019-02-01", "90.00", "lost")],
        {
            "2019-01": {"disputed_funds": "90.00", "revenue": "31.00", "deferred_revenue": "59.00"},
            "2019-02": {"disputed_funds": "-90.00", "disputes": "31.00", "deferred_revenue": "-59.00"},
        },
    ),
    # a delivered invoice of 24.00 with 4.00 VAT, written off with relief, then half of it recovered
    "write-off with tax relief": (
        [
            VAT, invoice("I", "2019-01-10", one_time("20.00") | {"tax_codes": ["VAT"]}),
            write_off("W", "I", "2019-02-01"), recovery("RC", "2019-03-01", "12.00"),
        ],
        {
            "2019-01": {"accounts_receivable": "24.00", "revenue": "20.00", "tax_payable": "4.00"},
            "2019-02": {"accounts_receivable": "-24.00", "bad_debt": "20.00", "tax_payable": "-4.00"},
            "2019-03": {"cash": "12.00", "bad_debt": "-10.00", "tax_payable": "2.00"},
        },
    ),
    "credit note with tax": (
        [
            VAT, invoice("I", "2019-01-10", one_time("20.00") | {"tax_codes": ["VAT"]}),
            credit("CN", "I", "2019-01-20", ("1", "5.00")),
        ],
        {"2019-01": {"accounts_receivable": "18.00", "revenue": "15.00", "tax_payable": "3.00"}},
    ),
    "refund with tax": (
        [
            VAT, invoice("I", "2019-01-10", one_time("20.00") | {"tax_codes": ["VAT"]}),
            payment("P", "24.00", "2019-01-10", ("I", "24.00")), refund("R", "P", "2019-01-20", "12.00"),
        ],
        {"2019-01": {"cash": "12.00", "refunds": "10.00", "revenue": "20.00", "tax_payable": "2.00"}},
    ),
    "void of overage": (
        [
            usage("u", "60.00", "2019-01-05"), invoice("I", "2019-01-31", billed_usage("60.00")),
            void("V", "I", "2019-02-03"),
        ],
        {
            "2019-01": {"accounts_receivable": "60.00", "revenue": "60.00"},
            "2019-02": {"accounts_receivable": "-60.00", "unbilled_receivable": "60.00"},
        },
    ),
    "void of prepaid credits that were drawn on": (
        [
            grant("G", "100.00", "2019-01-01"), invoice("I", "2019-01-01", prepaid("100.00")),
            usage("u", "30.00", "2019-01-05"), void("V", "I", "2019-02-03"),
        ],
        {
            "2019-01": {"accounts_receivable": "100.00", "customer_credits": "70.00", "revenue": "30.00"},
            "2019-02": {"accounts_receivable": "-100.00", "customer_credits": "-70.00", "unbilled_receivable": "30.00"},
        },
    ),
    "contract credited": (
        [
            contract("c", "2019-01-01", obligation("c/s", "90.00", "2019-01-01", "2019-03-31")),
            invoice("I", "2019-01-01", {"id": "1", "kind": "service", "amount": "90.00", "obligation": "c/s"}),
            credit("CN", "I", "2019-02-01", ("1", "45.00")),
        ],
        {
            "2019-01": JANUARY,
            "2019-02": {"accounts_receivable": "-45.00", "revenue": "-1.50", "deferred_revenue": "-43.50"},
            "2019-03": {"revenue": "15.50", "deferred_revenue": "-15.50"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("recognised_between", [False, True])
def test_a_correction(cli: Cli, case: str, recognised_between: bool) -> None:
    documents, expected = CASES[case]
    cli.post(*parties())
    for document in documents if recognised_between else ():
        day = document.get("date") or document.get("issued_on") or document.get("signed_on") or "2019-01-01"
        month = "2018-12" if day < "2019-02" else f"2019-{int(day[5:7]) - 1:02d}"
        cli.ok("recognize", "--through", month)
        cli.post(document)
    if not recognised_between:
        cli.post(*documents)
    cli.ok("recognize", "--through", "2019-05")
    assert cli.summary() == expected
    assert "nothing was due" in cli.ok("recognize", "--through", "2019-05")
    assert "posted 0 documents" in cli.post(*documents)
    told = cli.ok("verify")
    assert "FAIL" not in told


def test_an_invoice_that_replaces_another(cli: Cli) -> None:
    wrong = invoice("I-1", "2019-01-31", billed_usage("60.00"), service("31.00", "2019-01-01", "2019-01-31", line="2"))
    right = invoice("I-2", "2019-02-03", billed_usage("50.00"), service("31.00", "2019-01-01", "2019-01-31", line="2"))
    cli.post(*parties(), usage("u", "60.00", "2019-01-05"), wrong)
    cli.ok("recognize", "--through", "2019-01")
    cli.post(right | {"supersedes": "I-1"})
    cli.ok("recognize", "--through", "2019-02")
    assert cli.summary() == {
        "2019-01": {"accounts_receivable": "91.00", "revenue": "91.00"},
        "2019-02": {"accounts_receivable": "-10.00", "unbilled_receivable": "10.00"},
    }
    assert [row["invoice"] for row in cli.report("ar-aging")] == ["I-2"]
    assert "invoice I-1" in cli.ok("trace", "I-2")
    cli.ok("verify")


def test_a_replacement_that_is_refused_leaves_the_old_invoice_alone(cli: Cli, tmp_path: Path) -> None:
    cli.post(*parties(), invoice("I-1", "2019-01-31", one_time("60.00")))
    bad = invoice("I-2", "2019-02-03", prepaid("1.00", "none"), supersedes="I-1")
    result = cli.run(
        "post",
        "--keep-going",
        "--rejects",
        str(tmp_path / "rejects"),
        "-",
        stdin=lines([bad, usage("u", "1.00", "2019-02-03")]),
    )
    assert "lines.0.grant = none: expected the id of a grant" in result.stderr
    cli.ok("recognize", "--through", "2019-02")
    assert cli.summary()["2019-01"] == {"accounts_receivable": "60.00", "revenue": "60.00"}
    assert cli.summary()["2019-02"] == {"revenue": "1.00", "unbilled_receivable": "1.00"}
    cli.post(payment("P", "60.00", "2019-02-04", ("I-1", "60.00")))
    refused = cli.refuse(invoice("I-3", "2019-02-05", one_time("1.00"), supersedes="I-1"))
    assert "supersedes = I-1: expected no money applied to it; 0.00 of 60.00 USD is due" in refused
    cli.ok("verify")


def test_the_net_of_a_full_refund_in_mid_month(cli: Cli) -> None:
    # Stripe's roll-forward: 60.00 for 60 days from 20 July, refunded 15 August: net revenue 12, then -12, nothing left
    cli.post(
        *parties(), invoice("I", "2020-07-10", service("60.00", "2020-07-20", "2020-09-17")),
        payment("P", "60.00", "2020-07-10", ("I", "60.00")), refund("R", "P", "2020-08-15", "60.00"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2020-10")
    summary = cli.summary()
    assert summary["2020-07"] == {"cash": "60.00", "deferred_revenue": "48.00", "revenue": "12.00"}
    august = summary["2020-08"]
    assert float(august.get("revenue", "0")) - float(august["refunds"]) == -12
    assert august["deferred_revenue"] == "-48.00"
    assert set(summary) == {"2020-07", "2020-08"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (void("V", "X", "2019-02-01"), "invoice = X: expected the id of an invoice posted before"),
        (void("V", "I", "2019-02-01"), "expected no money applied to it; 60.00 of 90.00 USD is due on 2019-02-01"),
        (void("V", "I", "2018-12-31"), "date = 2018-12-31: expected 2019-01-01, when invoice I was issued, or later"),
        (credit("CN", "I", "2019-02-01", ("1", "90.01")), "lines.0.amount = 90.01 USD: expected at most 90.00"),
        (credit("CN", "I", "2019-02-01", ("7", "1.00")), "lines.0.line = 7: expected a line of invoice I"),
        (credit("CN", "I", "2019-02-01", ("1", "1.00"), start="2019-02-01"), "expected both or neither"),
        (
            refund("R", "P", "2019-02-01", "30.01"),
            "amount = 30.01 USD: expected at most 30.00, what is left of payment P",
        ),
        (refund("R", "X", "2019-02-01", "1.00"), "payment = X: expected the id of a payment posted before"),
        (refund("R", "P", "2018-12-01", "1.00"), "date = 2018-12-01: expected 2019-01-02, when payment P came in"),
        (
            refund("R", "P", "2019-02-01", "1.00", invoice="J"),
            "expected an invoice of which payment P settles something that did not go back: it settles 30.00 of I",
        ),
        (dispute("D", "2019-02-01", "30.01", "opened"), "expected at most 30.00, what is left of payment P"),
        (
            dispute("D", "2019-02-01", "1.00", "lost"),
            "payment = P: expected one of which something is disputed on 2019-02-01, opened before",
        ),
        (write_off("W", "I", "2019-02-01", amount="60.01"), "expected at most 60.00, what is due of invoice I"),
        (write_off("W", "I", "2019-02-01", reason=""), "reason = "),
        (recovery("RC", "2019-02-01", "1.00"), "write_off = W: expected the id of a write-off posted before"),
    ],
)
def test_what_a_correction_can_not_do(cli: Cli, document: dict[str, Any], words: str) -> None:
    cli.post(
        *parties(),
        QUARTER,
        invoice("J", "2019-01-01", one_time("1.00")),
        payment("P", "30.00", "2019-01-02", ("I", "30.00")),
    )
    before = cli.summary()
    assert words in cli.refuse(document)
    assert cli.summary() == before


def test_nothing_is_taken_back_twice(cli: Cli) -> None:
    cli.post(*parties(), QUARTER, void("V", "I", "2019-02-01"))
    assert "is voided already" in cli.refuse(void("V2", "I", "2019-02-02"))
    assert "expected at most 0.00" in cli.refuse(credit("CN", "I", "2019-02-02", ("1", "0.01")))
    assert "expected something due of it" in cli.refuse(write_off("W", "I", "2019-02-02"))
    assert "what is due of invoice I" in cli.refuse(payment("P", "1.00", "2019-02-03", ("I", "1.00")))


def test_credits_of_a_line_sum_to_the_line(cli: Cli) -> None:
    line = one_time("10.00") | {"tax_codes": ["VAT"]}
    cli.post(*parties(), VAT, invoice("I", "2019-01-01", line))
    for number in range(3):
        cli.post(credit(f"CN{number}", "I", "2019-01-05", ("1", "3.33")))
    cli.post(credit("CN3", "I", "2019-01-05", ("1", "0.01")))
    cli.ok("recognize", "--through", "2019-01")
    assert cli.summary() == {}
    assert cli.report("tax")[0]["tax"] == "0.00"
    cli.ok("verify")


def test_an_invoice_takes_the_place_of_one_that_was_voided_already(cli: Cli) -> None:
    """Nothing is voided again: January has the bill and its void, February the new one; and only one takes its place."""
    cli.post(
        *parties(), invoice("I", "2026-01-05", one_time("10.00")),
        {"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-01-20", "reason": "wrong"},
        invoice("J", "2026-02-02", one_time("12.00"), supersedes="I"),
    )  # fmt: skip
    assert cli.summary() == {"2026-02": {"accounts_receivable": "12.00", "deferred_revenue": "12.00"}}
    assert json.loads(cli.ok("invoice", "J", "--format", "json"))["supersedes"] == "I"
    told = cli.refuse(invoice("K", "2026-02-03", one_time("12.00"), supersedes="I"))
    assert "supersedes = I: expected an invoice that none supersedes yet: J does" in told
    assert "all" in cli.ok("verify")


def test_a_line_may_name_its_obligation_s_product(cli: Cli) -> None:
    line = {"id": "1", "kind": "service", "amount": "40.00", "obligation": "c/o"}
    cli.post(*parties(), contract("c", "2026-01-01", obligation("c/o", "120.00", "2026-01-01", "2026-12-31")))
    cli.post(invoice("I", "2026-01-05", line | {"product": "seats"}), invoice("J", "2026-01-05", line))
    told = cli.refuse(invoice("K", "2026-01-05", line | {"product": "tokens"}))
    assert "lines.0.product = tokens: expected seats, what obligation c/o promises, or none" in told
    credit = line | {"amount": "-10.00", "obligation": "I/9"}
    assert "lines.0.obligation = I/9: expected the id of an obligation" in cli.refuse(
        invoice("K", "2026-01-05", credit)
    )
    assert cli.summary()["2026-01"]["deferred_revenue"] == "80.00"
    assert "all" in cli.ok("verify")


@pytest.mark.parametrize("amounts", [("100.00",), ("40.00", "60.00"), ("70.00", "30.00")])
def test_a_payment_gives_back_no_more_of_an_invoice_than_it_settled(cli: Cli, amounts: tuple[str, ...]) -> None:
    """P of 100 settled 40 of I, whose rest Q paid, and 60 of J: all of it goes back, at once or in two."""
    cli.post(
        *parties(), invoice("I", "2019-01-01", one_time("100.00")), invoice("J", "2019-01-01", one_time("60.00")),
        payment("P", "100.00", "2019-01-02", ("I", "40.00"), ("J", "60.00")), payment("Q", "60.00", "2019-01-02", ("I", "60.00")),
        *(refund(f"R{place}", "P", "2019-02-01", part) for place, part in enumerate(amounts)),
    )  # fmt: skip
    assert "expected at most 0.00, what is left of payment P" in cli.refuse(
        refund("R", "P", "2019-02-02", "1.00", invoice="I")
    )
    cli.post(refund("RQ", "Q", "2019-02-03", "60.00", invoice="I"))  # what Q paid of it is there still
    cli.ok("verify")
