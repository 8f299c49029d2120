"""Default taxes by customer and country, invoice numbers without gaps, alerts on wallets."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, Engine, text

from tests.conftest import Cli, lines
from tests.samples import grant, invoice, one_time, parties, payment, prepaid, usage
from tests.test_properties import _post

VAT = {"type": "tax_code", "id": "DE-VAT", "name": "VAT", "rate": "0.19", "countries": ["DE"]}
OWN = {"type": "tax_code", "id": "OWN", "name": "Own", "rate": "0.10"}


def _customer(ref: str, **more: object) -> dict[str, object]:
    return {"type": "customer", "id": ref, "name": ref, **more}


def test_a_line_without_codes_bears_the_customer_s_or_the_country_s(cli: Cli) -> None:
    def billed(ref: str, customer: str, **more: object) -> dict[str, object]:
        return invoice(ref, "2026-01-05", one_time("100.00") | more) | {"customer": customer}

    cli.post(
        *parties(), VAT, OWN, _customer("german", country="DE"), _customer("own", country="DE", tax_codes=["OWN"]),
        _customer("free", country="DE", tax_codes=[]), _customer("french", country="FR"),
        _customer("exempt", country="DE", tax_status="exempt"),
        billed("I1", "german"), billed("I2", "own"), billed("I3", "free"), billed("I4", "french"), billed("I5", "exempt"),
        billed("I6", "german", tax_codes=[]), billed("I7", "german", tax_codes=["OWN"]), billed("I8", "globex"),
        invoice("I9", "2026-01-05", {"id": "1", "kind": "opening", "amount": "1.00"}) | {"customer": "german"},
    )  # fmt: skip
    due = {row["invoice"]: row["due"] for row in cli.report("ar-aging")}
    assert due == {
        "I1": "119.00", "I2": "110.00", "I3": "100.00", "I4": "100.00", "I5": "100.00", "I6": "100.00", "I7": "110.00",
        "I8": "100.00", "I9": "1.00",
    }  # fmt: skip
    taxes = [(row["code"], row["treatment"], row["base"], row["tax"]) for row in cli.report("tax")]
    assert taxes == [
        ("DE-VAT", "exempt", "100.00", "0.00"), ("DE-VAT", "taxable", "100.00", "19.00"), ("OWN", "taxable", "200.00", "20.00"),
    ]  # fmt: skip
    assert "tax_codes = NONE: expected the id of a tax code" in cli.refuse(_customer("x", tax_codes=["NONE"]))


def test_invoice_numbers_have_no_gaps_whatever_is_refused(cli: Cli, connection: Connection) -> None:
    entity, *rest = parties()
    cli.post(entity | {"invoice_prefix": "US-"}, *rest, invoice("A", "2026-01-01", one_time("1.00")))
    cli.refuse(
        invoice("B", "2026-01-01", one_time("1.00")), invoice("C", "2026-01-01", one_time("1.00") | {"product": "none"})
    )
    bad = lines(
        [
            invoice("D", "2026-01-01", one_time("1.00") | {"product": "none"}),
            invoice("E", "2026-01-02", one_time("1.00")),
        ]
    )
    cli.run("post", "-", "--keep-going", "--rejects", "/dev/null", stdin=bad)
    cli.post(invoice("A", "2026-01-01", one_time("1.00")), invoice("F", "2026-01-03", one_time("1.00")))
    numbers = connection.execute(text("select ref, number from invoice order by number")).all()
    assert [tuple(row) for row in numbers] == [("A", 1), ("E", 2), ("F", 3)]
    assert "all" in cli.ok("verify")


def test_two_connections_number_without_gaps(engine: Engine, cli: Cli) -> None:
    entity, customer, *rest = parties()
    cli.post(entity | {"invoice_prefix": ""}, customer, *rest, _customer("initech"))
    failures: list[object] = []

    def bill(customer: str) -> None:
        for number in range(15):
            document = invoice(f"{customer}{number}", "2026-01-05", one_time("1.00")) | {"customer": customer}
            outcome, refused = _post(engine, [document])
            if outcome.posted != 1 or refused:
                failures.append(refused)

    threads = [threading.Thread(target=bill, args=(name,)) for name in ("globex", "initech")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with engine.connect() as connection:
        assert list(connection.scalars(text("select number from invoice order by 1"))) == list(range(1, 31))
    assert "all" in cli.ok("verify")


def test_crossing_a_threshold_is_recorded_once_each_way(cli: Cli) -> None:
    alert = {
        "type": "wallet_alert",
        "id": "low",
        "customer": "globex",
        "entity": "us",
        "currency": "USD",
        "threshold": "25.00",
    }
    cli.post(*parties(), grant("G"), invoice("I", "2026-01-01", prepaid("100.00")), alert)
    assert cli.report("wallet-alerts") == []
    cli.post(usage("u1", "70.00", "2026-01-05"))  # 30 left
    cli.post(usage("u2", "10.00", "2026-01-06"))  # 20 left
    cli.post(usage("u3", "5.00", "2026-01-07"), payment("P", "1.00", "2026-01-08"))  # 15 left: said already
    cli.post(grant("H", "50.00"))  # 65 left
    cli.post(usage("u4", "41.00", "2026-01-09"))  # 24 left
    found = [(row["alert"], row["threshold"], row["crossed"], row["left"]) for row in cli.report("wallet-alerts")]
    assert found == [
        ("low", "25.00", "below", "20.00"), ("low", "25.00", "above", "65.00"), ("low", "25.00", "below", "24.00"),
    ]  # fmt: skip
    assert "expected 0 or more" in cli.refuse(alert | {"id": "x", "threshold": "-1.00"})


def test_expiry_crosses_a_threshold_too(cli: Cli) -> None:
    alert = {
        "type": "wallet_alert",
        "id": "low",
        "customer": "globex",
        "entity": "us",
        "currency": "USD",
        "threshold": "1.00",
    }
    cli.post(*parties(), alert, grant("G", expires_on="2026-01-31"), invoice("I", "2026-01-01", prepaid("100.00")))
    cli.ok("recognize", "--through", "2026-01")
    assert [(row["crossed"], row["left"]) for row in cli.report("wallet-alerts")] == [("below", "0.00")]
