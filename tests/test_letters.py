"""Ids and names that can't be told from others: refused of what comes in, and left as they are where they are in the books."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from ledger.documents import ids
from ledger.usage import one_statement, read_lines
from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, one_time, parties, payment, prepaid, usage
from tests.serving import MakeApp

Document = dict[str, Any]

HIDDEN = {
    "a\u200bb": "U+200B ZERO WIDTH SPACE", "a\u200db": "U+200D ZERO WIDTH JOINER", "\u202eexe.fdp": "U+202E RIGHT-TO-LEFT OVERRIDE",
    "\u2066x\u2069": "U+2066 LEFT-TO-RIGHT ISOLATE, U+2069 POP DIRECTIONAL ISOLATE", "a\ufeffb": "U+FEFF ZERO WIDTH NO-BREAK SPACE",
    "x\u2028y": "U+2028 LINE SEPARATOR", "x\u2029y": "U+2029 PARAGRAPH SEPARATOR", "a\u00adb": "U+00AD SOFT HYPHEN",
    "a\u3164b": "U+3164 HANGUL FILLER", "a\u034fb": "U+034F COMBINING GRAPHEME JOINER", "a\ufe0fb": "U+FE0F VARIATION SELECTOR-16",
    "a\u00a0b": "U+00A0 NO-BREAK SPACE", "a\u2009b": "U+2009 THIN SPACE", "a\ue000b": "U+E000", "a\U000e0041b": "U+E0041 TAG LATIN CAPITAL LETTER A",
}  # fmt: skip
APART = {
    "cafe\u0301": "U+00E9 in place of U+0065 U+0301", "\u212bngstrom": "U+00C5 in place of U+212B",
    "\u1112\u1161\u11ab": "U+D55C in place of U+1112 U+1161 U+11AB", "a\u0307\u0323": "U+1EA1 U+0307 in place of U+0061 U+0307 U+0323",
}  # fmt: skip
STEPS = ("..", ".", "../../x", "a/./b", "a/..")
FINE = (
    "Ελλάδα", "東京", "café", "Ünï 1", "हिन्दी", "ไทย", "עברית", "العربية", "한국", "ガス", "a..b", ".env", "a.", "/", "//x", "a//b", "x/",
    "https://example.org/?a=b#c", "a%2Fb", "a\\b",
)  # fmt: skip


def test_ids_whose_letters_can_not_be_seen_are_refused(cli: Cli) -> None:
    for made, named in HIDDEN.items():
        told = cli.refuse({"type": "product", "id": made, "name": "x"})
        assert f"letters that can be seen, and spaces of U+0020 alone: not {named}\n" in told, told
        shown = "".join(letter if letter.isascii() else f"U+{ord(letter):04X}" for letter in made)
        assert f"line 1: product {shown}: id = {shown}: expected" in told


def test_ids_of_letters_apart_are_refused(cli: Cli) -> None:
    for made, said in APART.items():
        told = cli.refuse({"type": "product", "id": made, "name": "x"})
        assert f": expected an id of composed letters (Unicode NFC): {said}\n" in told


def test_ids_that_no_address_can_hold_are_refused(cli: Cli) -> None:
    for made in STEPS:
        told = cli.refuse({"type": "product", "id": made, "name": "x"})
        assert f"product {made}: id = {made}: expected an id that can stand in an address" in told


def test_ids_of_any_script_have_their_pages(cli: Cli, make_books_app: MakeApp) -> None:
    cli.post(*parties())
    for made in FINE:
        cli.post(
            {"type": "customer", "id": made, "name": "X"}, {"type": "entity", "id": made, "name": "E", "currency": "USD"},
            invoice(made, "2026-01-05", one_time("1.00"), customer=made, entity=made),
            contract(made, "2026-01-01", obligation(f"{made}/o", "1.00", "2026-01-01", "2026-01-31"), customer=made, entity=made),
        )  # fmt: skip
    cli.ok("verify")
    client = make_books_app(open_as="tester").test_client()
    for page in ("/customers", "/receivables", "/close"):
        assert client.get(page).status_code == 200
    for made in FINE:
        _has_its_pages(client, made)


def _has_its_pages(client: FlaskClient, made: str) -> None:
    with client.application.test_request_context():
        addresses = [
            client.application.url_for(endpoint, **places)
            for endpoint, places in (
                ("parties.customer", {"ref": made}), ("parties.contract", {"ref": made}), ("pages.invoice", {"ref": made}),
                ("pages.thing", {"kind": "contract", "ref": made}), ("sheets.sheet", {"kind": "invoice", "ref": made}),
                ("pages.ledger_account", {"entity": made, "role": "accounts_receivable"}),
                ("desk.checklist", {"entity": made, "month": "2026-01"}), ("desk.workbook", {"entity": made}),
            )
        ]  # fmt: skip
    quoted = quote(made, safe="")
    addresses += [
        f"/v1/invoices/{quoted}",
        f"/v1/trace/invoice:{quoted}",
        f"/v1/print/invoice/{quoted}",
        f"/v1/periods/{quoted}",
    ]
    addresses += [f"/v1/periods/{quoted}/2026-01/checklist"]
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200, (made, address, answer.text)
        answer.close()
    for page, told in (("/customers", addresses[0]), ("/receivables", addresses[2])):
        assert f'href="{escape(told)}"' in client.get(page).text, (page, told)


@contextmanager
def of_any_letters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is posted has ids as an older release took them."""
    with monkeypatch.context() as before:
        before.setattr(ids, "require_plain", lambda *_: None)
        for module in (read_lines, one_statement):
            before.setattr(module, "expected_of_id", lambda _: None)
        yield


OLD = "a\u200bcafe\u0301/../x"


def _of_old() -> list[Document]:
    """Documents as an older release took them, each made and named by such ids."""
    return [
        {"type": "entity", "id": OLD, "name": "Acme", "currency": "USD"}, {"type": "customer", "id": OLD, "name": "Globex"},
        {"type": "product", "id": OLD, "name": "Tokens"}, grant(OLD, customer=OLD, entity=OLD, contract=OLD),
        contract(OLD, "2026-01-01", obligation(f"{OLD}o", "120.00", "2026-01-01", "2026-12-31") | {"product": OLD},
                 {"id": f"{OLD}m", "product": OLD, "price": "10.00", "start": "2026-01-01", "pattern": "milestones",
                  "milestones": [{"id": f"{OLD}s", "amount": "10.00"}]}, customer=OLD, entity=OLD),
        {"type": "estimate", "id": OLD, "contract": OLD, "component": OLD, "date": "2026-01-02", "amount": "12.00"},
        invoice(OLD, "2026-01-05", {"id": OLD, "kind": "service", "amount": "120.00", "obligation": f"{OLD}o"},
                prepaid("100.00", OLD, "2") | {"product": OLD}, customer=OLD, entity=OLD),
        *(usage(f"{OLD}{number}", "1.00", "2026-01-10", customer=OLD, entity=OLD, product=OLD) for number in range(3)),
        payment(OLD, "20.00", "2026-01-12", (OLD, "20.00")) | {"customer": OLD, "entity": OLD},
    ]  # fmt: skip


def _of_new() -> list[Document]:
    """Documents of this release that name what is there, and go on with it."""
    return [
        usage("u", "1.00", "2026-01-11", customer=OLD, entity=OLD, product=OLD), usage("v", "2.00", "2026-01-11", customer=OLD, entity=OLD, product=OLD),
        usage("w", "3.00", "2026-01-11", customer=OLD, entity=OLD, product=OLD, supersedes=f"{OLD}1"),
        {"type": "refund", "id": "r", "payment": OLD, "date": "2026-02-01", "amount": "5.00"},
        {"type": "credit_note", "id": "n", "invoice": OLD, "date": "2026-02-01", "lines": [{"line": OLD, "amount": "6.00"}]},
        {"type": "estimate", "id": "e", "contract": OLD, "component": OLD, "date": "2026-02-02", "amount": "24.00"},
        {"type": "contract_modification", "id": "c", "contract": OLD, "date": "2026-07-01", "treatment": "prospective",
         "obligations": [obligation(f"{OLD}o", "60.00", "2026-07-01", "2026-12-31") | {"product": OLD}]},
        {"type": "progress", "id": "p", "obligation": f"{OLD}m", "milestone": f"{OLD}s", "date": "2026-02-03"},
    ]  # fmt: skip


def test_what_is_in_the_books_stays_and_can_be_named(
    cli: Cli, make_books_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with of_any_letters(monkeypatch):
        for document in _of_old():
            cli.post(document)
    count = len(_of_old())
    # posted again, alone, all at once, or behind what is posted in bulk
    assert f"posted 0 documents as 0 entries, {count} posted before" in cli.post(*_of_old())
    for document in _of_old():
        assert "1 posted before" in cli.post(document)
    cli.ok("seal")
    for document in _of_new():
        cli.post(document)
    cli.ok("recognize", "--through", "2026-08")
    assert "checks hold" in cli.ok("verify")
    assert json.loads(cli.ok("trace", f"invoice:{OLD}", "--format", "json"))["document"]["id"] == OLD
    client = make_books_app(open_as="tester").test_client()
    assert client.get("/customers").status_code == 200
    told = cli.refuse(usage("x", "1.00", "2026-01-11", customer=f"{OLD}?", entity=OLD, product=OLD))
    assert "customer = aU+200Bcafe\u0301/../x?: expected the id of a customer posted before" in told
    # nothing new is named so, nor is it where something of the contract has another such id
    made = _of_new()[-2] | {"id": "d", "date": "2026-08-01"}
    made["obligations"][0] |= {"id": f"{OLD}p", "start": "2026-08-01"}
    assert "contract_modification d: obligations.0.id = aU+200Bcafe\u0301/../xp: expected an id that can" in cli.refuse(
        made
    )


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("lines.0.id", invoice("I", "2026-01-05", one_time("1.00", "a\u200bb"))),
        ("obligations.0.id", contract("C", "2026-01-01", obligation("a\u200bb", "1.00", "2026-01-01", "2026-01-31"))),
        ("obligations.0.milestones.0.id",
         contract("C", "2026-01-01", {"id": "o", "product": "seats", "start": "2026-01-01", "pattern": "milestones", "milestones": [{"id": "a\u200bb", "amount": "1.00"}]})),
        ("obligations.0.id", {"type": "contract_renewal", "id": "R", "contract": "K", "date": "2026-01-01",
                              "obligations": [{"id": "a\u200bb", "renews": "K/o", "end": "2027-01-31"}]}),
        ("penalty.id", {"type": "contract_termination", "id": "T", "contract": "K", "date": "2026-01-15", "reason": "x",
                        "penalty": {"id": "a\u200bb", "product": "seats", "amount": "1.00"}}),
        ("component", {"type": "estimate", "id": "E", "contract": "K", "component": "a\u200bb", "date": "2026-01-02", "amount": "1.00"}),
    ],
)  # fmt: skip
def test_ids_within_a_document_are_held_to_the_same(cli: Cli, field: str, document: Document) -> None:
    cli.post(*parties(), contract("K", "2026-01-01", obligation("K/o", "1.00", "2026-01-01", "2026-01-31")))
    told = cli.refuse(document)
    assert f"{document['id']}: {field} = aU+200Bb: expected an id of letters that can be seen" in told


def test_usage_in_bulk_is_held_to_the_same(cli: Cli) -> None:
    cli.post(*parties(), grant("G", "9999.00"), invoice("I", "2026-01-01", prepaid("9999.00")))
    # one that a single statement would post, and one among many that are read in a process of their own
    assert "usage aU+200Bb: id = aU+200Bb: expected an id" in cli.refuse(usage("a\u200bb", "1.00", "2026-01-10"))
    many = [usage(f"東京{number}", "0.10", "2026-01-10") for number in range(300)]
    told = cli.refused("post", "-", stdin=_plainly(*many, usage("cafe\u0301", "0.10", "2026-01-10")))
    assert "line 301: usage cafe\u0301: id = cafe\u0301: expected an id of composed letters" in told
    assert "posted 300 documents" in cli.ok("post", "-", stdin=_plainly(*many))


def _plainly(*documents: Document) -> bytes:
    """Documents a line each, their letters as they are."""
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


def test_a_batch_of_any_letters_is_read_in_bulk() -> None:
    """What is plainly in order is not left to the long way for its letters."""
    lines = _plainly(*(usage(made, "1.00", "2026-01-10") for made in (*FINE[:10], OLD))).splitlines()
    assert [row is not None for row in read_lines.read(lines)] == [True] * 10 + [False]
