"""Invoices, credit notes and statements as they are sent: what they say ties to the books, and each is what it is of."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from ledger.amounts.money import grouped
from tests.conftest import Cli
from tests.samples import application, billed_usage, grant, invoice, one_time, parties, payment, prepaid, service, usage
from tests.serving import MakeApp
from web.access import keys as access
from web.render import printed, sheet

VAT = {"type": "tax_code", "id": "VAT", "name": "Value added tax", "rate": "0.20"}
INCLUDED = {"type": "tax_code", "id": "GST", "name": "Goods tax", "rate": "0.10", "inclusive": True}
EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}
OURS = {
    "type": "details", "id": "us/1", "entity": "us", "date": "2025-01-01", "name": "Acme AI, Inc.", "address": ["500 Howard Street", "San Francisco"],
    "remittance": ["ACH 021000021", "account <9>"], "tax_ids": ["EIN 12-3456789"], "footer": "Thank you.",
}  # fmt: skip
THEIRS = {
    "type": "details", "id": "globex/1", "customer": "globex", "date": "2025-01-01", "name": "Globex Corporation", "address": ["1 Main Street"],
}  # fmt: skip


def _text(html: str) -> str:
    """What a reader sees of a page, a space between what stands apart."""
    body = html[html.index("<body>") :]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def _books(cli: Cli, *more: dict[str, Any]) -> None:
    cli.post(
        *parties(), VAT, INCLUDED, OURS, THEIRS, grant("G"),
        invoice("I", "2026-01-05", prepaid("100.00") | {"tax_codes": ["VAT"]}),
        usage("u1", "70.00", "2026-01-20"), usage("u2", "50.00", "2026-01-25"), *more,
    )  # fmt: skip


def _bill(**more: Any) -> dict[str, Any]:
    return invoice(
        "J", "2026-01-31",
        billed_usage("20.00", "1") | {"group": "Usage", "tax_codes": ["VAT"]},
        service("300.00", "2026-02-01", "2026-02-28", "2", tax_codes=["VAT"], group="Seats"),
        one_time("11.00", "3") | {"tax_codes": ["GST"]}, **more,
    )  # fmt: skip


def test_an_invoice_says_what_it_charges_and_what_is_due(cli: Cli, connection: Connection) -> None:
    _books(cli, _bill(), payment("P", "64.00", "2026-02-03", ("J", "64.00")))
    sheet = printed.print_document(connection, "invoice", "J")
    said = _text(sheet.html)
    # 20.00 and 300.00 with 20 % on top, 11.00 with 10 % in it; 331.00 + 64.00 = 395.00, of which 64.00 is paid
    assert "Subtotal 331.00" in said
    assert "Value added tax 20 % VAT on 320.00 64.00" in said
    assert "Goods tax 10 % GST on 10.00, included (1.00)" in said
    assert "Total 395.00 USD" in said
    assert "Payment P 3 Feb 2026 \N{MINUS SIGN}64.00" in said
    assert "Amount due 331.00 USD" in said
    assert "Acme AI, Inc. 500 Howard Street, San Francisco" in said
    assert "Globex Corporation 1 Main Street" in said
    assert "Service period 1 Feb 2026 to 28 Feb 2026" in said
    assert "account &lt;9&gt;" in sheet.html
    assert "Reference J , 331.00 USD by" in said
    # of 100.00 credits all were used since the invoice before
    assert "G 31 Dec 2026 100.00 100.00" in said or "G no end 100.00 100.00" in said
    aging = {row["invoice"]: row["due"] for row in cli.report("ar-aging")}
    assert aging["J"] == "331.00"
    assert sheet.file == "invoice-j"


def test_it_is_named_and_reached_as_on_its_day(cli: Cli, connection: Connection) -> None:
    _books(cli, THEIRS | {"id": "later", "date": "2026-01-20", "name": "Globex SE", "attention": "J. Doe"}, _bill())
    assert "Globex Corporation" in printed.print_document(connection, "invoice", "I").html
    later = printed.print_document(connection, "invoice", "J").html
    assert "Globex SE" in later
    assert "Attn. J. Doe" in later
    cli.ok("erase", "globex", "--reason", "asked")
    connection.rollback()
    after = printed.print_document(connection, "invoice", "J").html
    assert "Doe" not in after
    assert "Globex" in after  # the name it is posted with


def test_reverse_charge_and_another_currency_are_said(cli: Cli, connection: Connection) -> None:
    entity, customer, *rest = parties()
    cli.post(
        entity, EU, customer | {"country": "DE", "tax_id": "DE136695976", "tax_status": "reverse_charge"}, *rest, VAT,
        invoice("I", "2026-01-31", one_time("200.00") | {"tax_codes": ["VAT"]}, entity="eu", fx_rate="0.90"),
    )  # fmt: skip
    said = _text(printed.print_document(connection, "invoice", "I").html)
    assert sheet.REVERSE_CHARGE in said
    assert "Recipient&rsquo;s tax ID DE136695976" in said
    assert "VAT on 200.00, reverse charge 0.00" in said
    assert "Exchange rate 1 USD = 0.9 EUR, fixed on 31 Jan 2026: total 180.00 EUR" in said


def test_a_credit_note_says_what_it_takes_back(cli: Cli, connection: Connection) -> None:
    _books(
        cli, _bill(), payment("P", "385.00", "2026-02-03", ("J", "385.00")),
        {"type": "credit_note", "id": "CN", "invoice": "J", "date": "2026-02-05", "reason": "not <used>",
         "lines": [{"line": "2", "amount": "30.00"}, {"line": "3", "amount": "5.50"}]},
    )  # fmt: skip
    sheet = printed.print_document(connection, "credit_note", "CN")
    said = _text(sheet.html)
    # 30.00 and its 6.00 of tax, 5.50 with 0.50 in it: 41.50, of which 10.00 was still due
    assert "VAT on 30.00 6.00" in said
    assert "GST on 5.00, included (0.50)" in said
    assert "Total credited 41.50 USD" in said
    assert "Set off against invoice J 10.00" in said
    assert "Put to your balance 31.50" in said
    assert "not &lt;used&gt;" in sheet.html
    balance = {row["role"]: row["credit"] for row in cli.report("trial-balance")}
    assert balance["customer_balance"] == "31.50"


_NOTE = {
    "type": "credit_note", "id": "CN", "invoice": "J", "date": "2026-02-05",
    "lines": [{"line": "2", "amount": "30.00"}, {"line": "3", "amount": "5.50"}, {"product": "seats", "amount": "10.00", "tax_codes": ["VAT"]}],
}  # fmt: skip
_NOTE_VOID = {
    "type": "credit_note_void",
    "id": "CV",
    "credit_note": "CN",
    "date": "2026-02-20",
    "reason": "wrong <customer>",
}


def test_a_note_taken_back_says_what_is_billed_again(cli: Cli, connection: Connection) -> None:
    _books(cli, _bill(), payment("P", "385.00", "2026-02-03", ("J", "385.00")), _NOTE, _NOTE_VOID)
    said = _text(printed.print_document(connection, "credit_note_void", "CV").html)
    # the note was of 41.50 and 12.00, of which 10.00 settled J: the 43.50 that it left are there, 31.50 settle J again
    assert "Cancellation" in said
    assert "Takes back credit note CN of 5 Feb 2026 For invoice J of 31 Jan 2026" in said
    assert "Billed again 53.50 USD" in said
    assert "VAT on 40.00 8.00" in said
    assert "GST on 5.00, included (0.50)" in said
    assert "Total billed again 53.50 USD Taken from your balance 43.50 Due again of invoice J 10.00" in said
    assert {row["invoice"]: row["due"] for row in cli.report("ar-aging")} == {"I": "120.00", "J": "10.00"}
    assert "Total credited 53.50 USD" in _text(printed.print_document(connection, "credit_note", "CN").html)


def test_a_note_of_no_invoice_taken_back_is_no_more_on_the_balance(cli: Cli, connection: Connection) -> None:
    lines = [{"product": "seats", "amount": "10.00", "description": "Outage", "tax_codes": ["VAT"]}]
    party = {"customer": "globex", "entity": "us", "currency": "USD"}
    note = {"type": "credit_note", "id": "CN", **party, "date": "2026-02-05", "lines": lines}
    _books(cli, note, _NOTE_VOID)
    said = _text(printed.print_document(connection, "credit_note_void", "CV").html)
    assert "Outage VAT 10.00 Value added tax VAT on 10.00 2.00" in said
    assert "Total billed again 12.00 USD Taken from your balance 12.00" in said
    assert "Due again" not in said


def test_a_payment_that_came_back_says_what_is_due_again(cli: Cli, connection: Connection) -> None:
    back = {
        "type": "payment_reversal",
        "id": "PR",
        "payment": "P",
        "date": "2026-02-09",
        "reason": "R01 <funds>",
        "fee": "4.00",
    }
    _books(
        cli, _bill(), payment("P", "500.00", "2026-02-03", ("J", "385.00"), ("I", "100.00"), reference="cheque 7"), back,
    )  # fmt: skip
    sheet = printed.print_document(connection, "payment_reversal", "PR")
    said = _text(sheet.html)
    assert "Returned payment" in said
    assert "Payment P of 3 Feb 2026 Its reference cheque 7 Reason R01 &lt;funds&gt; Returned 500.00 USD" in said
    assert "I 5 Jan 2026 5 Jan 2026 100.00 USD J 31 Jan 2026 31 Jan 2026 385.00 USD" in said
    assert "Taken from your balance 15.00 USD" in said
    assert "ACH 021000021" in said
    assert sheet.file == "returned-payment-pr"


def test_a_payment_that_came_back_to_a_parent_names_whose_invoices_are_due(cli: Cli, connection: Connection) -> None:
    child = {"type": "customer", "id": "child", "name": "Globex Labs", "parent": "globex"}
    back = {"type": "payment_reversal", "id": "PR", "payment": "P", "date": "2026-02-09", "reason": "R01"}
    bill = invoice("K", "2026-01-10", one_time("40.00"), customer="child")
    _books(cli, child, bill, payment("P", "40.00", "2026-02-03", ("K", "40.00")), back)
    said = _text(printed.print_document(connection, "payment_reversal", "PR").html)
    assert "Notice to Globex Corporation" in said
    assert "K Globex Labs 10 Jan 2026 10 Jan 2026 40.00 USD" in said


def test_a_recovery_and_a_receipt_that_came_back_are_told_as_payments_are(cli: Cli, connection: Connection) -> None:
    """Of a receipt of 50.00, 30.00 pay I: these are due again. A recovery leaves what was written off written off."""
    _books(
        cli, {"type": "unidentified_receipt", "id": "X", "entity": "us", "currency": "USD", "date": "2026-01-20", "rail": "wire", "amount": "50.00"},
        {"type": "receipt_identified", "id": "XI", "receipt": "X", "customer": "globex", "date": "2026-01-21"},
        application("A", "30.00", "2026-01-22", "I"), _bill(),
        {"type": "payment_reversal", "id": "R1", "receipt": "XI", "date": "2026-02-09", "reason": "R01"},
        {"type": "write_off", "id": "W", "invoice": "J", "date": "2026-02-10", "reason": "gone", "approved_by": "ann"},
        {"type": "recovery", "id": "RC", "write_off": "W", "date": "2026-02-20", "rail": "check", "amount": "60.00"},
        {"type": "payment_reversal", "id": "R2", "recovery": "RC", "date": "2026-03-09", "reason": "bounced"},
    )  # fmt: skip
    said = _text(printed.print_document(connection, "payment_reversal", "R1").html)
    assert "Payment XI of 21 Jan 2026 Reason R01 Returned 50.00 USD" in said
    assert "I 5 Jan 2026 5 Jan 2026 30.00 USD Taken from your balance 20.00 USD" in said
    said = _text(printed.print_document(connection, "payment_reversal", "R2").html)
    assert "Payment RC of 20 Feb 2026 Reason bounced Returned 60.00 USD" in said
    assert "due again" not in said


def test_a_void_and_a_void_invoice(cli: Cli, connection: Connection) -> None:
    _books(
        cli,
        _bill(),
        {"type": "invoice_void", "id": "V", "invoice": "J", "date": "2026-02-05", "reason": "wrong customer"},
    )
    assert 'class="stamp void"' in printed.print_document(connection, "invoice", "J").html
    said = _text(printed.print_document(connection, "invoice_void", "V").html)
    assert said.startswith("Acme AI, Inc. 500 Howard Street, San Francisco Cancellation")
    assert "Total credited 395.00 USD" in said


@pytest.mark.parametrize("since", [None, "2026-01-10"])
def test_a_statement_ends_with_the_balance_of_the_books(cli: Cli, since: str | None, tmp_path: Path) -> None:
    _books(cli, _bill(), payment("P", "120.00", "2026-02-03", ("I", "120.00")))
    options = ("--from", since) if since else ()
    rows = cli.report("statement", "--customer", "globex", *options)
    cli.ok("print", "statement", "globex", "--output", str(tmp_path / "s.html"), "--as-of", "2026-02-10", *options)
    said = _text((tmp_path / "s.html").read_text(encoding="utf-8"))
    assert f"Balance due {rows[-1]['balance']} USD" in said
    assert ("Brought forward" in said) == (since is not None)
    assert said.count("Invoice I ") == (1 if since is None else 0) + said.count("Invoice I 4")
    assert "31 Jan 2026 Invoice J 395.00" in said
    assert "3 Feb 2026 Payment P \N{EN DASH} 120.00 395.00" in said


def test_a_credit_note_and_a_void_of_one_id_are_two(cli: Cli, connection: Connection) -> None:
    _books(
        cli, _bill(), {"type": "credit_note", "id": "X", "invoice": "I", "date": "2026-02-05", "lines": [{"line": "1", "amount": "5.00"}]},
        {"type": "invoice_void", "id": "X", "invoice": "J", "date": "2026-02-05", "reason": "wrong customer"},
    )  # fmt: skip
    assert "Total credited 6.00 USD" in _text(printed.print_document(connection, "credit_note", "X").html)
    assert "Total credited 395.00 USD" in _text(printed.print_document(connection, "invoice_void", "X").html)


def test_what_was_billed_before_a_statements_first_day_is_still_open(cli: Cli, connection: Connection) -> None:
    _books(cli, _bill())
    said = _text(printed.print_statement(connection, "globex", "us", date(2026, 1, 10), date(2026, 2, 10)).html)
    # I (120.00, due on its day) was brought forward; J (395.00) came in between
    assert "I 5 Jan 2026 36 120.00" in said
    assert "J 31 Jan 2026 10 395.00" in said
    assert "Balance due 515.00 USD" in said


def test_several_entities_on_one_invoice(cli: Cli, connection: Connection) -> None:
    cli.post(
        *parties(), EU | {"currency": "USD"}, OURS, OURS | {"id": "eu/1", "entity": "eu", "name": "Acme AI GmbH, Berlin", "remittance": ["none"]},
        invoice("M", "2026-01-31", one_time("100.00"), one_time("50.00", "2") | {"entity": "eu"}),
    )  # fmt: skip
    said = _text(printed.print_document(connection, "invoice", "M").html)
    assert said.count("supplied by Acme AI GmbH, Berlin") == 1
    assert (
        "Acme AI GmbH, Berlin, 500 Howard Street, San Francisco, tax ID EIN 12-3456789, supplies what is marked so; Acme AI, Inc. collects it."
        in said
    )
    assert "Total 150.00 USD" in said


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="Debian's poppler-utils is not installed")
def test_a_pdf_is_one_page_with_the_same_words(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("weasyprint", exc_type=OSError)
    _books(cli, _bill())
    file = tmp_path / "an invoice.pdf"
    assert cli.ok("print", "invoice", "J", "--output", str(file)) == f"Invoice J: {file}\n"
    said = " ".join(
        subprocess.run(
            ["pdftotext", "-layout", str(file), "-"], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    for words in ("Total 395.00 USD", "Value added tax 20 % VAT on 320.00", "Globex Corporation", "Page 1 of 1"):
        assert words in said
    info = subprocess.run(["pdfinfo", str(file)], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^Title: +Invoice J, Acme AI, Inc\.$", info, re.MULTILINE)
    assert re.search(r"^Tagged: +yes$", info, re.MULTILINE)


def test_many_lines_go_over_several_pages(cli: Cli, connection: Connection) -> None:
    pytest.importorskip("weasyprint", exc_type=OSError)
    cli.post(
        *parties(), invoice("I", "2026-01-31", *(one_time("1.00", str(n)) | {"label": f"Item {n}"} for n in range(120)))
    )
    sheet = printed.print_document(connection, "invoice", "I")
    assert sheet.html.count("<tr><td>Item ") == 120
    assert sheet.pdf().startswith(b"%PDF-")
    assert f"Total {grouped(12000, 'USD')} USD" in _text(sheet.html)


def test_what_is_not_there_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    _books(cli)
    assert "invoice = x: expected the id of an invoice in the books" in cli.refused(
        "print", "invoice", "x", "--output", "x.html"
    )
    assert "credit_note = x: expected the id of a document of the type credit_note" in cli.refused(
        "print", "credit_note", "x", "--output", "x.html"
    )
    assert "customer = x: expected the id of a customer" in cli.refused("print", "statement", "x", "--output", "x.html")
    assert "entity = x" in cli.refused("print", "statement", "globex", "--entity", "x", "--output", "x.html")
    assert cli.run("print", "invoice", "I", "--output", "x.doc").exit_code == 2
    assert "from = 2026-05-01: expected 2026-01-31 or before" in cli.refused(
        "print", "statement", "globex", "--from", "2026-05-01", "--as-of", "2026-01-31", "--output", "x.html"
    )


def test_over_http_with_a_policy_that_lets_its_own_style_in(cli: Cli, engine: Engine, make_books_app: MakeApp) -> None:
    _books(cli, EU)
    app = make_books_app()
    with engine.begin() as connection:
        keys = {name: access.create(connection, name, "viewer", "tester", (name,)) for name in ("us", "eu")}
    client = app.test_client()

    def get(path: str, name: str = "us") -> Any:
        return client.get(path, headers={"Authorization": f"Bearer {keys[name]}"})

    answer = get("/v1/print/invoice/I")
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "Total 120.00 USD" in _text(answer.text)
    assert get("/v1/print/invoice/I", "eu").status_code == 404
    assert get("/v1/print/statement/globex").status_code == 200
    assert get("/v1/print/statement/globex?entity=us", "eu").status_code == 404
    assert get("/v1/print/usage/u1").status_code == 422
    cli.post(
        payment("P", "9.00", "2026-02-03"),
        {"type": "payment_reversal", "id": "PR", "payment": "P", "date": "2026-02-09", "reason": "R01"},
    )
    party = {"customer": "globex", "entity": "us", "currency": "USD"}
    cli.post(
        {
            "type": "credit_note",
            "id": "CN",
            **party,
            "date": "2026-02-05",
            "lines": [{"product": "seats", "amount": "10.00"}],
        },
        _NOTE_VOID,
    )
    for kind, ref in (("payment_reversal", "PR"), ("credit_note", "CN"), ("credit_note_void", "CV")):
        assert get(f"/v1/print/{kind}/{ref}").status_code == 200
        assert get(f"/v1/print/{kind}/{ref}", "eu").status_code == 404
    assert get("/v1/print/invoice/I?format=doc").status_code == 422
    assert get("/v1/print/credit_note/none").status_code == 404
