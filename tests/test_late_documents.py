"""Documents that come late, in any order and in one file or several: the books are told by days. Figures by hand."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, lines
from tests.samples import contract, credit_note, grant, invoice, obligation, parties, payment, prepaid, usage

Document = dict[str, Any]
YEAR = ("2026-01-01", "2026-12-31")
SERVICE = contract("K", "2026-01-01", obligation("O", "1200.00", *YEAR))


def _bill(ref: str, day: str, amount: str, line: str = "1", **more: str) -> Document:
    return invoice(ref, day, {"id": line, "kind": "service", "obligation": "O", "amount": amount, **more})


def _write_off(invoice_: str, day: str, **more: str) -> Document:
    return {
        "type": "write_off",
        "id": f"W-{invoice_}",
        "invoice": invoice_,
        "date": day,
        "reason": "gone",
        "approved_by": "ann",
        **more,
    }


def _totals(cli: Cli, *roles: str) -> dict[str, Decimal]:
    """What all of it comes to, by role, once everything is recognised and the books hold."""
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    found = cli.totals()
    return {role: found.get(role, Decimal(0)) for role in roles}


def _estimate(ref: str, day: str, rate: str) -> Document:
    return {
        "type": "breakage_estimate",
        "id": ref,
        "customer": "globex",
        "grant": "G",
        "date": day,
        "expected_breakage": rate,
        "reason": "use",
    }


# 20 of 90: 2.22 of 10; by March 40 of 80: 10.00 of 20; 60: 15.00; by June 60 of 95: 3.16 of 5; 70: 3.68
_BROKEN = {
    "2026-01": "2.22",
    "2026-03": "7.78",
    "2026-05": "5.00",
    "2026-06": "-11.84",
    "2026-07": "0.52",
    "2026-12": "26.32",
}


@pytest.mark.parametrize("order", list(itertools.permutations(range(6)))[::47])
@pytest.mark.parametrize("between", [False, True], ids=["at once", "expired between"])
def test_breakage_counts_by_the_estimate_of_each_day(cli: Cli, order: tuple[int, ...], between: bool) -> None:
    late = [
        usage("U2", "20", "2026-03-10"), _estimate("E1", "2026-03-31", "0.20"),
        usage("U3", "20", "2026-05-10"), _estimate("E2", "2026-06-30", "0.05"),
        usage("U4", "10", "2026-07-10"), invoice("J", "2026-01-02", prepaid("100.00")),
    ]  # fmt: skip
    cli.post(
        *parties(), grant("G", "100.00", "2026-01-01", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.10"),
        usage("U1", "20", "2026-01-10"),
    )  # fmt: skip
    for number in order:
        cli.post(late[number])
        if between:
            cli.ok("recognize", "--through", "2026-12")
    assert cli.report("below-zero") == []
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    broken = {month: roles["breakage_revenue"] for month, roles in cli.summary().items() if "breakage_revenue" in roles}
    assert broken == _BROKEN


def test_late_usage_never_takes_breakage_back_before_it_was_earned(cli: Cli) -> None:
    """100 at 20 %: 56 of March came first (14.00), of which 50 went with their bill; January's 34 of 90 that are left: 8.50."""
    cli.post(
        *parties(), grant("G", "100.00", "2026-01-01", expires_on="2026-04-30", breakage="proportional", expected_breakage="0.20"),
        invoice("J", "2026-01-01", prepaid("100.00")), _write_off("J", "2026-03-31", amount="50.00"),
        {"type": "recovery", "id": "R", "write_off": "W-J", "date": "2026-04-10", "rail": "wire", "amount": "40.00"},
        usage("U3", "56", "2026-03-05"), usage("U1", "40", "2026-01-20"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-04")
    cli.ok("verify")
    assert cli.summary()["2026-01"]["breakage_revenue"] == "8.50"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize(
    ("bills", "of", "bad_debt", "revenue"),
    [
        # 182 of 365 days: I1 covers 600.00 of which 598.36 is given
        ((_bill("I1", "2026-01-01", "600.00"), _bill("I2", "2026-01-01", "600.00")), "I1", "598.36", "1198.36"),
        ((_bill("I1", "2026-01-01", "600.00"), _bill("I2", "2026-02-01", "600.00")), "I2", "0.00", "600.00"),
    ],
)
def test_what_a_bill_covers_is_told_by_the_bills_dates_and_ids(
    cli: Cli, bills: tuple[Document, Document], of: str, bad_debt: str, revenue: str, order: tuple[int, ...]
) -> None:
    documents = [*bills, _write_off(of, "2026-07-02")]
    if order.index(2) < order.index([doc["id"] for doc in bills].index(of)):
        pytest.skip("a bill is written off once it is there")
    cli.post(*parties(), SERVICE, *(documents[number] for number in order))
    assert _totals(cli, "bad_debt", "revenue") == {"bad_debt": Decimal(bad_debt), "revenue": Decimal(revenue)}


@pytest.mark.parametrize("files", [1, 2, 4])
def test_a_bill_that_follows_a_correction_counts_in_one_file_as_in_several(cli: Cli, files: int) -> None:
    """January's bill of 600 covers the first half year, February's what is to come: given up in July, it is no bad debt."""
    documents = [
        SERVICE,
        _bill("I1", "2026-02-01", "600.00"),
        _write_off("I1", "2026-07-02"),
        _bill("I0", "2026-01-01", "600.00"),
    ]
    cli.post(*parties())
    for start in range(0, 4, 4 // files):
        cli.post(*documents[start : start + 4 // files])
    assert _totals(cli, "bad_debt", "revenue") == {"bad_debt": Decimal(0), "revenue": Decimal(600)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_line_below_zero_corrects_the_latest_bill_by_date(cli: Cli, order: tuple[int, int]) -> None:
    """300 less of February's 600, whichever bill arrived first; January's can still be voided."""
    bills = [_bill("I1", "2026-01-01", "600.00"), _bill("I2", "2026-02-01", "600.00")]
    down = invoice(
        "I3", "2026-03-01", {"id": "1", "kind": "service", "obligation": "O", "amount": "-300.00"},
        {"id": "2", "kind": "service", "product": "seats", "amount": "300.00", "start": "2026-03-01", "end": "2026-03-31"},
    )  # fmt: skip
    cli.post(*parties(), SERVICE, *(bills[number] for number in order), down)
    assert "300.00, what is left of the line" in cli.refuse(
        {
            "type": "credit_note",
            "id": "N",
            "invoice": "I2",
            "date": "2026-04-01",
            "lines": [{"line": "1", "amount": "300.01"}],
        }
    )
    cli.post({"type": "invoice_void", "id": "V", "invoice": "I1", "date": "2026-04-01", "reason": "wrong"})
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")


def test_lines_below_zero_of_two_products_each_correct_their_own(cli: Cli) -> None:
    def line(number: str, product: str, amount: str, start: str) -> Document:
        return {
            "id": number,
            "kind": "service",
            "product": product,
            "amount": amount,
            "start": start,
            "end": "2026-12-31",
        }

    cli.post(
        *parties(), invoice("I1", "2026-01-01", line("1", "seats", "30.00", "2026-01-01"), line("2", "tokens", "30.00", "2026-01-01")),
        invoice("I2", "2026-07-01", line("1", "seats", "-15.00", "2026-07-01"), line("2", "tokens", "-15.00", "2026-07-01"),
                line("3", "seats", "100.00", "2026-07-01")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    # never both a liability and an asset of a product: 181 days of 365 of 30.00 are 14.88, 0.12 of each is left over for the rest
    assert all("unbilled_receivable" not in month for month in cli.summary().values())
    assert _totals(cli, "revenue")["revenue"] == Decimal("130.00")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_counts_only_once_it_is_due_corrects_then(cli: Cli, order: tuple[int, int]) -> None:
    """Unconditional receivables: the bill counts on 1 March, the one below zero on 15 May, the write-off between the two."""
    below = invoice(
        "I2", "2026-01-15", {"id": "1", "kind": "service", "obligation": "O", "amount": "-300.00"},
        {"id": "2", "kind": "service", "obligation": "O", "amount": "400.00"}, due_on="2026-05-15",
    )  # fmt: skip
    documents = [_write_off("I1", "2026-04-01", amount="600.00"), below]
    cli.post(
        *parties(), SERVICE | {"receivable": "unconditional"},
        invoice("I1", "2026-01-01", {"id": "1", "kind": "service", "obligation": "O", "amount": "1200.00"}, due_on="2026-03-01"),
        *(documents[number] for number in order),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    # April: 90 of 365 days are 295.89; 600.00 of 904.11 that are to come are given up, and 304.11 x 30 / 275 = 33.18
    assert cli.summary()["2026-04"]["revenue"] == "33.18"


def test_a_shortfalls_bill_is_taken_back_by_the_product_it_covered(cli: Cli) -> None:
    """100 of shortfall, 40 of it tokens that came late; 10 of seats came after the term: voided, 40 and 10 are to be billed."""
    cli.post(
        *parties(), grant("G", "100.00", "2026-01-01", kind="commitment", expires_on="2026-01-31"),
        invoice("I", "2026-01-31", {"id": "1", "kind": "shortfall", "grant": "G", "product": "tokens", "amount": "100.00"}),
        usage("U1", "40", "2026-01-10"), usage("U2", "10", "2026-03-05", product="seats"),
        {"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-04-02", "reason": "wrong"},
    )  # fmt: skip
    assert _totals(cli, "revenue", "unbilled_receivable") == {
        "revenue": Decimal(50),
        "unbilled_receivable": Decimal(50),
    }
    cli.post(
        invoice("J", "2026-04-03", {"id": "1", "kind": "usage", "product": "tokens", "amount": "40.00"},
                {"id": "2", "kind": "usage", "product": "seats", "amount": "10.00"})
    )  # fmt: skip
    assert _totals(cli, "unbilled_receivable", "deferred_revenue") == {
        "unbilled_receivable": Decimal(0),
        "deferred_revenue": Decimal(0),
    }


def test_an_obligations_id_is_its_customers_whatever_made_it(cli: Cli) -> None:
    """One that stands with another entity, and one of a line of an invoice that has not come yet."""
    cli.post(
        *parties(), {"type": "entity", "id": "eu", "name": "Acme EU", "currency": "USD"},
        contract("K", "2026-01-01", obligation("I1/1", "1200.00", *YEAR)),
    )  # fmt: skip
    other = contract("K2", "2026-01-01", obligation("I1/1", "1200.00", *YEAR), entity="eu")
    assert "obligations.0.id = I1/1: an obligation of globex has this id already" in cli.refuse(other)
    line = {
        "id": "1",
        "kind": "service",
        "product": "seats",
        "amount": "31.00",
        "start": "2026-01-01",
        "end": "2026-01-31",
    }
    assert "lines.0.id = I1/1: an obligation of globex has this id already" in cli.refuse(
        invoice("I1", "2026-01-01", line)
    )


def test_progress_of_an_obligation_of_several_customers_names_its_contract(cli: Cli) -> None:
    build = {"id": "O", "product": "seats", "price": "100.00", "start": "2026-01-01", "pattern": "progress"}
    cli.post(
        *parties(), {"type": "customer", "id": "acme", "name": "Acme"}, contract("K", "2026-01-01", build),
        contract("K2", "2026-01-01", build, customer="acme"),
    )  # fmt: skip
    said = {"type": "progress", "id": "p", "obligation": "O", "date": "2026-02-01", "percent": "60"}
    assert "contract = missing: expected one of K, K2: each has an obligation O" in cli.refuse(said)
    assert "expected the id of an obligation of contract X" in cli.refuse(said | {"contract": "X"})
    cli.post(said | {"contract": "K2"}, said | {"id": "p2", "contract": "K", "percent": "20"})
    assert _totals(cli, "revenue")["revenue"] == Decimal(80)


def test_refused_usage_leaves_credits_expired_as_they_were(cli: Cli, tmp_path: Path) -> None:
    """30 of 100 used, 70 expired: 80 more of January are refused beside a note that is not, and nothing of it is left."""
    cli.post(
        *parties(), {"type": "customer", "id": "acme", "name": "Acme", "overage": "refuse"},
        grant("G", "100.00", expires_on="2026-01-31", breakage="proportional", expected_breakage="0.10", customer="acme"),
        invoice("J", "2026-01-02", prepaid("100.00"), customer="acme"), usage("U", "30", "2026-01-10", customer="acme"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    refused = cli.run(
        "post",
        "--keep-going",
        "--rejects",
        str(tmp_path / "rejects"),
        "-",
        stdin=lines([usage("V", "80", "2026-01-20", customer="acme"), usage("X", "1", "2026-01-20")]),
    )
    assert "expected at most 70.00 USD of usage" in refused.stderr
    assert _totals(cli, "revenue", "breakage_revenue", "customer_credits") == {
        "revenue": Decimal(31), "breakage_revenue": Decimal(70), "customer_credits": Decimal(0)
    }  # fmt: skip


def test_a_period_that_was_never_promised_can_not_be_credited(cli: Cli) -> None:
    cli.post(*parties(), SERVICE, _bill("I1", "2026-01-01", "1200.00"))
    note = {"type": "credit_note", "id": "N", "invoice": "I1", "date": "2026-03-01"}
    outside = note | {"lines": [{"line": "1", "amount": "31.00", "start": "2027-01-01", "end": "2027-01-31"}]}
    assert (
        "lines.0.start = 2027-01-01: expected a period of what line 1 is for, 2026-01-01 to 2026-12-31"
        in cli.refuse(outside)
    )
    ended = {"type": "contract_termination", "id": "T", "contract": "K", "date": "2026-07-01", "reason": "moved"}
    after = note | {
        "date": "2026-07-02",
        "lines": [{"line": "1", "amount": "31.00", "start": "2026-08-01", "end": "2026-08-31"}],
    }
    cli.post(ended, after)  # it was promised until then
    cli.ok("verify")


def test_messages_say_what_took_it(cli: Cli) -> None:
    """What is not due, or not left of a line, names the documents that took it."""
    note = {
        "type": "credit_note",
        "id": "N",
        "invoice": "I1",
        "date": "2026-03-01",
        "lines": [{"line": "1", "amount": "1000.00"}],
    }
    paid = payment("P", "300.00", "2026-02-01", ("I1", "300.00"))
    cli.post(*parties(), SERVICE, _bill("I1", "2026-01-01", "1200.00"), note)
    assert (
        "expected at most 200.00, what is due of invoice I1 on 2026-02-01, as credit_note N takes 1000.00 on 2026-03-01"
        in cli.refuse(paid)
    )
    assert "what is left of the line: credit_note N took 1000.00" in cli.refuse(note | {"id": "N2"})
    cli.post(payment("Q", "200.00", "2026-03-02", ("I1", "200.00")))
    opened = {
        "type": "dispute",
        "id": "D",
        "payment": "Q",
        "date": "2026-03-03",
        "amount": "200.00",
        "status": "opened",
    }
    won = opened | {"id": "D2", "date": "2026-03-09", "status": "won"}
    assert "payment = Q: expected one of which something is disputed on 2026-03-09, opened before" in cli.refuse(won)
    cli.post(opened, won)
    assert "disputed on 2026-03-10: D was opened on 2026-03-03, D2 was won on 2026-03-09" in cli.refuse(
        won | {"id": "D3", "date": "2026-03-10", "status": "lost"}
    )


@pytest.mark.parametrize(
    "late",
    [
        {"type": "credit_note", "invoice": "I1", "lines": [{"line": "1", "amount": "1.00"}]},
        {"type": "write_off", "invoice": "I1", "amount": "1.00", "reason": "gone", "approved_by": "ann"},
        {"type": "refund", "payment": "P", "amount": "1.00"},
        {"type": "contract_termination", "contract": "K", "reason": "moved"},
        {"type": "consideration_payable", "contract": "K", "amount": "1.00", "reason": "shelf"},
        {"type": "contract_cost", "contract": "K", "amount": "1.00", "end": "2026-12-31"},
        {"type": "breakage_estimate", "customer": "globex", "grant": "G", "expected_breakage": "0.20", "reason": "use"},
        {"type": "grant_return", "customer": "globex", "grant": "G", "reason": "left"},
    ],
    ids=lambda doc: doc["type"],
)
def test_refuse_late_refuses_what_names_an_entity_by_something_else(cli: Cli, late: Document) -> None:
    """The entity is the contract's, the invoice's, the payment's or the grant's; without the option they count in the open month."""
    credits_ = grant("G", "10.00", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.10")
    cli.post(
        *parties(), SERVICE, _bill("I1", "2026-01-01", "1200.00"), payment("P", "10.00", "2026-01-02", ("I1", "10.00")), credits_,
        invoice("J", "2026-01-02", prepaid("10.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    for month in ("2026-01", "2026-02"):
        cli.ok("close", month)
    doc = {"id": "X", "date": "2026-02-10", **late}
    told = cli.refused("post", "--refuse-late", "-", stdin=lines([doc]))
    assert "date = 2026-02-10: the books of us are closed through 2026-02-28" in told
    cli.post(doc)
    cli.ok("verify")


def test_who_posts_a_write_off_has_not_approved_it(cli: Cli) -> None:
    cli.post(*parties(), SERVICE, _bill("I1", "2026-01-01", "1200.00"))
    told = cli.refuse(_write_off("I1", "2026-02-01") | {"approved_by": "Tester"})
    assert "approved_by = Tester: expected somebody else than who posts it, tester" in told


def test_the_checklist_of_an_entity_waits_for_its_own_entries(cli: Cli) -> None:
    cli.post(
        *parties(),
        {"type": "entity", "id": "eu", "name": "Acme EU", "currency": "USD"},
        SERVICE,
        _bill("I1", "2026-01-01", "1200.00"),
    )
    assert "revenue is recognised: entries due: 1" in cli.run("close", "2026-01", "--check", "--entity", "us").output
    assert "entries due" not in cli.run("close", "2026-01", "--check", "--entity", "eu").output


def test_a_name_is_not_empty(cli: Cli) -> None:
    assert "name = " in cli.refuse({"type": "customer", "id": "x", "name": ""})


def test_usage_may_fall_before_the_credits_that_it_gives_back(cli: Cli) -> None:
    """40 used in February, which broke for 10.00 at 20 %; a fall of 20 of January gives these back: 20 of 80 break for 5.00."""
    cli.post(
        *parties(), grant("G", "100.00", "2026-02-01", expires_on="2026-12-31", breakage="proportional", expected_breakage="0.20"),
        invoice("J", "2026-02-01", prepaid("100.00")), usage("U", "40", "2026-02-10"),
    )  # fmt: skip
    fall = {
        name: value for name, value in usage("V", "20", "2026-01-10").items() if name not in ("quantity", "unit_price")
    }
    cli.post(fall | {"amount": "-20.00"})
    cli.ok("recognize", "--through", "2026-03")
    cli.ok("verify")
    assert _broken(cli) == Decimal("5.00")


def _broken(cli: Cli) -> Decimal:
    return sum((Decimal(month.get("breakage_revenue", "0")) for month in cli.summary().values()), Decimal(0))


def _recovered(ref: str, day: str, amount: str) -> Document:
    return {"type": "recovery", "id": ref, "write_off": "W-I", "date": day, "rail": "wire", "amount": amount}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("whole", [False, True], ids=["lines", "contract"])
@pytest.mark.parametrize("between", [False, True], ids=["at once", "recognised"])
def test_recoveries_put_back_bad_debt_first_of_all_lines(
    cli: Cli, whole: bool, between: bool, order: tuple[int, ...]
) -> None:
    """600 given and 10 months of 40, billed and written off in April: 600 + 120 are bad debt, 280 to come.

    Of 300 in May all is bad debt; of 400 and 300 on one day of June 420 are, and 280 to come: 120 of them given by then.
    """
    billed = (
        [{"id": "1", "kind": "service", "contract": "K", "amount": "1000.00"}]
        if whole
        else [
            {"id": "1", "kind": "service", "obligation": "A", "amount": "600.00"},
            {"id": "2", "kind": "service", "obligation": "B", "amount": "400.00"},
        ]
    )
    given = {"id": "A", "product": "tokens", "start": "2026-01-10", "pattern": "point_in_time", "price": "600.00"}
    cli.post(
        *parties(),
        contract("K", "2026-01-01", given, obligation("B", "400.00", "2026-01-01", "2026-10-31", pattern="monthly")),
        invoice("I", "2026-01-05", *billed), _write_off("I", "2026-04-01"),
    )  # fmt: skip
    recoveries = [_recovered("R1", "2026-05-10", "300.00"), _recovered("R2", "2026-06-10", "400.00"),
                  _recovered("R3", "2026-06-10", "300.00")]  # fmt: skip
    for place in order:
        cli.post(recoveries[place])
        if between:
            cli.ok("recognize", "--through", "2026-06")
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("verify")
    found = cli.summary()
    assert [found[f"2026-0{month}"].get("bad_debt", "0.00") for month in (4, 5, 6)] == ["720.00", "-300.00", "-420.00"]
    assert [found[f"2026-0{month}"].get("revenue", "0.00") for month in (4, 5, 6)] == ["0.00", "0.00", "120.00"]
    assert found["2026-06"]["deferred_revenue"] == "160.00"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_recoveries_of_services_usage_and_credits_are_split_by_their_days(cli: Cli, order: tuple[int, ...]) -> None:
    """Written off in April: of 400 for ten months 120, of usage 100, of 200 of credits 50 used: 270 bad debt, 430 to come.

    150 in May: bad debt. 200 in June: 120 bad debt, and 80 of 430 to come. 350 in July: to come.
    """
    cli.post(
        *parties(), grant("G", "200.00", products=["tokens"]), usage("U", "50.00", "2026-01-10"),
        contract("K", "2026-01-01", obligation("B", "400.00", "2026-01-01", "2026-10-31", pattern="monthly")),
        usage("V", "100.00", "2026-01-11", product="seats"),
        invoice("I", "2026-01-31", {"id": "1", "kind": "service", "obligation": "B", "amount": "400.00"},
                {"id": "2", "kind": "usage", "product": "seats", "amount": "100.00"}, prepaid("200.00", line="3")),
        _write_off("I", "2026-04-01"),
    )  # fmt: skip
    recoveries = [_recovered("R1", "2026-05-10", "150.00"), _recovered("R2", "2026-06-10", "200.00"),
                  _recovered("R3", "2026-07-10", "350.00")]  # fmt: skip
    for place in order:
        cli.post(recoveries[place])
        cli.ok("verify")
    cli.ok("recognize", "--through", "2026-07")
    cli.ok("verify")
    found = cli.summary()
    bad_debt = [found[f"2026-0{month}"].get("bad_debt", "0.00") for month in (4, 5, 6, 7)]
    assert bad_debt == ["270.00", "-150.00", "-120.00", "0.00"]
    # of 80 in June, 280/430 are of the service, 52.09: three of its seven months are given, 22.32 (52.09 x 120 / 280)
    assert found["2026-06"]["revenue"] == "22.32"


# 1200 for the year, billed and not paid; from February 120 are expected to be given back: 100, 80 and four times 90 by June
_EXPECTED = (
    {"type": "estimate", "id": "E", "contract": "K", "component": "rebate", "date": "2026-02-01", "method": "most_likely",
     "refund": True, "scenarios": [{"amount": "-120.00", "probability": "1"}]},
    _bill("I", "2026-01-05", "1200.00"),
)  # fmt: skip
_MONTHLY = contract("K", "2026-01-01", obligation("O", "1200.00", *YEAR, pattern="monthly"))


@pytest.mark.parametrize("late", range(3))
def test_what_was_expected_to_be_given_back_of_a_bill_written_off_was_never_lost(cli: Cli, late: int) -> None:
    """540 were given by July: so much is bad debt. 120 were expected back, 540 are to come."""
    documents = [*_EXPECTED, _write_off("I", "2026-07-01")]
    cli.post(*parties(), _MONTHLY)
    for document in [*documents[:late], *documents[late + 1 :], documents[late]] if late != 1 else documents:
        cli.post(document)
        cli.ok("recognize", "--through", "2026-07")
    assert cli.summary()["2026-07"] == {
        "accounts_receivable": "-1200.00", "bad_debt": "540.00", "deferred_revenue": "-540.00", "refund_liability": "-120.00",
    }  # fmt: skip
    assert _totals(cli, "deferred_revenue", "refund_liability", "unbilled_receivable", "revenue", "bad_debt") == {
        "deferred_revenue": Decimal(0), "refund_liability": Decimal(0), "unbilled_receivable": Decimal(0),
        "revenue": Decimal(540), "bad_debt": Decimal(540),
    }  # fmt: skip


@pytest.mark.parametrize("undone", ["recovery", "billed again"])
def test_what_is_expected_to_be_given_back_stands_again_with_its_bill(cli: Cli, undone: str) -> None:
    """Written off and recovered, or voided and billed again: 120 are expected back of it as before."""
    cli.post(*parties(), _MONTHLY, *_EXPECTED)
    cli.ok("recognize", "--through", "2026-06")
    if undone == "recovery":
        cli.post(_write_off("I", "2026-07-01"))
        cli.ok("recognize", "--through", "2026-07")
        cli.post(_recovered("R", "2026-08-01", "1200.00"))
    else:
        cli.post({"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-07-01", "reason": "wrong"})
        cli.ok("recognize", "--through", "2026-07")
        cli.post(_bill("J", "2026-08-01", "1200.00"))
    assert _totals(cli, "deferred_revenue", "refund_liability", "revenue", "bad_debt") == {
        "deferred_revenue": Decimal(0), "refund_liability": Decimal(120), "revenue": Decimal(1080), "bad_debt": Decimal(0),
    }  # fmt: skip


@pytest.mark.parametrize("amounts", [("180.00",), ("120.00", "60.00"), ("90.00", "90.00")])
def test_a_refund_beyond_what_was_expected_is_of_the_price(cli: Cli, amounts: tuple[str, ...]) -> None:
    """180 of 1200 go back on 1 May: 120 were expected, of 60 more 60 x 360 / 1080 = 20 are given, and 40 to come."""
    cli.post(*parties(), _MONTHLY, *_EXPECTED, payment("P", "1200.00", "2026-01-20", ("I", "1200.00")))
    cli.ok("recognize", "--through", "2026-04")
    for number, amount in enumerate(amounts):
        cli.post({"type": "refund", "id": f"R{number}", "payment": "P", "date": "2026-05-01", "amount": amount})
    cli.ok("recognize", "--through", "2026-05")
    may = cli.summary()["2026-05"]
    assert (may["refunds"], may["refund_liability"], may["revenue"]) == ("20.00", "-120.00", "90.00")


@pytest.mark.parametrize("late", [False, True])
def test_a_credit_note_leaves_what_else_is_expected_whenever_its_refund_came(cli: Cli, late: bool) -> None:
    """Of 120 expected back a note gives 100, and a refund pays them out: 20 are still expected."""
    note = {
        "type": "credit_note",
        "id": "N",
        "invoice": "I",
        "date": "2026-04-10",
        "lines": [{"line": "1", "amount": "100.00"}],
    }
    refund = {"type": "refund", "id": "R", "payment": "P", "date": "2026-05-01", "amount": "100.00"}
    cli.post(*parties(), _MONTHLY, *_EXPECTED, payment("P", "1200.00", "2026-01-20", ("I", "1200.00")))
    for document in (refund, note) if late else (note, refund):
        cli.post(document)
        cli.ok("recognize", "--through", "2026-06")
    assert _totals(cli, "deferred_revenue", "refund_liability", "refunds", "customer_balance", "revenue") == {
        "deferred_revenue": Decimal(0), "refund_liability": Decimal(20), "refunds": Decimal(0), "customer_balance": Decimal(0),
        "revenue": Decimal(1080),
    }  # fmt: skip


def test_a_usage_bill_written_off_takes_its_rebate_with_it(cli: Cli) -> None:
    """1000 used and billed, 50 expected back: 950 are bad debt."""
    usage_term = {"id": "O", "product": "tokens", "start": "2026-01-01", "end": "2026-12-31", "pattern": "usage"}
    expected = _EXPECTED[0] | {
        "date": "2026-01-31",
        "obligations": ["O"],
        "scenarios": [{"amount": "-50.00", "probability": "1"}],
    }
    cli.post(
        *parties(), contract("K", "2026-01-01", usage_term), usage("U", "1000", "2026-01-10"), expected,
        invoice("I", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "1000.00"}),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    cli.post(_write_off("I", "2026-03-01"))
    assert _totals(cli, "revenue", "bad_debt", "refund_liability", "deferred_revenue") == {
        "revenue": Decimal(950), "bad_debt": Decimal(950), "refund_liability": Decimal(0), "deferred_revenue": Decimal(0),
    }  # fmt: skip


@pytest.mark.parametrize("late", [False, True])
def test_what_was_billed_ahead_of_use_and_recovered_is_to_come_again(cli: Cli, late: bool) -> None:
    """360 used of 400 billed; of 150 written off 40 were ahead of use, and 110 bad debt; recovered, 40 are ahead again."""
    used = usage("U2", "60", "2026-01-20")
    cli.post(
        *parties(), usage("U1", "300", "2026-01-10"),
        invoice("I", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "400.00"}),
        *([] if late else [used]), _write_off("I", "2026-02-05", amount="150.00"), *([used] if late else []),
    )  # fmt: skip
    cli.post(_recovered("R", "2026-03-05", "100.00"), _recovered("S", "2026-03-06", "50.00"))
    assert _totals(cli, "bad_debt", "deferred_revenue", "revenue") == {
        "bad_debt": Decimal(0), "deferred_revenue": Decimal(40), "revenue": Decimal(360),
    }  # fmt: skip
    assert cli.summary()["2026-02"]["bad_debt"] == "110.00"
    assert cli.summary()["2026-03"]["bad_debt"] == "-110.00"


@pytest.mark.parametrize("between", [False, True])
def test_a_line_gives_a_rebate_on_usage_whether_it_was_recognised_or_not(cli: Cli, between: bool) -> None:
    """50 are expected back of 1000 that were used and billed; a line of -50 gives them."""
    usage_term = {"id": "O", "product": "tokens", "start": "2026-01-01", "end": "2026-12-31", "pattern": "usage"}
    expected = _EXPECTED[0] | {
        "date": "2026-01-31",
        "obligations": ["O"],
        "scenarios": [{"amount": "-50.00", "probability": "1"}],
    }
    rebate = {"id": "2", "kind": "service", "obligation": "O", "amount": "-50.00"}
    seats = {"id": "1", "kind": "one_time", "product": "seats", "amount": "400.00"}
    cli.post(
        *parties(), contract("K", "2026-01-01", usage_term), usage("U", "1000", "2026-01-10"),
        invoice("I", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "1000.00"}), expected,
    )  # fmt: skip
    if between:
        cli.ok("recognize", "--through", "2026-02")
    cli.post(invoice("R", "2026-03-31", seats, rebate))
    assert _totals(cli, "revenue", "refund_liability", "accounts_receivable", "deferred_revenue") == {
        "revenue": Decimal(1350), "refund_liability": Decimal(0), "accounts_receivable": Decimal(1350), "deferred_revenue": Decimal(0),
    }  # fmt: skip
    much = {"id": "1", "kind": "one_time", "product": "seats", "amount": "2000.00"}
    assert "expected at most 950.00 taken back" in cli.refuse(
        invoice("R3", "2026-04-30", much, rebate | {"amount": "-950.01"})
    )


@pytest.mark.parametrize("taken", ["credited", "voided", "billed again"])
@pytest.mark.parametrize("late", [False, True])
def test_usage_before_an_expiry_was_none_of_what_broke_whatever_became_of_the_bill(
    cli: Cli, taken: str, late: bool
) -> None:
    """300 of 1000 used in March: 700 break in June; 200 credited in August are of those, and a void leaves 300 to bill."""
    used = usage("U", "300", "2026-03-01")
    void = {"type": "invoice_void", "id": "V", "invoice": "I", "date": "2026-08-05", "reason": "wrong"}
    then = {
        "credited": [{"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-08-05",
                      "lines": [{"line": "1", "amount": "200.00"}]}],
        "voided": [void],
        "billed again": [void, invoice("J", "2026-08-06", prepaid("1000.00"))],
    }[taken]  # fmt: skip
    cli.post(
        *parties(), grant("G", "1000.00", "2026-01-01", expires_on="2026-06-30"),
        invoice("I", "2026-01-01", prepaid("1000.00")), *([] if late else [used]),
    )  # fmt: skip
    for document in [*then, *([used] if late else [])]:
        cli.ok("recognize", "--through", "2026-09")
        cli.post(document)
    cli.ok("recognize", "--through", "2026-09")
    cli.ok("verify")
    found = cli.summary()
    broken = {"credited": "-200.00", "voided": "-700.00", "billed again": "0.00"}[taken]
    assert (found["2026-03"]["revenue"], found["2026-06"]["breakage_revenue"]) == ("300.00", "700.00")
    august = found.get("2026-08", {})
    assert august.get("breakage_revenue", "0.00") == broken
    assert august.get("unbilled_receivable", "0.00") == ("300.00" if taken == "voided" else "0.00")


def test_a_credit_of_credits_that_expired_takes_breakage_first_where_it_was_earned_with_use_too(cli: Cli) -> None:
    """600 of 1000 used, 400 broke: of 500 credited 400 were breakage, and 100 a lower price of what was used."""
    cli.post(
        *parties(), grant("G", "1000.00", "2026-01-01", expires_on="2026-06-30", breakage="proportional", expected_breakage="0.2"),
        invoice("I", "2026-01-01", prepaid("1000.00")), usage("U1", "400", "2026-02-01"), usage("U2", "200", "2026-05-01"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-07")
    for number, value in enumerate(("300.00", "200.00")):
        cli.post(
            {
                "type": "credit_note",
                "id": f"N{number}",
                "invoice": "I",
                "date": "2026-08-10",
                "lines": [{"line": "1", "amount": value}],
            }
        )
    august = cli.summary()["2026-08"]
    assert (august["breakage_revenue"], august["revenue"]) == ("-400.00", "-100.00")
    cli.ok("verify")


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_a_contract_in_its_notice_may_end_sooner(cli: Cli, order: tuple[int, ...]) -> None:
    """Notice given in July for the end of September; ended on 1 August all the same: 7 months of 100."""
    ends = [
        {
            "type": "contract_termination",
            "id": "T1",
            "contract": "K",
            "date": "2026-07-01",
            "ends": "2026-09-30",
            "reason": "leaves",
        },
        {"type": "contract_termination", "id": "T2", "contract": "K", "date": "2026-08-01", "reason": "leaves at once"},
    ]
    cli.post(*parties(), _MONTHLY, *(ends[place] for place in order))
    assert _totals(cli, "revenue") == {"revenue": Decimal(700)}
    again = {
        "type": "contract_termination",
        "id": "T3",
        "contract": "K",
        "date": "2026-08-15",
        "ends": "2026-08-31",
        "reason": "late",
    }
    assert "expected one of which something goes on after 2026-08-31: all of it ends by then" in cli.refuse(again)


_RENEWED = (
    contract("K", "2026-01-01", obligation("O", "120.00", "2026-01-01", "2026-04-30", pattern="monthly")),
    {"type": "contract_renewal", "id": "R", "contract": "K", "date": "2026-02-01",
     "obligations": [{"id": "O2", "renews": "O", "end": "2026-08-31", "price": "120.00"}]},
)  # fmt: skip
_ADDED = (
    _RENEWED[0],
    {"type": "contract_modification", "id": "R", "contract": "K", "date": "2026-02-01", "treatment": "prospective",
     "obligations": [obligation("O2", "120.00", "2026-05-01", "2026-08-31", pattern="monthly")]},
)  # fmt: skip
_LEFT_WITH_PENALTY = (
    _RENEWED[0],
    {"type": "contract_termination", "id": "R", "contract": "K", "date": "2026-03-01", "ends": "2026-04-30", "reason": "left",
     "penalty": {"id": "O2", "product": "seats", "amount": "120.00"}},
)  # fmt: skip


@pytest.mark.parametrize("agreed", [_RENEWED, _ADDED, _LEFT_WITH_PENALTY], ids=["renewal", "modification", "penalty"])
@pytest.mark.parametrize("between", [True, False])
def test_what_is_billed_before_it_is_promised_counts_once_it_is(
    cli: Cli, agreed: tuple[Document, ...], between: bool
) -> None:
    """Billed on 20 January, credited 30.00 on 25 January, 40.00 written off on 1 September: all of it was given by then."""
    cli.post(*parties(), *agreed)
    later = [
        _bill("I", "2026-01-20", "120.00", obligation="O2"),
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-01-25", "lines": [{"line": "1", "amount": "30.00"}]},
        _write_off("I", "2026-09-01", amount="40.00"),
    ]  # fmt: skip
    for document in later:
        cli.post(document)
        cli.ok("verify")
        if between:
            cli.ok("recognize", "--through", "2026-03")
    assert _totals(cli, "revenue", "bad_debt", "deferred_revenue", "accounts_receivable") == {
        "revenue": Decimal(210), "bad_debt": Decimal(40), "deferred_revenue": Decimal(0), "accounts_receivable": Decimal(50),
    }  # fmt: skip


def test_money_back_of_what_was_cancelled_is_of_what_is_not_given_whatever_period_its_bill_named(cli: Cli) -> None:
    """Cancelled before anything was given, then billed 150.00 for days gone by, of which 80.00 go back: nothing of it was earned."""
    cli.post(
        *parties(), SERVICE,
        {"type": "contract_modification", "id": "M", "contract": "K", "date": "2026-01-01", "cancel": ["O"]},
        _bill("I", "2026-03-01", "150.00", start="2026-03-01", end="2026-03-31"),
        payment("P", "150.00", "2026-03-02", ("I", "150.00")),
        {"type": "refund", "id": "F", "payment": "P", "invoice": "I", "date": "2026-04-14", "amount": "80.00"},
    )  # fmt: skip
    assert _totals(cli, "revenue", "refunds", "deferred_revenue") == {
        "revenue": Decimal(0), "refunds": Decimal(0), "deferred_revenue": Decimal(70),
    }  # fmt: skip


@pytest.mark.parametrize(("renewed_last", "between"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_note_on_a_bill_of_the_whole_contract_lowers_what_it_was_for(
    cli: Cli, renewed_last: bool, between: bool
) -> None:
    """360.00 for 120.00 of this year and 240.00 of two more, which were promised after the bill: half of each is credited."""
    renewal = {"type": "contract_renewal", "id": "R", "contract": "K", "date": "2026-02-01",
               "obligations": [{"id": "O2", "renews": "O", "end": "2028-12-31", "price": "240.00"}]}  # fmt: skip
    note = {
        "type": "credit_note",
        "id": "N",
        "invoice": "I",
        "date": "2026-07-10",
        "lines": [{"line": "1", "amount": "180.00"}],
    }
    bill = invoice("I", "2026-01-01", {"id": "1", "kind": "service", "contract": "K", "amount": "360.00"})
    cli.post(*parties(), contract("K", "2026-01-01", obligation("O", "120.00", *YEAR, pattern="monthly")))
    for document in [bill, note, renewal] if renewed_last else [bill, renewal, note]:
        cli.post(document)
        if between:
            cli.ok("recognize", "--through", "2026-08")
    assert _totals(cli, "revenue", "deferred_revenue") == {"revenue": Decimal(60), "deferred_revenue": Decimal(120)}
    cli.ok("recognize", "--through", "2028-12")
    assert {row["obligation"]: row["recognised"] for row in cli.report("schedule")} == {
        "O": "5.00",
        "O2": "5.00",
    }  # a month


@pytest.mark.parametrize("credited", ["30.00", "50.00", "70.00"])
@pytest.mark.parametrize("breakage", ["on_expiry", "proportional"])
@pytest.mark.parametrize("late", [0, 1, 2, None])
def test_usage_from_before_an_expiry_is_told_whatever_notes_took_since(
    cli: Cli, credited: str, breakage: str, late: int | None
) -> None:
    """60.00 of 100.00 are used by March, so 40.00 break: a note of May takes these first, then of what was used."""
    terms = {"expires_on": "2026-03-31"} | (
        {"breakage": breakage, "expected_breakage": "0.2"} if breakage != "on_expiry" else {}
    )
    documents = [
        usage("u", "40.00", "2026-01-10"), usage("v", "20.00", "2026-02-20"), credit_note("N", "2026-05-01", credited),
    ]  # fmt: skip
    cli.post(*parties(), grant("G", "100.00", **terms), invoice("I", "2026-01-01", prepaid("100.00")))
    for document in documents if late is None else [*documents[:late], *documents[late + 1 :], documents[late]]:
        cli.post(document)
        cli.ok("recognize", "--through", "2026-06")
        cli.ok("verify")
    found = cli.summary()
    of_broken = min(Decimal(credited), Decimal(40))
    assert _totals(cli, "revenue", "breakage_revenue", "customer_credits", "unbilled_receivable") == {
        "revenue": 60 - (Decimal(credited) - of_broken), "breakage_revenue": 40 - of_broken,
        "customer_credits": Decimal(0), "unbilled_receivable": Decimal(0),
    }  # fmt: skip
    assert (found["2026-01"]["revenue"], found["2026-02"]["revenue"]) == ("40.00", "20.00")
    assert Decimal(found["2026-05"].get("breakage_revenue", "0")) == -of_broken


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_void_after_an_expiry_takes_what_broke_and_its_next_bill_breaks_it_again(
    cli: Cli, order: tuple[int, ...]
) -> None:
    """60.00 of 100.00 used: 50.00 of the bill to be billed again are 40.00 that broke and 10.00 used, and so is the next bill."""
    documents = [
        usage("u", "40.00", "2026-01-10"), usage("v", "20.00", "2026-02-20"), credit_note("N", "2026-05-01", "50.00", rebill=True),
        invoice("J", "2026-06-15", prepaid("50.00")),
    ]  # fmt: skip
    if order.index(3) < order.index(2):
        return  # nothing is to be billed again yet
    cli.post(*parties(), grant("G", "100.00", expires_on="2026-03-31"), invoice("I", "2026-01-01", prepaid("100.00")))
    for place in order:
        cli.post(documents[place])
        cli.ok("recognize", "--through", "2026-07")
        cli.ok("verify")
    assert _by_month(cli, "breakage_revenue", "unbilled_receivable") == {
        "2026-03": {"breakage_revenue": "40.00"}, "2026-05": {"breakage_revenue": "-40.00", "unbilled_receivable": "10.00"},
        "2026-06": {"breakage_revenue": "40.00", "unbilled_receivable": "-10.00"},
    }  # fmt: skip


def _by_month(cli: Cli, *roles: str) -> dict[str, dict[str, str]]:
    found = {
        month: {role: moved[role] for role in roles if moved.get(role, "0.00") != "0.00"}
        for month, moved in cli.summary().items()
    }
    return {month: moved for month, moved in found.items() if moved}


@pytest.mark.parametrize("late", range(4))
def test_breakage_by_a_later_estimate_is_told_anew_for_a_note_of_an_earlier_day(cli: Cli, late: int) -> None:
    """40.00 of 100.00 used, 20.00 not expected to be: 10.00 in January. A note of 30.00 leaves 70.00, of which 14.00: still 10.00.

    From March half is not expected to be used: 35.00 are, which is all used, so what is left breaks.
    """
    documents = [
        invoice("I", "2026-01-01", prepaid("100.00")), usage("u", "40.00", "2026-01-10"), credit_note("N", "2026-02-01", "30.00"),
        _estimate("E", "2026-03-01", "0.5"),
    ]  # fmt: skip
    cli.post(
        *parties(), grant("G", "100.00", expires_on="2026-04-30", breakage="proportional", expected_breakage="0.2")
    )
    for document in [*documents[:late], *documents[late + 1 :], documents[late]] if late else documents:
        cli.post(document)
        cli.ok("recognize", "--through", "2026-06")
    assert _by_month(cli, "breakage_revenue") == {
        "2026-01": {"breakage_revenue": "10.00"}, "2026-03": {"breakage_revenue": "20.00"},
    }  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_credits_that_come_back_expire_on_their_last_day_whichever_recovery_came_first(
    cli: Cli, order: tuple[int, ...]
) -> None:
    """Of 100.00 written off 40.00 were used: 15.00 and 25.00 of 50.00 bring that back, 25.00 break in March, 30.00 of May then."""
    recovered = [
        {"type": "recovery", "id": f"R{number}", "write_off": "W-I", "date": day, "rail": "wire", "amount": amount}
        for number, (day, amount) in enumerate(
            [("2026-02-15", "15.00"), ("2026-03-10", "50.00"), ("2026-05-05", "30.00")]
        )
    ]
    cli.post(
        *parties(), grant("G", "100.00", expires_on="2026-03-31"), invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u", "40.00", "2026-01-10"), _write_off("I", "2026-02-01"),
    )  # fmt: skip
    for place in order:
        cli.post(recovered[place])
        cli.ok("recognize", "--through", "2026-06")
    assert _by_month(cli, "breakage_revenue", "bad_debt") == {
        "2026-02": {"bad_debt": "25.00"}, "2026-03": {"bad_debt": "-25.00", "breakage_revenue": "25.00"},
        "2026-05": {"breakage_revenue": "30.00"},
    }  # fmt: skip


_USED = contract(
    "K", "2026-01-01", {"id": "O", "product": "tokens", "start": "2026-01-01", "end": "2026-12-31", "pattern": "usage"}
)


def _rebate(ref: str, day: str, amount: str) -> Document:
    return {"type": "estimate", "id": ref, "contract": "K", "component": "rebate", "date": day, "amount": amount, "refund": True,
            "reason": "volume", "obligations": ["O"]}  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("kind", ["note", "refund", "write_off"])
def test_what_was_expected_back_of_usage_goes_to_what_took_it_first_by_days(
    cli: Cli, kind: str, order: tuple[int, ...]
) -> None:
    """10.00 of 100.00 were expected back: of 15.00 in February and 15.00 in March the first takes that, and 5.00 of revenue."""
    first = {
        "note": credit_note("N", "2026-02-20", "15.00"),
        "refund": {
            "type": "refund",
            "id": "F",
            "payment": "P",
            "invoice": "I",
            "date": "2026-02-20",
            "amount": "15.00",
        },
        "write_off": _write_off("I", "2026-02-20", amount="15.00"),
    }[kind]
    paid = [payment("P", "60.00", "2026-02-01", ("I", "60.00"))]
    documents = [_rebate("E", "2026-01-31", "-10.00"), first, credit_note("M", "2026-03-20", "15.00")]
    bill = invoice("I", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "100.00"})
    cli.post(*parties(), _USED, usage("U", "100.00", "2026-01-10"), bill, *paid)
    for place in order:
        cli.post(documents[place])
        cli.ok("recognize", "--through", "2026-04")
        cli.ok("verify")
    role = {"note": "revenue", "refund": "refunds", "write_off": "bad_debt"}[kind]
    less = "-5.00" if kind == "note" else "5.00"
    assert _by_month(cli, "revenue", "refunds", "bad_debt", "refund_liability") == {
        "2026-01": {"revenue": "90.00", "refund_liability": "10.00"}, "2026-02": {role: less, "refund_liability": "-10.00"},
        "2026-03": {"revenue": "-15.00"},
    }  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("between", [True, False])
def test_what_is_expected_back_of_usage_falls_after_it_was_given(
    cli: Cli, between: bool, order: tuple[int, ...]
) -> None:
    """25.00 paid back in February, 10.00 of it expected; from March 4.00 are: 6.00 more were earned, and are shown beside it."""
    documents = [
        _rebate("E", "2026-01-31", "-10.00"), _rebate("E2", "2026-03-31", "-4.00"),
        {"type": "refund", "id": "F", "payment": "P", "invoice": "I", "date": "2026-02-15", "amount": "25.00"},
    ]  # fmt: skip
    bill = invoice("I", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "100.00"})
    cli.post(
        *parties(),
        _USED,
        usage("U", "100.00", "2026-01-10"),
        bill,
        payment("P", "100.00", "2026-02-01", ("I", "100.00")),
    )
    for place in order:
        cli.post(documents[place])
        if between:
            cli.ok("recognize", "--through", "2026-04")
    cli.ok("recognize", "--through", "2026-04")
    assert _by_month(cli, "revenue", "refunds", "refund_liability", "unbilled_receivable", "deferred_revenue") == {
        "2026-01": {"revenue": "90.00", "refund_liability": "10.00"}, "2026-02": {"refunds": "15.00", "refund_liability": "-10.00"},
        "2026-03": {"revenue": "6.00", "refunds": "6.00"},
    }  # fmt: skip


@pytest.mark.parametrize("between", [True, False])
def test_a_recovery_of_usage_brings_back_what_was_expected_back_after_the_bad_debt(cli: Cli, between: bool) -> None:
    """30.00 written off are 20.00 expected back and 10.00 lost: of 28.00 recovered 18.00 are expected back again."""
    cli.post(
        *parties(), _USED, usage("U", "100.00", "2026-01-10"), _rebate("E", "2026-02-28", "-20.00"),
        invoice("I", "2026-01-31", {"id": "1", "kind": "usage", "product": "tokens", "amount": "100.00"}),
    )  # fmt: skip
    later = [
        _write_off("I", "2026-03-10", amount="30.00"),
        _recovered("R", "2026-03-20", "28.00"),
        usage("V", "10.00", "2026-04-10"),
    ]
    for document in later:
        cli.post(document)
        if between:
            cli.ok("recognize", "--through", "2026-05")
    assert _totals(cli, "bad_debt", "refund_liability", "deferred_revenue", "unbilled_receivable", "revenue") == {
        "bad_debt": Decimal(0), "refund_liability": Decimal(18), "deferred_revenue": Decimal(0), "unbilled_receivable": Decimal(10),
        "revenue": Decimal(90),
    }  # fmt: skip


@pytest.mark.parametrize("late", [True, False])
def test_a_note_on_usage_that_comes_after_its_write_off_was_recovered_leaves_no_asset(cli: Cli, late: bool) -> None:
    """180.00 billed, 20.00 credited of usage, 160.00 written off and 110.00 recovered: 110.00 were earned, and nothing is to be billed."""
    bill = invoice(
        "I", "2026-01-31",
        {"id": "1", "kind": "service", "product": "seats", "start": "2026-01-01", "end": "2026-04-30", "amount": "120.00"},
        {"id": "2", "kind": "usage", "product": "tokens", "amount": "60.00"},
    )  # fmt: skip
    note = {
        "type": "credit_note",
        "id": "N",
        "invoice": "I",
        "date": "2026-02-10",
        "lines": [{"line": "2", "amount": "20.00"}],
    }
    rest = [
        _write_off("I", "2026-03-01", amount="160.00"), _recovered("R", "2026-03-15", "50.00"), _recovered("Q", "2026-03-15", "60.00"),
    ]  # fmt: skip
    cli.post(*parties(), usage("U", "60.00", "2026-01-10"), bill)
    for document in [*rest, note] if late else [note, *rest]:
        cli.post(document)
        cli.ok("recognize", "--through", "2026-05")
    totals = _totals(cli, "revenue", "bad_debt", "unbilled_receivable", "deferred_revenue", "accounts_receivable")
    assert totals["revenue"] - totals["bad_debt"] == 110
    assert (totals["unbilled_receivable"], totals["deferred_revenue"], totals["accounts_receivable"]) == (0, 0, 0)


_LESS: dict[str, dict[str, Any]] = {
    "consideration_payable": {"contract": "K", "amount": "120.00", "reason": "a fair"},
    "estimate": {"contract": "K", "component": "penalty", "amount": "-120.00"},
    "refund liability": {"type": "estimate", "contract": "K", "component": "returns", "amount": "-120.00", "refund": True},
    "credit_note": {"invoice": "I", "lines": [{"line": "1", "amount": "120.00"}]},
    "contract_modification": {"contract": "K", "obligations": [obligation("O", "1080.00", *YEAR)]},
}  # fmt: skip


@pytest.mark.parametrize("kind", _LESS)
@pytest.mark.parametrize("day", ["2026-01-01", "2026-01-02", "2026-01-20"])
@pytest.mark.parametrize("recognised", [False, True])
def test_what_a_bill_is_for_shows_one_side_at_once(cli: Cli, kind: str, day: str, *, recognised: bool) -> None:
    """1200.00 billed in advance, of which 120.00 go, whenever that is said: no contract asset beside the liability."""
    cli.post(*parties(), SERVICE, _bill("I", "2026-01-01" if kind == "credit_note" else "2026-01-02", "1200.00"))
    if recognised:
        cli.ok("recognize", "--through", "2026-01")
    cli.post({"type": kind, "id": "L", "date": day} | _LESS[kind])
    cli.ok("verify")
    assert not cli.totals().get("unbilled_receivable")
    assert _totals(cli, "revenue") == {"revenue": Decimal("1080.00")}


@pytest.mark.parametrize("currency", ["USD", "EUR"])
@pytest.mark.parametrize("how", ["contract", "modification", "renewal"])
@pytest.mark.parametrize("recognised", [True, False])
def test_what_is_promised_once_all_of_it_was_given_is_earned_then(
    cli: Cli, how: str, currency: str, *, recognised: bool
) -> None:
    """90.00 for February to April, signed on 20 November, or renewed then for May to July: earned in November, billed or not."""
    given = {
        "id": "O",
        "product": "seats",
        "price": "90.00",
        "start": "2026-02-01",
        "end": "2026-04-30",
        "pattern": "monthly",
    }
    signed = {"type": "contract", "id": "C", "customer": "globex", "entity": "us", "currency": currency}
    later = {**given, "id": "L", "price": "120.00", "start": "2027-01-01", "end": "2027-04-30"}
    rate = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1"}
    cli.post(*parties(), rate)
    if how == "contract":
        late = {**signed, "signed_on": "2026-11-20", "obligations": [given]}
    elif how == "modification":
        cli.post({**signed, "signed_on": "2026-01-01", "obligations": [later]})
        late = {
            "type": "contract_modification",
            "id": "M",
            "contract": "C",
            "date": "2026-11-20",
            "obligations": [given],
        }
    else:
        cli.post({**signed, "signed_on": "2026-01-01", "obligations": [given]})
        late = {"type": "contract_renewal", "id": "N", "contract": "C", "date": "2026-11-20",
                "obligations": [{"id": "R", "renews": "O", "end": "2026-07-31"}]}  # fmt: skip
    if recognised:
        cli.ok("recognize", "--through", "2026-12")
    cli.post(late)
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    first = dict.fromkeys(("2026-02", "2026-03", "2026-04"), "30.00") if how == "renewal" else {}
    earned = {month: moved["revenue"] for month, moved in cli.summary().items() if "revenue" in moved}
    assert earned == first | {"2026-11": "90.00"}
    # and is not earned again, however it is billed
    cli.post(
        invoice(
            "I",
            "2026-12-05",
            {"id": "1", "kind": "service", "obligation": "R" if how == "renewal" else "O", "amount": "90.00"},
            currency=currency,
        )
    )
    cli.ok("recognize", "--through", "2026-12")
    cli.ok("verify")
    assert {month: moved["revenue"] for month, moved in cli.summary().items() if "revenue" in moved} == earned


@pytest.mark.parametrize("how", ["contract", "modification"])
def test_nothing_is_earned_before_the_day_on_which_it_is_promised(cli: Cli, how: str) -> None:
    """90.00 EUR for 1 to 10 April, promised on the 20th: 180.00 at that day's 2.00, not 117.00 at the 1.30 of the 10th; none of it before."""
    rates = [
        {"type": "fx_rate", "id": day, "date": day, "base": "EUR", "quote": "USD", "rate": rate}
        for day, rate in (("2026-01-01", "1.30"), ("2026-04-15", "2.00"))
    ]
    given = {
        "id": "O",
        "product": "seats",
        "price": "90.00",
        "start": "2026-04-01",
        "end": "2026-04-10",
        "pattern": "daily",
    }
    later = {**given, "id": "L", "start": "2027-01-01", "end": "2027-04-30"}
    signed = {"type": "contract", "id": "C", "customer": "globex", "entity": "us", "currency": "EUR"}
    promised = [{**signed, "signed_on": "2026-04-20", "obligations": [given]}]
    if how == "modification":
        promised = [
            {**signed, "signed_on": "2026-01-01", "obligations": [later]},
            {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-04-20", "obligations": [given]},
        ]
    cli.post(*parties(), *rates, *promised)
    cli.ok("recognize", "--through", "2026-06")
    cli.ok("verify")
    assert cli.totals()["revenue"] == Decimal("180.00")
    assert "revenue" not in cli.totals("--as-of", "2026-04-19")
    assert cli.totals("--as-of", "2026-04-30")["revenue"] == Decimal("180.00")
