from __future__ import annotations

from datetime import date

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.journal import periods
from tests.conftest import Cli
from tests.samples import invoice, one_time, parties, payment, usage


def _january(cli: Cli) -> None:
    cli.post(*parties(), usage("u1", "1.00", "2026-01-05"))
    closed, sealed = cli.ok("close", "2026-01").splitlines()
    assert closed == "2026-01 is closed for us"
    assert "seal 1 is " in sealed


def test_a_late_document_posts_into_the_first_open_month_and_keeps_its_date(cli: Cli, owner: Connection) -> None:
    _january(cli)
    assert "1 entries moved out of closed months" in cli.post(usage("u2", "2.00", "2026-01-20"))
    assert cli.summary() == {
        "2026-01": {"revenue": "1.00", "unbilled_receivable": "1.00"},
        "2026-02": {"revenue": "2.00", "unbilled_receivable": "2.00"},
    }
    row = owner.execute(text("select effective_on, occurred_on from entry order by entry_id desc limit 1")).one()
    assert row == (date(2026, 2, 1), date(2026, 1, 20))
    cli.ok("verify")


def test_late_documents_can_be_refused(cli: Cli) -> None:
    _january(cli)
    result = cli.run("post", "--refuse-late", "-", stdin='{"type": "product", "id": "x", "name": "X"}\n')
    assert result.exit_code == 0
    from tests.conftest import lines

    result = cli.run("post", "--refuse-late", "-", stdin=lines([usage("u2", "2.00", "2026-01-20")]))
    assert result.exit_code == 1
    assert "usage u2: date = 2026-01-20: the books of us are closed through 2026-01-31" in result.stderr
    assert "2026-02" not in cli.summary()


def test_a_payment_of_a_closed_month_settles_in_the_open_one(cli: Cli) -> None:
    cli.post(*parties(), invoice("I", "2026-01-05", one_time("10.00")))
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("close", "2026-01")
    cli.post(payment("P", "10.00", "2026-01-20", ("I", "10.00")))
    assert cli.summary()["2026-02"] == {"accounts_receivable": "-10.00", "cash": "10.00"}
    cli.ok("verify")


def test_months_close_in_order_and_once(cli: Cli) -> None:
    _january(cli)
    cli.post(usage("u2", "1.00", "2026-02-05"))
    assert "month = 2026-01: the books of us are closed through 2026-01-31 already" in cli.refused("close", "2026-01")
    assert "month = 2026-03: expected 2026-02 first: it has entries" in cli.refused("close", "2026-03")
    cli.ok("close", "2026-02")
    cli.ok("close", "2026-05")  # nothing in between


def test_a_month_is_opened_again_on_the_record(cli: Cli, owner: Connection) -> None:
    _january(cli)
    assert "expected the last closed one, 2026-01" in cli.refused("reopen", "2025-12", "--reason", "x")
    assert "expected why" in cli.refused("reopen", "2026-01", "--reason", " ")
    cli.ok("reopen", "2026-01", "--reason", "the meter was wrong")
    cli.post(usage("u2", "2.00", "2026-01-20"))
    assert cli.summary() == {"2026-01": {"revenue": "3.00", "unbilled_receivable": "3.00"}}
    cli.ok("close", "2026-01")
    events = owner.execute(text("select action, by, reason from period_event order by period_event_id")).all()
    assert events == [
        ("closed", "tester", ""),
        ("reopened", "tester", "the meter was wrong"),
        ("closed", "tester", ""),
    ]
    cli.ok("verify")


def test_an_unknown_entity_closes_nothing(cli: Cli) -> None:
    assert "entity = nowhere" in cli.refused("close", "2026-01", "--entity", "nowhere")


def test_the_database_itself_keeps_closed_books_closed(cli: Cli, engine: object, connection: Connection) -> None:
    _january(cli)
    # an entry as the application could write it, behind the books' back
    with pytest.raises(DBAPIError) as refused:
        connection.execute(
            text(
                "with e as (insert into entry select customer_id, 999, document_id, now(), null, effective_on,"
                " occurred_on, 1, 'x', hash from entry limit 1 returning *) "
                "insert into posting select customer_id, 999, debit_account, credit_account, 1, 1, effective_on, 1, rule"
                " from posting limit 1"
            )
        )
    assert isinstance(refused.value.orig, psycopg.Error)
    assert refused.value.orig.sqlstate == "TM004"
    assert "closed through 2026-01-31" in str(refused.value.orig)


def test_the_checklist_says_what_the_month_waits_for_and_posts_nothing(cli: Cli) -> None:
    euros = {"currency": "EUR"}
    rates = [
        {"type": "fx_rate", "id": day, "date": day, "base": "EUR", "quote": "USD", "rate": rate}
        for day, rate in (("2026-01-01", "1.10"), ("2026-01-31", "1.20"))
    ]
    cli.post(*parties(), *rates, invoice("I", "2026-01-05", one_time("10.00")) | euros)
    before = cli.summary()
    told = cli.run("close", "2026-01", "--check")
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "TODO us: revenue is recognised: entries due: 1",
        "TODO us: money in other currencies is revalued: entries due: 2",
        "ok   us: the books verify",
        "ok   us: nothing is left standing of what has ended",
        "ok   us: no revenue is below zero without a cause",
        "ok   us: no account of money is below zero",
    ]
    assert cli.summary() == before
    cli.ok("recognize", "--through", "2026-01")
    cli.ok("revalue", "2026-01")
    assert "TODO" not in cli.ok("close", "2026-01", "--check")
    cli.ok("close", "2026-01")
    told = cli.run("close", "2026-01", "--check")
    assert (told.exit_code, told.stdout) == (
        1,
        "TODO us: 2026-01 is open: the books of us are closed through 2026-01-31\n",
    )
    assert "entity = x: expected the id of an entity" in cli.refused("close", "2026-02", "--check", "--entity", "x")


def test_what_came_in_while_a_close_waited_was_in_time(cli: Cli, engine: Engine) -> None:
    """A close that began before a poster but got the books after it: the poster's entry is in the month, and no difference."""
    cli.post(*parties())
    with engine.connect() as closing, closing.begin():
        closing.execute(text("select now()"))  # its transaction begins
        cli.post(usage("u", "1.00", "2026-01-05"))
        periods.close(closing, "us", date(2026, 1, 1), "tester")
    cli.ok("verify")
