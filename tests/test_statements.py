"""Statements of account, reminders, and how long a wallet lasts."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

from ledger.wallets.forecast import Lot, runs_out_on
from tests.conftest import Cli
from tests.samples import application, grant, invoice, one_time, parties, payment, prepaid, promotion, usage


def _books(cli: Cli) -> None:
    known, customer, *rest = parties()
    contacts = {"billing": "ap@globex.example", "account_executive": "ann@acme.example"}
    cli.post(
        known, customer | {"contacts": contacts}, *rest,
        invoice("A", "2026-01-01", one_time("100.00")),
        invoice("B", "2026-02-01", one_time("50.00")),
        payment("P", "120.00", "2026-02-10", ("A", "90.00")),
        application("X", "20.00", "2026-03-01", "B"),
        {"type": "credit_note", "id": "N", "invoice": "B", "date": "2026-03-05", "lines": [{"line": "1", "amount": "5.00"}]},
    )  # fmt: skip


def test_a_statement_ends_in_what_is_owed(cli: Cli) -> None:
    _books(cli)
    rows = cli.report("statement", "--customer", "globex")
    assert [(r["date"], r["document"], r["charged"], r["settled"], r["balance"]) for r in rows] == [
        ("2026-01-01", "invoice A", "100.00", "0.00", "100.00"),
        ("2026-02-01", "invoice B", "50.00", "0.00", "150.00"),
        ("2026-02-10", "payment P", "0.00", "120.00", "30.00"),
        ("2026-03-05", "credit_note N", "0.00", "5.00", "25.00"),
    ]
    held = {row["role"]: (row["debit"], row["credit"]) for row in cli.report("trial-balance")}
    assert held["accounts_receivable"] == ("35.00", "0.00")
    assert held["customer_balance"] == ("0.00", "10.00")
    later = cli.report("statement", "--from", "2026-02-05", "--as-of", "2026-02-28")
    assert [(r["document"], r["balance"]) for r in later] == [("brought forward", "150.00"), ("payment P", "30.00")]
    assert [r["balance"] for r in cli.report("statement", "--from", "2026-04-01")] == ["25.00"]


def test_a_statement_shows_what_went_back_of_what_was_paid(cli: Cli) -> None:
    """Of the 100.00 that paid I 40.00 are refunded, 60.00 lost and 10.00 of these won back; of J's 50.00, written off, 30.00 come in.

    I stays paid and nothing of J is due: each is charged and settled alike, and the balance stays.
    """
    cli.post(
        *parties(),
        invoice("I", "2026-02-02", one_time("100.00")), payment("P", "100.00", "2026-02-03", ("I", "100.00")),
        {"type": "refund", "id": "R", "payment": "P", "date": "2026-02-06", "amount": "40.00", "fee": "0.30"},
        {"type": "dispute", "id": "D", "payment": "P", "date": "2026-02-07", "amount": "60.00", "status": "opened", "fee": "15.00"},
        {"type": "dispute", "id": "L", "payment": "P", "date": "2026-02-08", "amount": "60.00", "status": "lost"},
        {"type": "dispute", "id": "B", "payment": "P", "date": "2026-02-09", "amount": "10.00", "status": "reinstated"},
        invoice("J", "2026-02-10", one_time("50.00")),
        {"type": "write_off", "id": "W", "invoice": "J", "date": "2026-02-11", "reason": "gone", "approved_by": "c"},
        {"type": "recovery", "id": "C", "write_off": "W", "date": "2026-02-12", "rail": "wire", "amount": "30.00"},
        payment("U", "20.00", "2026-02-13"),
        {"type": "refund", "id": "V", "payment": "U", "date": "2026-02-14", "amount": "5.00"},
    )  # fmt: skip
    rows = cli.report("statement", "--customer", "globex")
    assert [(r["document"], r["charged"], r["settled"], r["balance"]) for r in rows] == [
        ("invoice I", "100.00", "0.00", "100.00"),
        ("payment P", "0.00", "100.00", "0.00"),
        ("refund R", "40.00", "40.00", "0.00"),
        ("dispute L", "60.00", "60.00", "0.00"),
        ("dispute B", "10.00", "10.00", "0.00"),
        ("invoice J", "50.00", "0.00", "50.00"),
        ("write_off W", "0.00", "50.00", "0.00"),
        ("recovery C", "30.00", "30.00", "0.00"),
        ("payment U", "0.00", "20.00", "-20.00"),
        ("refund V", "5.00", "0.00", "-15.00"),
    ]
    later = cli.report("statement", "--from", "2026-02-08", "--as-of", "2026-02-08")
    assert [(r["document"], r["charged"]) for r in later] == [("dispute L", "60.00")]


def test_reminders_escalate_with_age(cli: Cli) -> None:
    _books(cli)
    rows = cli.report("dunning", "--as-of", "2026-02-20")
    assert [(r["invoice"], r["days_overdue"], r["due"], r["level"], r["escalate_to"], r["contact"]) for r in rows] == [
        ("A", 50, "10.00", 2, "account_executive", "ann@acme.example"),
        ("B", 19, "50.00", 1, "billing", "ap@globex.example"),
    ]
    assert [r["level"] for r in cli.report("dunning", "--as-of", "2026-04-30")] == [4, 3]
    assert cli.report("dunning", "--as-of", "2026-01-01") == []
    due = sum(float(r["due"]) for r in cli.report("dunning", "--as-of", "2026-04-30"))
    assert due == sum(float(r["due"]) for r in cli.report("ar-aging", "--as-of", "2026-04-30"))


def test_a_wallet_runs_out_at_the_current_rate(cli: Cli) -> None:
    """60 of 100 credits drawn in 30 days is 2.00 a day; 50 are left for 25 days, of which a promotion of 10 is lost."""
    cli.post(
        *parties(), grant("G", priority=1), promotion("F", "10.00", expires_on="2026-01-31"), grant("D", "20.00", price="10.00"),
        invoice("I", "2026-01-01", prepaid("100.00")), usage("old", "10.00", "2025-12-31"),
        usage("u", "40.00", "2026-01-10"), usage("v", "20.00", "2026-01-30"),
    )  # fmt: skip
    (row,) = cli.report("wallet-forecast", "--as-of", "2026-01-30")
    # all of it from G, by its priority
    assert (row["left"], row["used"], row["a_day"]) == ("70.00", "60.00", "2.00")
    # 31 January: 2 of F, whose other 8 are lost; 40 of G and 20 of D last 30 days more, until 2 March; 3 March finds nothing
    assert row["runs_out_on"] == "2026-03-03"
    (later,) = cli.report("wallet-forecast", "--as-of", "2026-06-30")
    assert (later["used"], later["runs_out_on"]) == ("0.00", None)


def test_the_day_credits_run_out() -> None:
    day = date(2026, 1, 1)
    assert runs_out_on([], Fraction(1), day) == date(2026, 1, 2)
    assert runs_out_on([Lot(10, day, None)], Fraction(1), day) == date(2026, 1, 12)
    assert runs_out_on([Lot(10, day, None)], Fraction(3), day) == date(2026, 1, 5)  # the fourth day finds one of three
    assert runs_out_on([Lot(10, day, date(2026, 1, 4)), Lot(1, day, None)], Fraction(1), day) == date(2026, 1, 6)
    assert runs_out_on([Lot(10, date(2026, 1, 3), None)], Fraction(1), day) == date(2026, 1, 2)
    assert runs_out_on([Lot(10, day, None)], Fraction(0), day) is None
    assert runs_out_on([Lot(10**6, day, None)], Fraction(1), day) is None
