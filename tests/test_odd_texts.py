"""Texts of masters that files could take for something else: refused where they are posted, or each export holds them as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.out.export import TARGETS
from tests.conftest import Cli
from tests.samples import invoice, parties, payment, service, usage
from web.commands.exports import EXPORT_TARGETS

ACCOUNT = {"type": "gl_account", "id": "x", "entity": "us", "role": "revenue", "code": "4010", "name": "Sales"}
BANK = {
    "type": "money_account",
    "id": "bank",
    "entity": "us",
    "name": "Bank",
    "kind": "bank",
    "currency": "USD",
    "code": "1010",
}
FORMULAS = ["=1+1", "=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)"]
BREAKS = ["a\nb", "a\tb", "a\rb", "a\N{LINE SEPARATOR}b", "a\N{PARAGRAPH SEPARATOR}b", "a\x0bb", "a\x85b"]


@pytest.mark.parametrize("document", [ACCOUNT, BANK], ids=lambda document: document["type"])
@pytest.mark.parametrize("code", [*FORMULAS, *BREAKS, " 1", "1 ", ""])
def test_a_code_that_could_be_something_else_is_refused(cli: Cli, document: dict[str, Any], code: str) -> None:
    cli.post(*parties())
    told = cli.refuse(document | {"code": code})
    assert f"{document['type']} {document['id']}: code = " in told
    assert "expected " in told


@pytest.mark.parametrize("name", [*BREAKS, "a\N{RIGHT-TO-LEFT OVERRIDE}b\n"])
def test_a_refusal_is_one_line_whatever_it_names(cli: Cli, name: str) -> None:
    told = cli.refuse({"type": "product", "id": "p", "name": name})
    assert len(told.splitlines()) == 1
    assert told.splitlines()[0].isprintable()


@pytest.mark.parametrize("code", ["4010", "40-10", "4010.01", "A/R", "Sales - US", "1+1", "7=7", "Erlöse"])
def test_a_code_that_is_one_is_taken(cli: Cli, code: str) -> None:
    cli.post(*parties(), ACCOUNT | {"code": code}, BANK | {"code": code + "b"})


@pytest.mark.parametrize("document", [
    ACCOUNT, BANK, {"type": "entity", "id": "eu", "name": "x", "currency": "EUR"}, {"type": "customer", "id": "c", "name": "x"},
    {"type": "product", "id": "p", "name": "x"}, {"type": "tax_code", "id": "t", "name": "x", "rate": "0.1"},
    {"type": "coupon", "id": "k", "name": "x", "percent": "10"},
], ids=lambda document: document["type"])  # fmt: skip
def test_a_name_is_of_one_line(cli: Cli, document: dict[str, Any]) -> None:
    cli.post(*parties())
    for name in BREAKS:
        told = cli.refuse(document | {"name": name})
        assert "name = " in told
        assert "expected text without" in told
    cli.post(document | {"name": "-20 % off = @half +"})


@pytest.mark.parametrize(("field", "document"), [
    ("country", {"type": "customer", "id": "c", "name": "x"}), ("tax_id", {"type": "customer", "id": "c", "name": "x"}),
    ("invoice_prefix", {"type": "entity", "id": "eu", "name": "x", "currency": "EUR"}),
    ("id", {"type": "customer", "name": "x"}), ("reference", usage("u", "1.00", "2026-01-01")),
])  # fmt: skip
def test_what_stands_in_a_cell_is_of_one_line(cli: Cli, field: str, document: dict[str, Any]) -> None:
    cli.post(*parties())
    for said in BREAKS:
        assert f"{field} = " in cli.refuse(document | {field: said})


@pytest.mark.parametrize(
    "name", [*FORMULAS, "a;b,c|d", "a\"b'c", "<b>&amp;", "{{ 7 * 7 }}", "  spaces  ", "\N{HIRAGANA LETTER A}" * 40]
)
def test_every_export_holds_names_and_ids_as_they_are(cli: Cli, tmp_path: Path, name: str) -> None:
    ref = name.strip()
    cli.post(
        {"type": "entity", "id": "us", "name": name, "currency": "USD"}, {"type": "customer", "id": ref, "name": name},
        {"type": "product", "id": ref, "name": name}, {"type": "product", "id": "tokens", "name": name},
        {"type": "product", "id": "seats", "name": name}, ACCOUNT | {"name": name}, BANK | {"name": name, "id": ref},
        *(document | {"customer": ref} for document in (
            invoice(ref, "2026-01-01", service("31.00", "2026-01-01", "2026-01-31"), service("5.00", "2026-02-01", "2026-02-28", line="2")),
            payment(ref, "10.00", "2026-01-12", (ref, "10.00")) | {"account": ref},
        )),
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-01")
    for target in {*TARGETS, *EXPORT_TARGETS}:
        ran = cli.run("export", target, "--output", str(tmp_path / target))
        # tied to the trial balance, or in words: what that system has no room for, or a mapping it needs
        assert ran.exit_code in (0, 1), ran.output
        for said in ran.stderr.splitlines():
            assert "trial balance" not in said, (target, said)
            assert "expected" in said, (target, said)
