"""Invoices as their readers see them, drafts among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import Cli
from tests.samples import billed_usage, grant, invoice, one_time, parties, payment, prepaid, service, usage
from tests.serving import MakeApp

VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}


def _seen(cli: Cli, ref: str) -> dict[str, Any]:
    return json.loads(cli.ok("invoice", ref, "--format", "json"))


def test_lines_are_grouped_rolled_up_and_unfolded(cli: Cli) -> None:
    def seats(line: str, amount: str, quantity: str, group: str, **more: str) -> dict[str, Any]:
        return service(amount, "2026-01-01", "2026-01-31", line) | {
            "quantity": quantity, "unit_price": "10.00", "group": group, "label": "Seats", "tax_codes": ["VAT"], **more
        }  # fmt: skip

    cli.post(
        *parties(), VAT,
        usage("u1", "3", "2026-01-02", unit_price="0.50", events="trace.csv rows 1-9"), usage("u2", "5", "2026-01-03", unit_price="0.50"),
        invoice(
            "I", "2026-01-31", seats("1", "20.00", "2", "Berlin"), seats("2", "25.00", "3", "Berlin", discount="5.00"),
            seats("3", "10.00", "1", "Paris"), billed_usage("4.00", "4") | {"group": "Berlin"}, one_time("7.00", "5"),
        ),
        payment("P", "30.00", "2026-02-01", ("I", "30.00")),
        {"type": "credit_note", "id": "N", "invoice": "I", "date": "2026-02-02", "lines": [{"line": "5", "amount": "2.00"}]},
        {"type": "write_off", "id": "W", "invoice": "I", "date": "2026-02-03", "amount": "1.00", "reason": "dust", "approved_by": "c"},
    )  # fmt: skip
    seen = _seen(cli, "I")
    groups = [
        (g["group"], g["amount"], [(i["label"], i["quantity"], i["unit_price"], i["amount"]) for i in g["items"]])
        for g in seen["groups"]
    ]
    assert groups == [
        ("Berlin", "49.00", [("Seats", "5", "10.00", "45.00"), ("Tokens", "8", "0.50", "4.00")]),
        ("Paris", "10.00", [("Seats", "1", "10.00", "10.00")]),
        ("", "7.00", [("Seats", None, None, "7.00")]),
    ]
    [line] = seen["groups"][0]["items"][1]["lines"]
    assert [(row["document"], row["amount"], row["events"]) for row in line["usage"]] == [
        ("u1", "1.50", "trace.csv rows 1-9"), ("u2", "2.50", None),
    ]  # fmt: skip
    assert [(t["code"], t["base"], t["tax"]) for t in seen["taxes"]] == [("VAT", "55.00", "11.00")]
    money = {key: seen[key] for key in ("total", "paid", "credited", "written_off", "due", "status")}
    assert money == {
        "total": "77.00", "paid": "30.00", "credited": "2.00", "written_off": "1.00", "due": "44.00", "status": "open",
    }  # fmt: skip
    shown = cli.ok("invoice", "I", "--unfold")
    assert "trace.csv rows 1-9" in shown
    assert "VAT (VAT) on 55.00" in shown
    assert cli.ok("invoice", "I").count("\n") < shown.count("\n")


def test_usage_is_billed_in_the_order_it_was_used(cli: Cli) -> None:
    """What one invoice leaves, the next takes up; one taken back is passed over, and still shows what it billed."""
    cli.post(
        *parties(), grant("G", "1.00", expires_on="2026-06-30"), invoice("P", "2026-01-01", prepaid("1.00")),
        usage("u0", "1.00", "2026-01-01"),  # drawn from the grant: no invoice bills it
        usage("u1", "3.00", "2026-01-02"), usage("u2", "5.00", "2026-01-03"), usage("old", "9.00", "2026-01-04"),
        usage("new", "2.00", "2026-01-04", supersedes="old"),
        invoice("V", "2026-01-05", billed_usage("10.00")),
        {"type": "invoice_void", "id": "v", "invoice": "V", "date": "2026-01-06", "reason": "too early"},
        invoice("A", "2026-01-07", billed_usage("4.00")), invoice("B", "2026-01-08", billed_usage("4.00", "1"), billed_usage("2.00", "2")),
    )  # fmt: skip

    def billed(ref: str) -> list[list[tuple[str, str]]]:
        lines = [line for g in _seen(cli, ref)["groups"] for item in g["items"] for line in item["lines"]]
        return [[(row["document"], row["amount"]) for row in line["usage"]] for line in lines]

    assert billed("A") == [[("u1", "3.00"), ("u2", "1.00")]]
    assert billed("B") == [[("u2", "4.00")], [("new", "2.00")]]
    assert billed("V") == [[("u1", "3.00"), ("u2", "5.00"), ("new", "2.00")]]
    assert _seen(cli, "V")["status"] == "void"
    assert "2026-01-03, 4.00 USD on line 1" in cli.ok("trace", "invoice:B")
    assert "u1" not in cli.ok("trace", "invoice:B")


def test_fractions_of_a_cent_unfold_to_all_their_usage(cli: Cli) -> None:
    cli.post(
        *parties(), *(usage(f"u{n}", "1", "2026-01-02", unit_price="0.004") for n in range(10)),
        invoice("I", "2026-01-31", billed_usage("0.04")),
    )  # fmt: skip
    [item] = _seen(cli, "I")["groups"][0]["items"]
    assert (item["quantity"], item["unit_price"], item["amount"]) == ("10", "0.004", "0.04")
    assert len(item["lines"][0]["usage"]) == 10


def test_a_draft_is_computed_and_not_posted(cli: Cli, tmp_path: Path) -> None:
    entity, *rest = parties()
    cli.post(entity | {"invoice_prefix": "N-"}, *rest, VAT, usage("u1", "3.00", "2026-01-02"))
    before = cli.report("trial-balance", "--memorandum")
    draft = tmp_path / "draft.json"
    document = invoice("I", "2026-01-31", billed_usage("5.00") | {"tax_codes": ["VAT"]})
    draft.write_text(json.dumps(document, indent=2))  # a draft may be laid out for people
    shown = cli.ok("invoice", "--draft", str(draft))
    assert "Invoice I, draft" in shown
    assert (
        "would post on 2026-01-31: 3.00 USD invoice.usage, 2.00 USD invoice.usage_ahead, 1.00 USD invoice.tax" in shown
    )
    assert cli.report("trial-balance", "--memorandum") == before
    assert "expected the id of an invoice in the books" in cli.refused("invoice", "I")
    draft.write_text(json.dumps(document | {"customer": "nobody"}))
    assert "customer = nobody" in cli.refused("invoice", "--draft", str(draft))
    draft.write_text(json.dumps(usage("u", "1.00", "2026-01-01")))
    assert "type = usage: expected one of invoice" in cli.refused("invoice", "--draft", str(draft))
    cli.post(document)  # finalised: the number it takes is the first
    assert _seen(cli, "I")["number"] == "N-1"
    draft.write_text(json.dumps(document))
    assert "not in the books yet" in cli.refused("invoice", "--draft", str(draft))


def test_invoices_and_drafts_over_http(cli: Cli, make_books_app: MakeApp) -> None:
    cli.post(*parties(), usage("u1", "3.00", "2026-01-02"))
    client = make_books_app(open_as="tester").test_client()
    document = invoice("I", "2026-01-31", billed_usage("3.00"))
    draft = client.post("/v1/drafts", json=document)
    assert (draft.status_code, draft.json["invoice"]["status"], draft.json["invoice"]["total"]) == (
        200,
        "draft",
        "3.00",
    )
    assert [line["amount"] for line in draft.json["entries"][0]["lines"]] == ["3.00", "3.00"]
    assert client.get("/v1/invoices/I").status_code == 404
    assert client.post("/v1/drafts", json=document | {"due_on": "x"}).status_code == 422
    cli.post(document)
    assert client.get("/v1/invoices/I").json["status"] == "open"
    page = client.get("/invoices/I").text
    assert "u1" in page
    assert "Tokens" in page
    assert client.get("/invoices/none").status_code == 404
