"""What is left standing after its life has ended is named with its age and documents, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.conftest import Cli
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
from tests.serving import MakeApp


def _standing(cli: Cli, as_of: str, *options: str) -> list[tuple[str, str, str, str, int]]:
    rows = cli.report("standing", "--as-of", as_of, *options)
    return [(row["subject"], row["role"], row["amount"], row["ended_on"], row["age_days"]) for row in rows]


def _bill(ref: str, day: str, amount: str, of: str = "C/o", **more: Any) -> dict[str, Any]:
    return invoice(ref, day, {"id": "1", "kind": "service", "amount": amount, "obligation": of, **more})


def _contract(price: str = "120.00", ref: str = "C", end: str = "2026-01-31", **more: Any) -> dict[str, Any]:
    return contract(ref, "2026-01-01", obligation(f"{ref}/o", price, "2026-01-01", end, **more))


def test_an_asset_of_a_term_that_is_over_stands_until_it_is_billed(cli: Cli) -> None:
    cli.post(*parties(), _contract())
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-01-30") == []
    # 120.00 given by 31 January and never billed: 28 days on 28 February
    assert _standing(cli, "2026-02-28") == [("obligation:C/o", "unbilled_receivable", "120.00", "2026-01-31", 28)]
    (row,) = cli.report("standing", "--as-of", "2026-02-28")
    assert (row["entity"], row["customer"], row["contract"], row["product"]) == ("us", "globex", "C", "seats")
    assert row["documents"] == "contract C"
    cli.post(_bill("I", "2026-03-01", "120.00"))
    assert _standing(cli, "2026-02-28") == [("obligation:C/o", "unbilled_receivable", "120.00", "2026-01-31", 28)]
    assert _standing(cli, "2026-03-01") == []
    assert _standing(cli, "2026-12-31") == []


def test_what_is_billed_beyond_a_price_stands_once_the_term_is_over(cli: Cli) -> None:
    # 150.00 billed of a price of 120.00: 30.00 that nobody will be given anything for
    cli.post(*parties(), _contract(), _bill("I", "2026-01-05", "150.00"))
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-03-02") == [("obligation:C/o", "deferred_revenue", "30.00", "2026-01-31", 30)]
    assert cli.report("standing", "--as-of", "2026-03-02")[0]["documents"] == "contract C; invoice I"
    cli.post(
        {
            "type": "credit_note",
            "id": "N",
            "invoice": "I",
            "date": "2026-03-03",
            "lines": [{"line": "1", "amount": "30.00"}],
        }
    )
    cli.ok("recognize", "--through", "2026-03")
    assert _standing(cli, "2026-03-31") == []


def test_what_recognition_has_yet_to_earn_does_not_stand(cli: Cli) -> None:
    """Revenue of a month is recognised within the next; what waits longer is told."""
    cli.post(*parties(), invoice("I", "2026-01-01", service("59.00", "2026-01-01", "2026-02-28")))
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-02-28") == []
    # 28 of 59 days are February's: on 1 April, 32 days after, nobody recognised them
    assert _standing(cli, "2026-04-01") == [("obligation:I/1", "deferred_revenue", "28.00", "2026-02-28", 32)]
    cli.ok("recognize", "--through", "2026-02")
    assert _standing(cli, "2026-04-01") == []


def test_service_billed_after_it_was_given_waits_for_its_recognition(cli: Cli) -> None:
    cli.post(*parties(), _contract(), _bill("C-I", "2026-01-31", "120.00"))
    cli.ok("recognize", "--through", "2026-01")
    cli.post(invoice("I", "2026-02-05", service("31.00", "2026-01-01", "2026-01-31")))
    assert _standing(cli, "2026-02-28") == []
    cli.ok("recognize", "--through", "2026-02")
    assert _standing(cli, "2026-12-31") == []


def test_a_cancelled_obligation_has_ended_the_day_before(cli: Cli) -> None:
    cli.post(*parties(), _contract("1200.00", end="2026-12-31", pattern="monthly"), _bill("I", "2026-01-01", "1200.00"))
    cli.ok("recognize", "--through", "2026-03")
    assert _standing(cli, "2026-04-30") == []
    cli.post({"type": "contract_termination", "id": "T", "contract": "C", "date": "2026-04-01", "reason": "left"})
    # three months of twelve were given: 900.00 of 1,200.00 is left, which only a credit note gives back
    assert _standing(cli, "2026-04-30") == [("obligation:C/o", "deferred_revenue", "900.00", "2026-03-31", 30)]
    assert (
        cli.report("standing", "--as-of", "2026-04-30")[0]["documents"]
        == "contract C; invoice I; contract termination T"
    )
    assert _standing(cli, "2026-03-31") == []


def test_a_term_that_goes_on_after_notice_has_not_ended(cli: Cli) -> None:
    cli.post(*parties(), _contract("1200.00", end="2026-12-31", pattern="monthly"), _bill("I", "2026-01-01", "1200.00"))
    cli.ok("recognize", "--through", "2026-03")
    cli.post(
        {
            "type": "contract_termination",
            "id": "T",
            "contract": "C",
            "date": "2026-04-01",
            "ends": "2026-05-31",
            "reason": "left",
        }
    )
    cli.ok("recognize", "--through", "2026-05")
    assert _standing(cli, "2026-05-30") == []
    # five of twelve months
    assert _standing(cli, "2026-06-30") == [("obligation:C/o", "deferred_revenue", "700.00", "2026-05-31", 30)]


def test_positions_are_by_contract(cli: Cli) -> None:
    """An asset of one obligation and a liability of another of one contract settle each other."""
    cli.post(
        *parties(),
        contract("C", "2026-01-01", obligation("C/a", "60.00", "2026-01-01", "2026-01-31"),
                 obligation("C/b", "40.00", "2026-01-01", "2026-01-31") | {"product": "tokens"}),
        _bill("I", "2026-01-02", "100.00", "C/a"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-03-31") == []
    cli.post(_bill("J", "2026-02-01", "15.00", "C/b"))
    # 115.00 billed of 100.00: 40.00 of the first went to C/b, so of its own bill 15.00 is too much
    assert _standing(cli, "2026-03-31") == [("obligation:C/b", "deferred_revenue", "15.00", "2026-01-31", 59)]


def test_what_has_ended_of_a_contract_that_goes_on_counts_as_far_as_the_whole(cli: Cli) -> None:
    cli.post(
        *parties(),
        contract("C", "2026-01-01", obligation("C/a", "60.00", "2026-01-01", "2026-01-31"),
                 obligation("C/b", "120.00", "2026-01-01", "2026-12-31", pattern="monthly") | {"product": "tokens"}),
        _bill("I", "2026-01-02", "40.00", "C/b"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    # C/a: 60.00 not billed; C/b: 40.00 billed, 20.00 given. As one, 40.00 is not billed
    assert _standing(cli, "2026-03-31") == [("obligation:C/a", "unbilled_receivable", "40.00", "2026-01-31", 59)]
    cli.post(_bill("J", "2026-03-01", "80.00", "C/b"))
    cli.ok("recognize", "--through", "2026-03")
    assert _standing(cli, "2026-03-31") == []  # 120.00 billed, 90.00 given


def test_progress_has_ended_once_all_is_done(cli: Cli) -> None:
    done = {"type": "progress", "obligation": "C/o"}
    cli.post(
        *parties(),
        _contract(end="2026-02-28", pattern="progress"),
        done | {"id": "p1", "date": "2026-01-20", "percent": "50"},
    )
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-06-30") == []  # its term is over, and half of it is still to be done
    cli.post(done | {"id": "p2", "date": "2026-02-10", "percent": "100"})
    cli.ok("recognize", "--through", "2026-02")
    assert _standing(cli, "2026-03-12") == [("obligation:C/o", "unbilled_receivable", "120.00", "2026-02-10", 30)]


def test_a_bill_that_is_not_due_yet_clears_an_asset(cli: Cli) -> None:
    cli.post(*parties(), _contract() | {"receivable": "unconditional"})
    cli.ok("recognize", "--through", "2026-01")
    cli.post(_bill("I", "2026-02-01", "100.00") | {"due_on": "2026-04-01"})
    # 20.00 is on no bill; the 100.00 become a receivable on 1 April
    assert _standing(cli, "2026-03-02") == [("obligation:C/o", "unbilled_receivable", "20.00", "2026-01-31", 30)]


def test_credits_drawn_and_never_billed_stand_once_they_are_used_up(cli: Cli) -> None:
    cli.post(*parties(), grant("G"), usage("u1", "60.00", "2026-01-10"))
    assert _standing(cli, "2026-03-31") == []
    cli.post(usage("u2", "40.00", "2026-01-20"))
    assert _standing(cli, "2026-01-19") == []
    assert _standing(cli, "2026-02-19") == [("grant:G", "unbilled_receivable", "100.00", "2026-01-20", 30)]
    assert cli.report("standing", "--as-of", "2026-02-19")[0]["documents"] == "usage u1, u2"
    cli.post(invoice("I", "2026-02-20", prepaid("100.00")))
    assert _standing(cli, "2026-03-31") == []


def test_credits_drawn_and_never_billed_stand_once_they_expire(cli: Cli) -> None:
    cli.post(*parties(), grant("G", expires_on="2026-02-28"), usage("u1", "60.00", "2026-01-10"))
    cli.ok("recognize", "--through", "2026-02")
    assert _standing(cli, "2026-02-27") == []
    assert _standing(cli, "2026-03-30") == [("grant:G", "unbilled_receivable", "60.00", "2026-02-28", 30)]


def test_credits_that_expired_wait_for_their_breakage(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G", expires_on="2026-02-28"),
        invoice("I", "2026-01-01", prepaid("100.00")),
        usage("u1", "60.00", "2026-01-10"),
    )
    assert _standing(cli, "2026-03-31") == []
    assert _standing(cli, "2026-04-30") == [("grant:G", "customer_credits", "40.00", "2026-02-28", 61)]
    cli.ok("recognize", "--through", "2026-02")
    assert _standing(cli, "2026-04-30") == []


def test_an_orders_credits_end_with_the_last_of_them(cli: Cli) -> None:
    cli.post(
        *parties(), grant("G", expires_on="2026-01-31", contract="O"),
        grant("B", "100.00", kind="promotional", contract="O", expires_on="2026-06-30"), invoice("I", "2026-01-01", prepaid("100.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    # half of the order's money is the bonus's, which can be used until June
    assert _standing(cli, "2026-03-31") == []
    cli.ok("recognize", "--through", "2026-06")
    assert _standing(cli, "2026-12-31") == []


def test_usage_stands_once_its_last_is_older_than_bills_come(cli: Cli) -> None:
    entity, *rest = parties()
    cli.post(
        entity | {"bills_within": 30}, *rest, usage("u1", "70.00", "2026-01-10"), usage("u2", "5.00", "2026-01-20")
    )
    assert _standing(cli, "2026-02-19") == []
    assert _standing(cli, "2026-02-20") == [("usage:tokens", "unbilled_receivable", "75.00", "2026-01-20", 31)]
    cli.post(usage("u3", "1.00", "2026-02-15"))
    assert _standing(cli, "2026-03-17") == []  # it goes on
    cli.post(invoice("I", "2026-03-01", billed_usage("76.00")))
    assert _standing(cli, "2026-12-31") == []


def test_usage_billed_ahead_stands_once_neither_comes_any_more(cli: Cli) -> None:
    cli.post(*parties(), usage("u1", "70.00", "2026-01-10"), invoice("I", "2026-02-01", billed_usage("100.00")))
    assert _standing(cli, "2026-04-02") == []  # 60 days after the bill
    assert _standing(cli, "2026-04-03") == [("usage:tokens", "deferred_revenue", "30.00", "2026-02-01", 61)]


def test_refunds_expected_no_more_stand(cli: Cli) -> None:
    estimate = {"type": "estimate", "contract": "C", "component": "returns", "refund": True}
    cli.post(*parties(), _contract(pattern="daily"), _bill("I", "2026-01-01", "120.00"),
             estimate | {"id": "E1", "date": "2026-01-01", "amount": "-20.00"})  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-06-30") == []  # still expected back
    cli.post(estimate | {"id": "E2", "date": "2026-02-10", "amount": "-5.00"})
    # 15.00 of it is expected no more, which the next recognition earns
    assert [row for row in _standing(cli, "2026-02-28") if row[1] == "refund_liability"] == [
        ("obligation:C/o", "refund_liability", "15.00", "2026-01-31", 28)
    ]
    cli.ok("recognize", "--through", "2026-02")
    assert _standing(cli, "2026-06-30") == []


def test_a_closed_month_and_another_currency(cli: Cli) -> None:
    """In the currency it is in: by date, whether months were closed along the way."""
    rate = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.2"}
    cli.post(*parties(), rate, _contract() | {"currency": "EUR"})
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    assert _standing(cli, "2026-03-02") == [("obligation:C/o", "unbilled_receivable", "120.00", "2026-01-31", 30)]
    assert cli.report("standing", "--as-of", "2026-03-02")[0]["currency"] == "EUR"
    assert _standing(cli, "2026-03-02", "--currency", "USD") == []
    cli.post(_bill("I", "2026-01-31", "120.00") | {"currency": "EUR"})  # late: it counts on 1 February
    assert _standing(cli, "2026-01-31") == [("obligation:C/o", "unbilled_receivable", "120.00", "2026-01-31", 0)]
    assert _standing(cli, "2026-02-01") == []


def test_disputed_funds_without_a_dispute_stand(cli: Cli) -> None:
    cli.post(
        *parties(), invoice("I", "2026-01-01", one_time("100.00")), payment("P", "100.00", "2026-01-02", ("I", "100.00")),
        {"type": "dispute", "id": "D", "payment": "P", "date": "2026-01-10", "amount": "100.00", "status": "opened"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-12-31") == []
    cli.post(
        {"type": "dispute", "id": "W", "payment": "P", "date": "2026-01-20", "amount": "100.00", "status": "won"},
        {"type": "manual_entry", "id": "M", "entity": "us", "currency": "USD", "date": "2026-01-25", "reason": "wrongly", "approved_by": "ann",
         "lines": [{"debit": "disputed_funds", "credit": "processing_fees", "amount": "9.00", "customer": "globex"}]},
    )  # fmt: skip
    ((_, role, amount, ended, age),) = _standing(cli, "2026-02-24")
    assert (role, amount, ended, age) == ("disputed_funds", "9.00", "2026-01-25", 30)


def test_entities_that_differ_stand(cli: Cli) -> None:
    other = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "USD"}
    cli.post(
        *parties(), other, invoice("I", "2026-01-01", one_time("10.00"), one_time("15.00", "2") | {"entity": "eu"})
    )
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-03-31") == []
    passed_on = {"type": "manual_entry", "id": "M", "entity": "us", "currency": "USD", "date": "2026-02-01", "reason": "passed on",
                 "approved_by": "ann", "lines": [{"debit": "due_to_entities", "credit": "cash", "amount": "15.00", "customer": "globex", "debit_subject": "entity:eu"}]}  # fmt: skip
    cli.post(passed_on)
    # eu has not entered what us passed on
    assert _standing(cli, "2026-03-03") == [("entity:us", "due_from_entities", "15.00", "2026-02-01", 30)]
    assert _standing(cli, "2026-03-03", "--entity", "eu") == _standing(cli, "2026-03-03", "--entity", "us")
    cli.post(passed_on | {"id": "N", "entity": "eu", "lines": [
        {"debit": "cash", "credit": "due_from_entities", "amount": "15.00", "customer": "globex", "credit_subject": "entity:us"}]})  # fmt: skip
    assert _standing(cli, "2026-03-31") == []


def test_the_months_end_names_what_stands_and_waits_for_nothing(cli: Cli, make_books_app: MakeApp) -> None:
    """It warns of the books as they will stand once the month is recognised, and closing goes on."""
    cli.post(*parties(), _contract(), invoice("I", "2026-01-01", service("31.00", "2026-01-01", "2026-01-31")))
    told = cli.run("close", "2026-01", "--check")
    assert told.exit_code == 1
    assert "TODO us: revenue is recognised" in told.stdout
    # the service of I is given by the month's end; C was never billed
    assert "WARN us: nothing is left standing of what has ended: 1, the oldest for 0 days" in told.stdout
    assert "ok   us: no revenue is below zero without a cause" in told.stdout
    cli.ok("recognize", "--through", "2026-01")
    assert "WARN us: nothing is left standing" in cli.ok("close", "2026-01", "--check")
    client = make_books_app(open_as="tester").test_client()
    page = client.get("/close/us/2026-01").text
    assert 'class="warns"' in page
    assert "/reports/standing?entity=us&amp;as_of=2026-01-31" in page
    assert "something above is not done" not in page
    listed = client.get("/v1/periods/us/2026-01/checklist").get_json()
    assert [(item["name"], item["done"], item["warning"]) for item in listed][3:] == [
        ("nothing is left standing of what has ended", False, True), ("no revenue is below zero without a cause", True, True),
        ("no account of money is below zero", True, True),
    ]  # fmt: skip
    assert client.get("/v1/reports/standing?entity=us").get_json()["rows"][0]["amount"] == "120.00"
    cli.ok("close", "2026-01")


def test_verification_warns_and_holds(cli: Cli) -> None:
    cli.post(*parties(), _contract(), usage("u", "1.00", "2026-01-10"))
    clean = cli.ok("verify")
    assert "WARN" not in clean
    assert "checks hold" in clean
    assert "warnings" not in clean
    cli.post(_contract("1.00", "D", "2026-04-30"), _bill("DI", "2026-04-30", "1.00", "D/o"))
    cli.ok("recognize", "--through", "2026-04")
    told = cli.run("verify")
    assert told.exit_code == 0
    assert "WARN nothing is left standing once what it is of has ended" in told.stdout
    assert "can claim (2)" in told.stdout
    assert "checks hold; warnings: 1" in told.stdout
    # 30 April is 110 days after the usage and 89 after the contract
    assert told.stderr.splitlines() == [
        "     unbilled_receivable usage:tokens of globex with us: 1.00 USD, ended 2026-01-10, 110 days ago (usage u)",
        "     unbilled_receivable obligation:C/o of globex with us: 120.00 USD, ended 2026-01-31, 89 days ago (contract C)",
    ]


def test_what_everything_is_given_and_billed_of_leaves_nothing(cli: Cli) -> None:
    """Demo documents and published examples that are played to their end are in other tests; here all kinds that end together."""
    cli.post(
        *parties(), _contract(), _bill("CI", "2026-01-15", "120.00"), grant("G", expires_on="2026-02-28"),
        invoice("GI", "2026-01-01", prepaid("100.00")), usage("u1", "60.00", "2026-01-10"), usage("u2", "55.00", "2026-02-10"),
        invoice("UI", "2026-03-01", billed_usage("15.00")), invoice("S", "2026-01-01", service("90.00", "2026-01-01", "2026-03-31")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    assert _standing(cli, "2030-12-31") == []
    assert cli.report("below-zero") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bills_within": -1}, "bills_within = -1"), ({"bills_within": "60"}, "bills_within = 60"), ({"bills_within": 3651}, "bills_within"),
        ({"arrears": "later"}, "arrears = later"),
    ],
)  # fmt: skip
def test_settings_of_an_entity_that_are_none_are_refused(cli: Cli, given: dict[str, Any], said: str) -> None:
    entity, *_ = parties()
    assert said in cli.refuse(entity | given)


def test_settings_of_an_entity_are_kept(cli: Cli, connection: Connection) -> None:
    entity, *_ = parties()
    cli.post(entity | {"bills_within": 30, "arrears": "when_given"}, entity | {"id": "eu"})
    rows = connection.execute(text("select entity, bills_within, arrears from entity order by 1")).all()
    assert [tuple(row) for row in rows] == [("eu", 60, "when_billed"), ("us", 30, "when_given")]


def test_contracts_combined_are_one_position(cli: Cli) -> None:
    """One is billed 30.00 beyond its price, the other 50.00 too little: as one, 20.00 is not billed."""
    combined = {"combined_with": "C", "combined_because": "one_objective"}
    cli.post(
        *parties(), _contract("120.00", ssp="120.00"), _contract("80.00", "D", ssp="80.00") | combined,
        _bill("CI", "2026-01-05", "150.00"), _bill("DI", "2026-01-05", "30.00", "D/o"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    assert _standing(cli, "2026-03-02") == [("obligation:D/o", "unbilled_receivable", "20.00", "2026-01-31", 30)]


def test_it_is_narrowed_as_other_reports_are(cli: Cli) -> None:
    cli.post(*parties(), {"type": "customer", "id": "initech", "name": "Initech"}, {"type": "entity", "id": "eu", "name": "Acme", "currency": "USD"},
             _contract(), _contract("7.00", "D") | {"customer": "initech"}, usage("u", "5.00", "2026-01-10") | {"entity": "eu"})  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    day = "2026-06-30"
    assert [row[2] for row in _standing(cli, day)] == ["5.00", "120.00", "7.00"]
    for option, value, amounts in (
        ("--entity", "eu", ["5.00"]), ("--entity", "us", ["120.00", "7.00"]), ("--customer", "initech", ["7.00"]),
        ("--product", "tokens", ["5.00"]), ("--contract", "C", ["120.00"]), ("--currency", "EUR", []),
    ):  # fmt: skip
        assert [row[2] for row in _standing(cli, day, option, value)] == amounts, option
    before = cli.now()
    cli.post(_bill("I", "2026-02-01", "120.00"))
    assert [row[2] for row in _standing(cli, day)] == ["5.00", "7.00"]
    assert [row[2] for row in _standing(cli, day, "--known-at", before)] == ["5.00", "120.00", "7.00"]


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
def test_what_is_split_is_what_is_whole(cli: Cli, split: bool) -> None:
    """Two obligations of 60.00 and 40.00, or one of 100.00; 70.00 billed: 30.00 stands either way."""
    parts = [("C/a", "60.00", "seats"), ("C/b", "40.00", "tokens")] if split else [("C/a", "100.00", "seats")]
    cli.post(
        *parties(), contract("C", "2026-01-01", *(obligation(ref, price, "2026-01-01", "2026-01-31", product=product) for ref, price, product in parts)),
        _bill("I", "2026-01-05", "70.00", "C/a"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    ((_, role, amount, ended, _),) = _standing(cli, "2026-03-31")
    assert (role, amount, ended) == ("unbilled_receivable", "30.00", "2026-01-31")


def test_what_was_cut_short_has_ended_whatever_changed_its_price_since(cli: Cli) -> None:
    """1,200.00 and a bonus of 120.00, cancelled after June, the bonus then estimated at 60.00: what is not earned stands since June."""
    seats = obligation("C/s", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")
    cli.post(
        *parties(), contract("C", "2026-01-01", seats), _bill("I", "2026-01-01", "1200.00", "C/s"),
        {"type": "estimate", "id": "e", "contract": "C", "component": "bonus", "date": "2026-01-01", "amount": "120.00"},
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-07-01", "obligations": [], "cancel": ["C/s"]},
        {"type": "estimate", "id": "f", "contract": "C", "component": "bonus", "date": "2026-07-15", "amount": "60.00"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-08")
    # 600.00 and half the bonus by then, 60.00; of a bonus of 60.00 in all half is of what was given: 630.00 of 1,200.00
    assert _standing(cli, "2026-08-31") == [("obligation:C/s", "deferred_revenue", "570.00", "2026-06-30", 62)]
