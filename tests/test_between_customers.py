"""Money of one customer that becomes another's: it leaves the one's balance, enters the other's, and nothing stays between them."""

from __future__ import annotations

import json
from datetime import date

import pytest
from sqlalchemy import Engine

from ledger.between_customers import pass_on
from ledger.books import Books
from ledger.reading import content_hash
from tests.conftest import Cli
from tests.samples import PARTY, parties, payment
from tests.test_currencies import rate


@pytest.mark.parametrize(("currency", "worth", "lost"), [("USD", "50.00", None), ("EUR", "57.00", "2.00")])
def test_what_leaves_one_enters_the_other(
    cli: Cli, engine: Engine, currency: str, worth: str, lost: str | None
) -> None:
    """20.00 of 50.00 pass. In euros, which came in at 1.10 and pass at 1.20: 30.00 stay at 1.10; 24.00 for 22.00 is a loss of 2.00."""
    other = {"type": "customer", "id": "initech", "name": "Initech"}
    money = {"currency": currency}
    cli.post(
        *parties(), other, rate("2026-01-01", "1.10"), rate("2026-01-15", "1.20"), payment("P", "50.00", "2026-01-10") | money
    )  # fmt: skip
    on, fields = date(2026, 1, 20), {"type": "application", "id": "A"}
    with engine.begin() as connection:
        books = Books(connection, "tester")
        source = books.source(books.number("document_number"), PARTY["customer"], "us", currency, on)
        pass_on(books, source, "initech", on, 2000)
        books.add_document(
            source.customer.customer_id, source.document_id, "application", "A", on, json.dumps(fields), content_hash(fields)
        )  # fmt: skip
        books.flush()
    balances = {
        row["customer"]: row["balance"]
        for who in ("globex", "initech")
        for row in cli.report("statement", "--customer", who)
    }
    assert balances == {"globex": "-30.00", "initech": "-20.00"}
    totals = {row["role"]: row for row in cli.report("trial-balance") if row["debit"] != row["credit"]}
    assert "customer_clearing" not in totals
    assert totals["customer_balance"]["credit"] == worth
    assert totals.get("fx_loss", {}).get("debit") == lost
    assert "WARN" not in cli.ok("verify")
    assert "application A" in cli.ok("trace", "beside:application:A")
    assert "beside application:A" in cli.ok("trace", "application:A")
