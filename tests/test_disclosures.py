"""The disclosures, against figures worked out by hand, and against the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text

from ledger.accounts.chart import CONTRACT_LIABILITIES, ROLES
from ledger.amounts.dates import month_end
from ledger.reports.report import Filters, last_day
from ledger.reports.trial_balance import trial_balance
from revrec.reports import audit_logs, contract_balances, disaggregation, roll_forwards
from tests.conftest import Cli
from tests.samples import (
    billed_usage,
    contract,
    grant,
    invoice,
    obligation,
    parties,
    payment,
    prepaid,
    promotion,
    service,
    usage,
)
from web.work.reports import make


def assert_disclosures_tie(connection: Connection) -> None:
    """Each disclosure's figures are the ledger's."""
    net: dict[str, int] = {}
    for row in trial_balance(connection, Filters()).rows:
        net[row["role"]] = net.get(row["role"], 0) + row["debit"] - row["credit"]
    for report, roles, sign in (
        (roll_forwards.deferred_roll_forward, CONTRACT_LIABILITIES, -1),
        (roll_forwards.asset_roll_forward, ("unbilled_receivable",), 1),
    ):
        rows = report(connection, Filters()).rows
        flows = sum(
            value
            for row in rows
            for key, value in row.items()
            if isinstance(value, int) and key not in ("opening", "closing")
        )
        assert flows == sign * sum(net.get(role, 0) for role in roles), report.__name__
        for row in rows:
            inner = sum(
                value for key, value in row.items() if isinstance(value, int) and key not in ("opening", "closing")
            )
            assert row["opening"] + inner == row["closing"]
    revenue = sum(row["total"] for row in disaggregation.disaggregation(connection, Filters()).rows)
    contra = [name for name, role in ROLES.items() if role.kind == "revenue"]
    assert revenue == -sum(net.get(role, 0) for role in contra)
    balances: dict[str, int] = {}
    for row in contract_balances.contract_balances(connection, Filters()).rows:
        balances[row["balance"]] = balances.get(row["balance"], 0) + (row.get("closing") or 0)
    if balances:
        assert balances["Receivables"] == net.get("accounts_receivable", 0)
        netted = balances["Netted within contracts"]
        assert balances["Contract liabilities"] + netted == -sum(net.get(role, 0) for role in CONTRACT_LIABILITIES)
        assert balances["Contract assets"] + netted == net.get("unbilled_receivable", 0)
    unbilled = sum(row["amount"] for row in roll_forwards.unbilled(connection, Filters()).rows)
    assert unbilled == net.get("unbilled_receivable", 0)
    journal = sum(row["amount"] for row in audit_logs.recognition_journal(connection, Filters()).rows)
    assert journal == -sum(net.get(role, 0) for role in ("revenue", "breakage_revenue", "promotional_credits"))


# What is committed and neither used nor billed, less what is earned of it ahead of use.
_COMMITTED = """
    select a.currency, sum(-x.net)::bigint
    from account a join (
        select customer_id, debit_account as account_id, amount as net from posting
        union all select customer_id, credit_account, -amount from posting
    ) x using (customer_id, account_id)
    join credit_grant g on g.customer_id = a.customer_id and a.subject = 'grant:' || g.ref and g.kind = 'commitment'
    where a.role in ('memo_commitments_outstanding', 'unbilled_receivable') group by 1"""
# What of the prices of credits is neither earned nor gone with them; of those not valid on the day what stands for them.
_PRICES_LEFT = """
    select currency, sum(amount) as amount from (
        select g.currency, g.price_minor - b.moved_minor - b.drawn_minor - b.broken_minor as amount
        from credit_grant g join grant_balance b using (customer_id, grant_id)
        where not g.free and g.kind <> 'commitment' and g.effective_on <= :through and (g.expires_on is null or g.expires_on > :through)
        union all
        select a.currency, case when p.credit_account = a.account_id then p.amount else -p.amount end
        from credit_grant g join account a on a.customer_id = g.customer_id and a.subject = 'grant:' || g.ref
        join posting p on p.customer_id = a.customer_id and a.account_id in (p.credit_account, p.debit_account)
        where a.role = 'customer_credits' and (g.expires_on <= :through or g.effective_on > :through)
    ) x group by 1"""


def _total(connection: Connection, name: str, *keys: str, **filters: Any) -> dict[tuple[Any, ...], int]:
    """What a report's figures come to, by some of what tells its rows."""
    found: dict[tuple[Any, ...], int] = {}
    for row in make(connection, name, Filters(**filters)).rows:
        place = tuple(row[key] for key in keys)
        for column, value in row.items():
            if isinstance(value, int) and column not in ("opening", "closing", "version", "to_date", "entry_id"):
                found[*place, column] = found.get((*place, column), 0) + value
    return {key: value for key, value in found.items() if value}


def assert_groups_add_up(connection: Connection) -> None:
    """However a disclosure is kept apart and added up, it says the same in all; what is to come is the same in each."""
    everything = ("customer", "contract", "product")

    total = partial(_total, connection)
    for name in ("deferred-rollforward", "asset-rollforward", "disaggregation"):
        for more in ({}, {"transaction": True}):
            whole = total(name, "currency", **more)
            assert total(name, "currency", group=everything, **more) == whole, name
            assert total(name, "currency", period="year", **more) == whole, name
            assert total(name, "currency", period="quarter", group=("product",), **more) == whole, name
    for more in ({}, {"transaction": False}):
        waterfall = total("revenue-waterfall", "currency", "status", **more)
        assert total("revenue-waterfall", "currency", "status", group=everything, **more) == waterfall
        assert total("revenue-waterfall", "currency", "status", period="year", group=("entity",), **more) == waterfall
        remaining = total("remaining-obligations", "currency", **more)
        assert total("remaining-obligations", "currency", group=everything, **more) == remaining
    _assert_to_come_ties(connection)


def _assert_to_come_ties(connection: Connection) -> None:
    """What is to come is the same in each report, and what is promised that of contracts, grants and commitments."""
    total = partial(_total, connection)
    through = month_end(last_day(connection, Filters()))
    to_come = {
        key[0]: value
        for key, value in total("revenue-waterfall", "currency", "status").items()
        if key[1] == "scheduled"
    }
    by_horizon: dict[Any, int] = {}
    for (currency, column), value in total("remaining-obligations", "currency", as_of=through).items():
        if column in ("within_12", "within_24", "later"):
            by_horizon[currency] = by_horizon.get(currency, 0) + value
    for currency, committed in connection.execute(text(_COMMITTED)):
        to_come[currency] = to_come.get(currency, 0) + committed
    assert {key: value for key, value in by_horizon.items() if value} == {k: v for k, v in to_come.items() if v}
    remaining = total("remaining-obligations", "currency", as_of=through)
    as_used = {key[0]: value for key, value in remaining.items() if key[1] == "as_used"}
    left = {row.currency: int(row.amount) for row in connection.execute(text(_PRICES_LEFT), {"through": through})}
    assert as_used == {key: value for key, value in left.items() if value}
    assert total("schedule", "currency", period="year", as_of=through) == total("schedule", "currency", as_of=through)
    assert total("unbilled", "currency", group=("product",)) == total("unbilled", "currency")
    by_obligation = total("schedule", "currency", as_of=through)
    scheduled = total("revenue-waterfall", "currency", "status")
    assert {key[0]: value for key, value in by_obligation.items() if key[1] == "scheduled"} == {
        key[0]: value for key, value in scheduled.items() if key[1] == "scheduled"
    }


def _books(cli: Cli) -> None:
    """A contract of two obligations, one billed ahead and one in arrears; prepaid credits; usage beyond them."""
    cli.post(
        *parties(),
        contract(
            "C", "2026-01-01", {"id": "C/a", "product": "seats", "ssp": "150.00", "start": "2026-01-01", "end": "2026-12-31", "pattern": "monthly"},
            {"id": "C/b", "product": "tokens", "ssp": "50.00", "start": "2026-01-01", "end": "2027-12-31", "pattern": "monthly"}, price="160.00",
        ),  # 120.00 over 12 months, 40.00 over 24
        invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "120.00", "obligation": "C/a"}),
        grant("G", "50.00", "2026-01-01"), invoice("P", "2026-02-01", prepaid("50.00")), promotion("F", "5.00"),
        usage("u1", "15.00", "2026-02-10"),  # 5.00 promotional, 10.00 prepaid
        payment("M", "120.00", "2026-01-20", ("I", "120.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")


def test_deferred_revenue_rolls_forward(cli: Cli) -> None:
    _books(cli)
    rows = cli.report("deferred-rollforward")
    keys = ("period", "opening", "billed", "recognised", "credited", "other", "closing")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        # 10.00 of seats a month, 10.00 of credits; tokens of the contract are earned of what it is billed ahead: 1.67, 1.66, 1.67
        ("2026-01", "0.00", "120.00", "-11.67", "0.00", "0.00", "108.33"),
        ("2026-02", "108.33", "50.00", "-21.66", "0.00", "0.00", "136.67"),
        ("2026-03", "136.67", "0.00", "-11.67", "0.00", "0.00", "125.00"),
    ]
    (quarter,) = cli.report("deferred-rollforward", "--by", "quarter")
    assert (quarter["period"], quarter["billed"], quarter["closing"]) == ("2026-Q1", "170.00", "125.00")
    grouped = cli.report("deferred-rollforward", "--by", "year", "--group", "product", "--group", "contract")
    assert [(r["contract"], r["product"], r["closing"]) for r in grouped] == [
        ("", "", "40.00"),
        ("C", "seats", "85.00"),
    ]
    march = cli.report("deferred-rollforward", "--from", "2026-03-01")
    assert [(r["opening"], r["closing"]) for r in march] == [("136.67", "125.00")]


def test_contract_assets_roll_forward(cli: Cli) -> None:
    _books(cli)
    keys = ("period", "opening", "earned", "other", "closing")
    # 40.00 over 24 months: 1.67, 3.33, 5.00 cumulatively; earned of what the contract is billed ahead, so it never was an asset
    assert cli.report("asset-rollforward") == []
    assert cli.report("unbilled") == []
    # the same of a contract that nobody billed
    alone = {
        "id": "D/b",
        "product": "tokens",
        "price": "40.00",
        "start": "2026-01-01",
        "end": "2027-12-31",
        "pattern": "monthly",
    }
    cli.post(contract("D", "2026-01-01", alone))
    cli.ok("recognize", "--through", "2026-03")
    rows = cli.report("asset-rollforward", "--contract", "D")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("2026-01", "0.00", "1.67", "0.00", "1.67"),
        ("2026-02", "1.67", "1.66", "0.00", "3.33"),
        ("2026-03", "3.33", "1.67", "0.00", "5.00"),
    ]
    (row,) = cli.report("unbilled")
    assert (row["contract"], row["subject"], row["amount"], row["earned_on"]) == (
        "D",
        "obligation:D/b",
        "5.00",
        "2026-03-31",
    )


def test_contract_balances_are_net_by_contract(cli: Cli) -> None:
    _books(cli)
    rows = {
        r["balance"]: (r["opening"], r["change"], r["closing"])
        for r in cli.report("contract-balances", "--from", "2026-03-01")
    }
    assert rows == {
        "Receivables": ("50.00", "0.00", "50.00"),
        "Contract assets": ("0.00", "0.00", "0.00"),
        # the contract: 100.00 billed ahead less 3.33 earned ahead, then 90.00 less 5.00; credits: 40.00. The ledger has it so
        "Contract liabilities": ("136.67", "-11.67", "125.00"),
        "Netted within contracts": ("0.00", "0.00", "0.00"),
        # 10.00 of seats, and 1.67 of tokens for which the contract was billed ahead
        "Revenue that was in the opening liability": (None, "11.67", None),
    }  # fmt: skip


def test_remaining_obligations_by_horizon(cli: Cli) -> None:
    _books(cli)
    (row,) = cli.report("remaining-obligations", "--as-of", "2026-03-31")
    # 90.00 of seats to December, 40.00 - 5.00 of tokens to December 2027: 20.00 of them within 12 months
    assert (row["within_12"], row["within_24"], row["later"], row["as_used"], row["total"]) == (
        "110.00", "15.00", "0.00", "40.00", "165.00",
    )  # fmt: skip
    by_contract = cli.report("remaining-obligations", "--as-of", "2026-03-31", "--group", "contract")
    assert [(r["contract"], r["total"]) for r in by_contract] == [("", "40.00"), ("C", "125.00")]
    (only,) = cli.report("remaining-obligations", "--as-of", "2026-03-31", "--contract", "C", "--product", "seats")
    assert only["total"] == "90.00"
    assert "expected the id of a contract" in cli.refused("report", "remaining-obligations", "--contract", "none")


def test_remaining_obligations_of_short_contracts_are_told_apart(cli: Cli) -> None:
    """606-10-50-14(a): of 260 to come after June, 60 is of a contract of one year, 200 of one of a year and a day."""
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "120.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        contract("D", "2026-07-01", obligation("D/o", "200.00", "2026-07-01", "2027-07-01", pattern="monthly")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    (row,) = cli.report("remaining-obligations", "--as-of", "2026-07-01")
    assert (row["total"], row["short"]) == ("260.00", "60.00")


def test_progress_has_no_date(cli: Cli) -> None:
    cli.post(
        *parties(), contract("C", "2026-01-01", {"id": "C/o", "product": "seats", "price": "100.00", "start": "2026-01-01", "pattern": "progress"}),
        {"type": "progress", "id": "p", "obligation": "C/o", "date": "2026-01-31", "percent": "30"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    (row,) = cli.report("remaining-obligations")
    assert (row["by_progress"], row["total"]) == ("70.00", "70.00")
    # as of a day, what is agreed later does not count; and what is credited is not promised any more
    line = {"id": "1", "kind": "service", "amount": "100.00", "obligation": "C/o"}
    cli.post(
        invoice("I", "2026-02-01", line),
        {
            "type": "credit_note",
            "id": "N",
            "invoice": "I",
            "date": "2026-02-10",
            "lines": [{"line": "1", "amount": "20.00"}],
        },
        {"type": "estimate", "id": "e", "contract": "C", "component": "bonus", "date": "2026-03-01", "amount": "50.00"},
    )
    cli.ok("recognize", "--through", "2026-03")
    left = {day: cli.report("remaining-obligations", "--as-of", day, "--group", "customer")[0]["by_progress"]
            for day in ("2026-01-31", "2026-02-28", "2026-03-31")}  # fmt: skip
    # 30 % of 80.00 leaves 56.00, 30 % of 130.00 leaves 91.00
    assert left == {"2026-01-31": "70.00", "2026-02-28": "56.00", "2026-03-31": "91.00"}


def test_revenue_is_disaggregated(cli: Cli) -> None:
    _books(cli)
    rows = cli.report("disaggregation", "--by", "quarter")
    assert [(r["product"], r["over_time"], r["usage"], r["contra"], r["total"]) for r in rows] == [
        ("seats", "30.00", "0.00", "0.00", "30.00"), ("tokens", "5.00", "15.00", "-5.00", "15.00"),
    ]  # fmt: skip


def test_a_schedule_names_its_versions(cli: Cli) -> None:
    _books(cli)
    cli.post({"type": "contract_modification", "id": "M1", "contract": "C", "date": "2026-04-01", "treatment": "prospective",
              "obligations": [{"id": "C/a", "product": "seats", "price": "90.00", "start": "2026-04-01", "end": "2026-12-31", "pattern": "monthly"}]})  # fmt: skip
    rows = [r for r in cli.report("schedule", "--contract", "C", "--as-of", "2026-04-30") if r["obligation"] == "C/a"]
    assert [(r["month"], r["version"], r["recognised"], r["scheduled"], r["to_date"]) for r in rows[2:5]] == [
        ("2026-03", 1, "10.00", "0.00", "30.00"), ("2026-04", 2, "0.00", "6.67", "36.67"), ("2026-05", 2, "0.00", "6.66", "43.33"),
    ]  # fmt: skip
    assert rows[-1]["to_date"] == "90.00"  # 30.00 stays, 60.00 over nine months
    (changed,) = cli.report("modifications")
    assert (changed["obligation"], changed["version"], changed["treatment"], changed["price_before"], changed["price"], changed["kept"]) == (
        "C/a", 2, "prospective", "120.00", "90.00", "30.00",
    )  # fmt: skip


def test_a_schedule_by_quarter_and_what_is_unbilled_by_product(cli: Cli) -> None:
    """10 a month changed to 20 from June: 30.00, then 10 + 10 + 20, then 60.00; nothing is billed."""
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "120.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-06-01",
         "obligations": [obligation("C/o", "190.00", "2026-01-01", "2026-12-31", pattern="monthly")]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-06")
    rows = cli.report("schedule", "--by", "quarter", "--as-of", "2026-06-30")
    assert [(row["month"], row["version"], row["recognised"], row["scheduled"]) for row in rows] == [
        ("2026-Q1", 1, "30.00", "0.00"), ("2026-Q2", 2, "40.00", "0.00"), ("2026-Q3", 2, "0.00", "60.00"), ("2026-Q4", 2, "0.00", "60.00"),
    ]  # fmt: skip
    (row,) = cli.report("unbilled", "--group", "product")
    assert (row["entity"], row["product"], row["amount"]) == ("us", "seats", "70.00")


def test_an_allocation_shows_its_worksheet(cli: Cli) -> None:
    _books(cli)
    rows = [(r["obligation"], r["ssp"], r["share"], r["price"], r["discount"]) for r in cli.report("allocation")]
    assert rows == [("C/a", "150.00", "75.00", "120.00", "30.00"), ("C/b", "50.00", "25.00", "40.00", "10.00")]


def test_changes_explain_the_difference_between_then_and_now(cli: Cli, connection: Connection) -> None:
    _books(cli)
    signed = datetime.now(UTC)
    options = ("--as-of", "2026-03-31")
    before = {r["account"]: (r["debit"], r["credit"]) for r in cli.report("trial-balance", *options)}
    cli.post(
        usage("late", "7.00", "2026-02-20"),
        {
            "type": "credit_note",
            "id": "N",
            "invoice": "I",
            "date": "2026-03-15",
            "lines": [{"line": "1", "amount": "12.00"}],
        },
        invoice("later", "2026-05-01", service("1.00", "2026-05-01", "2026-05-31")),
    )
    cli.ok("recognize", "--through", "2026-03")
    rows = cli.report("changes", *options, "--known-at", signed.isoformat())
    assert {row["document"] for row in rows} == {"usage late", "credit_note N", "recognition 2026-03/2"}
    explained: dict[str, float] = {}
    for row in rows:
        explained[row["account"]] = explained.get(row["account"], 0) + float(row["amount"])
    after = {r["account"]: (r["debit"], r["credit"]) for r in cli.report("trial-balance", *options)}
    for account, now in after.items():
        then = before.get(account, ("0", "0"))
        difference = abs(float(now[0]) - float(now[1])) - abs(float(then[0]) - float(then[1]))
        assert difference == pytest.approx(explained.get(account, 0)), account
    assert "expected the moment the earlier report was made" in cli.refused("report", "changes")


def test_disclosures_tie_to_the_ledger(cli: Cli, connection: Connection) -> None:
    _books(cli)
    assert_disclosures_tie(connection)
    assert_groups_add_up(connection)


def test_amounts_in_the_currency_of_the_transaction(cli: Cli, connection: Connection) -> None:
    rate: dict[str, Any] = {
        "type": "fx_rate",
        "id": "r",
        "date": "2026-01-01",
        "base": "EUR",
        "quote": "USD",
        "rate": "1.20",
    }
    cli.post(
        *parties(),
        rate,
        invoice("E", "2026-01-01", service("100.00", "2026-01-01", "2026-02-28")) | {"currency": "EUR"},
    )
    (row,) = cli.report("deferred-rollforward")
    assert (row["currency"], row["closing"]) == ("USD", "120.00")
    (row,) = cli.report("deferred-rollforward", "--transaction-currency")
    assert (row["currency"], row["closing"]) == ("EUR", "100.00")
    assert make(connection, "deferred-rollforward", Filters(transaction=True)).rows[0]["billed"] == 10_000


def test_what_is_to_come_in_the_entitys_currency(cli: Cli) -> None:
    """1,200 EUR for a year, 600 billed at 1.20; by March 300 is earned, 300 stands ahead at 1.20, 600 to bill at March's 1.10.

    360.00 + 660.00 = 1,020.00 USD to come, after 360.00 earned. In April to June the 300 billed ahead are earned at 1.20.
    """
    rates = [
        {"type": "fx_rate", "id": day, "date": day, "base": "EUR", "quote": "USD", "rate": rate}
        for day, rate in (("2026-01-01", "1.20"), ("2026-03-31", "1.10"))
    ]
    year = obligation("C/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")
    cli.post(
        *parties(), *rates, contract("C", "2026-01-01", year) | {"currency": "EUR"},
        invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "600.00", "obligation": "C/o"}) | {"currency": "EUR"},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    march = ("--as-of", "2026-03-31", "--functional-currency")
    (row,) = cli.report("remaining-obligations", *march)
    assert (row["currency"], row["within_12"], row["total"]) == ("USD", "1020.00", "1020.00")
    (row,) = cli.report("remaining-obligations", "--as-of", "2026-03-31")
    assert (row["currency"], row["total"]) == ("EUR", "900.00")
    months = {row["month"]: (row["recognised"], row["scheduled"]) for row in cli.report("schedule", *march)}
    assert months["2026-03"] == ("120.00", "0.00")
    assert (months["2026-04"], months["2026-07"]) == (("0.00", "120.00"), ("0.00", "110.00"))
    waterfall = cli.report("revenue-waterfall", *march)
    assert {row["currency"] for row in waterfall} == {"USD"}
    assert sum(Decimal(row["amount"]) for row in waterfall) == 1380
    assert sum(Decimal(row["amount"]) for row in cli.report("revenue-waterfall", "--as-of", "2026-03-31")) == 1200


def test_a_difference_names_the_documents_that_explain_it_and_no_others(cli: Cli) -> None:
    """Signed with 75 deferred; then a credit of 30 dated in March, and a change and an invoice dated after: only the credit explains."""
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "100.00", "2026-01-01", "2026-04-30", pattern="monthly")),
        invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "100.00", "obligation": "C/o"}),
        invoice("J", "2026-01-01", service("40.00", "2026-03-01", "2026-04-30")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    signed = cli.now()
    cli.post(
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-01-31", "lines": [{"line": "1", "amount": "20.00"}]},
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-03-01",
         "obligations": [obligation("C/o", "90.00", "2026-01-01", "2026-04-30", pattern="monthly")]},
        invoice("K", "2026-02-10", service("5.00", "2026-02-10", "2026-02-20")),
    )  # fmt: skip
    rows = cli.report("deferred-rollforward", "--group", "contract", "--as-of", "2026-01-31", "--against", signed)
    found = {
        (row["contract"], row["figure"]): (row["signed"], row["now"], row["difference"], row["because"]) for row in rows
    }
    assert found == {
        ("C", "Credited"): ("0.00", "-20.00", "-20.00", "credit_note N"),
        ("C", "Closing"): ("75.00", "55.00", "-20.00", "credit_note N"),
    }
    assert "expected a moment before known-at" in cli.refused(
        "report", "summary", "--known-at", signed, "--against", signed
    )


def _explained(cli: Cli, report: str, signed: str, *options: str) -> dict[tuple[str, ...], tuple[str, str]]:
    """By what a row says of itself and the figure: the difference, and the documents that explain it."""
    rows = cli.report(report, "--against", signed, *options)
    told = ("signed", "now", "difference", "because")
    return {
        tuple(str(value) for key, value in row.items() if key not in told): (row["difference"], row["because"])
        for row in rows
    }


def test_each_figure_is_explained_by_what_moved_it(cli: Cli) -> None:
    """120.00 a year billed in January, 10.00 of it recognised; then 24.00 more billed, and 10.00 + 6.00 recognised in February."""
    cli.post(*parties(), invoice("I", "2026-01-01", service("120.00", "2026-01-01", "2026-12-31", pattern="monthly")))
    cli.ok("recognize", "--through", "2026-01")
    signed = cli.now()
    cli.post(
        invoice("K", "2026-02-01", service("24.00", "2026-02-01", "2026-05-31", pattern="monthly")),
        payment("P", "5.00", "2026-02-03", ("I", "5.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    run = "recognition 2026-02/1"
    options = ("--as-of", "2026-02-28")
    # February opened with 110.00 before, too: no row of its own is no opening of 0
    assert _explained(cli, "deferred-rollforward", signed, *options) == {
        ("2026-02", "us", "USD", "Billed"): ("24.00", "invoice K"),
        ("2026-02", "us", "USD", "Recognised"): ("-16.00", run),
        ("2026-02", "us", "USD", "Closing"): ("8.00", f"invoice K, {run}"),
    }
    found = _explained(cli, "contract-balances", signed, *options, "--from", "2026-02-01")
    assert found["us", "USD", "Receivables", "Closing"] == ("19.00", "invoice K, payment P")
    assert found["us", "USD", "Contract liabilities", "Closing"] == ("8.00", f"invoice K, {run}")
    assert found["us", "USD", "Revenue that was in the opening liability", "Change"] == ("10.00", run)
    assert not [key for key in found if key[-1] == "Opening"]
    found = _explained(cli, "ar-aging", signed, *options)
    assert [(key[1], because) for key, (_, because) in found.items() if key[-1] == "Due"] == [
        ("I", "payment P"),
        ("K", "invoice K"),
    ]
    # February's 10.00 of I went from what is to come to what is recognised; the months after are as they were
    found = _explained(cli, "schedule", signed, *options)
    assert {key[-2:]: told for key, told in found.items() if key[2] == "I/1"} == {
        ("USD", "Recognised"): ("10.00", run), ("USD", "Scheduled"): ("-10.00", run),
    }  # fmt: skip
    assert {told[1] for key, told in found.items() if key[2] == "K/1" and key[4] == "2026-03"} == {"invoice K"}
    # K has 18.00 to come; I has 10.00 less. The whole is moved by both
    assert _explained(cli, "remaining-obligations", signed, *options)["us", "USD", "Total"] == (
        "8.00",
        f"invoice K, {run}",
    )


def test_a_balance_of_contracts_is_explained_by_those_that_have_it(cli: Cli) -> None:
    """C is billed ahead and D in arrears: what bills C is no explanation of assets, D's recognition none of liabilities."""
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "120.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        contract("D", "2026-01-01", obligation("D/o", "60.00", "2026-01-01", "2026-12-31", pattern="monthly", product="tokens")),
    )  # fmt: skip
    signed = cli.now()
    cli.post(invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "120.00", "obligation": "C/o"}))
    cli.ok("recognize", "--through", "2026-01")
    found = _explained(cli, "contract-balances", signed, "--as-of", "2026-01-31")
    run = "recognition 2026-01/1"
    assert found["us", "USD", "Contract liabilities", "Closing"] == ("110.00", f"invoice I, {run}")
    assert found["us", "USD", "Contract assets", "Closing"] == ("5.00", run)


def test_what_is_to_come_is_explained_by_what_changed_it(cli: Cli) -> None:
    """A change from March on moves March and later; a bill moves nothing; usage moves credits, their bill does not."""
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "120.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        grant("G", "50.00"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    signed = cli.now()
    cli.post(
        {"type": "contract_modification", "id": "M", "contract": "C", "date": "2026-03-01", "treatment": "prospective",
         "obligations": [obligation("C/o", "140.00", "2026-01-01", "2026-12-31", pattern="monthly")]},
        invoice("I", "2026-02-01", {"id": "1", "kind": "service", "amount": "30.00", "obligation": "C/o"}, prepaid("50.00") | {"id": "2"}),
        usage("u", "8.00", "2026-02-10"), usage("v", "5.00", "2026-02-11", supersedes="u"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    options = ("--as-of", "2026-03-01")
    found = {key[4:]: told[1] for key, told in _explained(cli, "schedule", signed, *options).items()}
    # March: what was overdue of February went, and the change counts from it on
    assert found["2026-03", "USD", "Scheduled"] == "contract_modification M, recognition 2026-02/1"
    assert found["2026-04", "USD", "Scheduled"] == "contract_modification M"
    found = _explained(cli, "remaining-obligations", signed, *options)
    assert found["us", "USD", "As credits are used"] == ("-5.00", "usage u, usage v")
    assert found["us", "USD", "Within 12 months"] == ("10.00", "contract_modification M, recognition 2026-02/1")
    found = _explained(cli, "trial-balance", signed, *options)
    assert found["us", "2150", "Customer credits (prepaid)", "customer_credits", "USD", "Credit"] == (
        "45.00",
        "invoice I, usage u, usage v",
    )


def _remaining(cli: Cli, *options: str) -> tuple[str, ...]:
    (row,) = cli.report("remaining-obligations", *options)
    return tuple(row[key] for key in ("within_12", "within_24", "later", "as_used", "total", "short"))


def test_what_is_committed_and_not_used_is_promised(cli: Cli, connection: Connection) -> None:
    """C28: 120,000.00 for 2026, 30,000.00 used and billed: 90,000.00 by December. And 50.00 to 2028, and what is foreign."""
    cli.post(
        *parties(), grant("K", "120000.00", kind="commitment", expires_on="2026-12-31"),
        usage("u", "30000", "2026-03-15"), invoice("I", "2026-03-31", billed_usage("30000.00")),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-03")
    assert _remaining(cli, "--as-of", "2026-03-31") == ("90000.00", "0.00", "0.00", "0.00", "90000.00", "90000.00")
    cli.post(grant("L", "50.00", "2026-02-01", kind="commitment", expires_on="2028-01-31"))
    # 22 months after March 2026; two years are no year or less
    assert _remaining(cli, "--as-of", "2026-03-31") == ("90000.00", "50.00", "0.00", "0.00", "90050.00", "90000.00")
    # on a day before that usage, all of the first; before February only that
    assert _remaining(cli, "--as-of", "2026-01-31")[:2] == ("120000.00", "0.00")
    assert_groups_add_up(connection)
    # ties to what is outstanding by the memorandum
    (memo,) = [r for r in cli.report("trial-balance", "--memorandum") if r["role"] == "memo_commitments_outstanding"]
    assert memo["credit"] == "90050.00"
    # the first is used up; the shortfall of the other is billed in 2028
    cli.post(usage("v", "90000", "2026-12-31"), invoice("S", "2028-01-31", shortfall("50.00", "L", "1")))
    assert cli.report("remaining-obligations", "--as-of", "2028-01-31") == []
    cli.post(_entity("eu", "EUR"), {"type": "fx_rate", "id": "r", "date": "2028-02-01", "base": "USD", "quote": "EUR", "rate": "0.5"},
             grant("M", "10.00", "2028-02-01", kind="commitment", expires_on="2028-03-31", entity="eu"))  # fmt: skip
    assert _remaining(cli, "--as-of", "2028-02-01")[4] == "10.00"
    (row,) = cli.report("remaining-obligations", "--as-of", "2028-02-01", "--functional-currency")
    assert (row["currency"], row["within_12"], row["total"]) == ("EUR", "5.00", "5.00")


def shortfall(amount: str, ref: str, line: str) -> dict[str, Any]:
    return {"id": line, "kind": "shortfall", "amount": amount, "grant": ref, "product": "tokens"}


def _entity(ref: str, currency: str) -> dict[str, Any]:
    return {"type": "entity", "id": ref, "name": "Acme", "currency": currency}


def test_prepaid_orders_are_promised_before_they_are_billed(cli: Cli) -> None:
    """100.00 of credits to 2028, 30.00 used, 60.00 billed, then returned: by then 70.00, 70.00 and 0.00 are to be given."""
    cli.post(
        *parties(),
        grant("G", expires_on="2028-01-31"),
        promotion("F", "5.00", priority=1),
        usage("u", "35.00", "2026-01-10"),
    )
    # 5.00 promotional, which promise nothing; 30.00 of the 100.00, earned and not billed
    assert _remaining(cli, "--as-of", "2026-01-31") == ("0.00", "0.00", "0.00", "70.00", "70.00", "0.00")
    cli.post(invoice("P", "2026-02-01", prepaid("60.00")))
    assert _remaining(cli, "--as-of", "2026-02-28")[3:] == ("70.00", "70.00", "0.00")
    assert _remaining(cli, "--as-of", "2026-01-31")[3:] == ("70.00", "70.00", "0.00")
    cli.post(
        {
            "type": "grant_return",
            "id": "R",
            "customer": "globex",
            "grant": "G",
            "date": "2026-03-01",
            "reason": "no more",
        }
    )
    assert cli.report("remaining-obligations", "--as-of", "2026-03-31") == []
    assert _remaining(cli, "--as-of", "2026-02-28")[3:] == ("70.00", "70.00", "0.00")


def test_a_part_of_an_order_that_is_returned_is_not_promised(cli: Cli, connection: Connection) -> None:
    """100.00 ordered, 60.00 billed, 40.00 returned and credited: 60.00 are left, of which 20.00 are billed."""
    cli.post(
        *parties(), grant("G"), invoice("P", "2026-01-01", prepaid("60.00")),
        {"type": "grant_return", "id": "R", "customer": "globex", "grant": "G", "date": "2026-02-01", "amount": "40.00", "reason": "less"},
    )  # fmt: skip
    assert _remaining(cli, "--as-of", "2026-02-28")[3:] == ("60.00", "60.00", "0.00")
    assert _remaining(cli, "--as-of", "2026-01-31")[3:] == ("100.00", "100.00", "0.00")
    assert_groups_add_up(connection)


def test_free_credits_of_an_order_count_by_their_share_only(cli: Cli, connection: Connection) -> None:
    """1,000.00 for 1,200.00 of credits in a year, of which 300.00 are used at 0.8333: 750.00 are promised, by a year's order."""
    order = {"contract": "order", "expires_on": "2026-12-31"}
    cli.post(
        *parties(), grant("G", "1000.00", **order), promotion("B", "200.00", priority=1, **order), usage("u", "300.00", "2026-01-20"),
        invoice("I", "2026-02-05", prepaid("400.00")),
    )  # fmt: skip
    for day in ("2026-01-31", "2026-02-28"):
        assert _remaining(cli, "--as-of", day)[3:] == ("750.00", "750.00", "750.00")
    assert_groups_add_up(connection)
    # expired, what was not billed is not promised any more
    cli.ok("recognize", "--through", "2026-12")
    assert cli.report("remaining-obligations", "--as-of", "2026-12-31") == []


def test_the_reports_own_month_has_what_is_not_recognised_of_it(cli: Cli, connection: Connection) -> None:
    """100.00 a month, recognised through January: in February's books February's is scheduled in February, not in March.

    The same where the contract was modified to the same terms; and what is overdue counts in the report's month.
    """
    cli.post(
        *parties(), contract("C", "2026-01-01", obligation("C/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly")),
        contract("D", "2026-01-01", obligation("D/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly", product="tokens")),
        {"type": "contract_modification", "id": "M", "contract": "D", "date": "2026-01-20", "treatment": "catch_up", "reason": "as before",
         "obligations": [obligation("D/o", "1200.00", "2026-01-01", "2026-12-31", pattern="monthly", product="tokens")]},
        usage("u", "1.00", "2026-02-10"),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    for day in ("2026-02-10", "2026-02-28"):
        for of in ("C", "D"):
            rows = cli.report("schedule", "--contract", of, "--as-of", day)
            assert [(r["month"], r["recognised"], r["scheduled"]) for r in rows[:3]] == [
                ("2026-01", "100.00", "0.00"), ("2026-02", "0.00", "100.00"), ("2026-03", "0.00", "100.00"),
            ]  # fmt: skip
        rows = cli.report("revenue-waterfall", "--as-of", day, "--group", "product")
        due = [
            (r["month"], r["product"], r["amount"])
            for r in rows
            if r["status"] == "scheduled" and r["month"] < "2026-04"
        ]
        assert due == [
            ("2026-02", "seats", "100.00"), ("2026-02", "tokens", "100.00"), ("2026-03", "seats", "100.00"), ("2026-03", "tokens", "100.00"),
        ]  # fmt: skip
    # nothing of February, and nothing of March: 200.00 each in March, the report's month
    rows = cli.report("revenue-waterfall", "--as-of", "2026-03-15")
    assert [(r["month"], r["amount"]) for r in rows if r["status"] == "scheduled"][:2] == [("2026-03", "400.00"), ("2026-04", "200.00")]  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    rows = cli.report("revenue-waterfall", "--as-of", "2026-02-28")
    assert min(r["month"] for r in rows if r["status"] == "scheduled") == "2026-03"
    # on the last day of the term, not recognised: all of it in its month
    (row,) = cli.report("remaining-obligations", "--as-of", "2026-12-31", "--contract", "C")
    assert (row["within_12"], row["total"]) == ("1000.00", "1000.00")


def _by_product(cli: Cli) -> dict[str, tuple[str, str, str]]:
    return {r["product"]: (r["usage"], r["contra"], r["total"]) for r in cli.report("disaggregation", "--by", "year")}


def test_promotions_are_shown_under_the_product_that_was_used(cli: Cli, connection: Connection) -> None:
    """20.00 of free credits: 12.00 used for tokens, 3.00 for seats; 4.00 of goodwill is of no product."""
    cli.post(
        *parties(), promotion("F", "20.00"), usage("u", "12.00", "2026-01-10"), usage("v", "3.00", "2026-01-11", product="seats"),
    )  # fmt: skip
    assert _by_product(cli) == {"seats": ("3.00", "-3.00", "0.00"), "tokens": ("12.00", "-12.00", "0.00")}
    only = cli.report("disaggregation", "--product", "seats")
    assert [(r["usage"], r["contra"]) for r in only] == [("3.00", "-3.00")]
    assert_disclosures_tie(connection)


def test_what_is_given_back_of_credits_is_of_the_products_they_were_used_for(cli: Cli, connection: Connection) -> None:
    """100.00 of credits, 20.00 used for tokens and 10.01 for seats, then refunded: 30.01 of them were earned.

    And a lost dispute of what was earned of seats, and of usage billed, each under its own.
    """
    cli.post(
        *parties(), grant("G", "30.01"), invoice("P", "2026-01-01", prepaid("30.01")), payment("PAY", "30.01", "2026-01-02", ("P", "30.01")),
        usage("u", "20.00", "2026-01-10"), usage("v", "10.01", "2026-01-11", product="seats"),
        {"type": "refund", "id": "R", "payment": "PAY", "date": "2026-02-01", "amount": "10.00", "invoice": "P"},
    )  # fmt: skip
    # 10.00 x 10.01 / 30.01 = 3.3356 of seats, which come first by name; 6.66 of tokens
    assert _by_product(cli) == {"seats": ("10.01", "-3.34", "6.67"), "tokens": ("20.00", "-6.66", "13.34")}
    assert_disclosures_tie(connection)
    assert_groups_add_up(connection)
    cli.post(
        usage("w", "40.00", "2026-02-10"), invoice("U", "2026-02-20", billed_usage("40.00")),
        payment("PU", "40.00", "2026-02-21", ("U", "40.00")),
        {"type": "dispute", "id": "D", "payment": "PU", "date": "2026-03-01", "amount": "40.00", "status": "opened"},
        {"type": "dispute", "id": "D2", "payment": "PU", "date": "2026-03-02", "amount": "40.00", "status": "lost"},
    )  # fmt: skip
    assert _by_product(cli)["tokens"] == ("60.00", "-46.66", "13.34")
    assert_disclosures_tie(connection)
