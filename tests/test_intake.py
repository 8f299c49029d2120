"""What is refused, and how the refusal reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, lines
from tests.samples import contract, grant, invoice, obligation, one_time, parties, payment, prepaid, service, usage

GOOD = usage("u", "1.00", "2026-01-05")


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "expected JSON"),
        (b"[1]", "expected a JSON object"),
        (b'"x"', "expected a JSON object"),
        (b'{"type": "usage", "type": "usage"}', "type = given twice: expected each field once"),
        (b'{"type": "\xff"}', "expected UTF-8"),
        (b'{"id": "x"}', "type = missing: expected one of entity"),
        (b'{"type": "usgae", "id": "x"}', "type = usgae: expected one of entity"),
        (b'{"type": ["usage"], "id": "x"}', "expected one of entity"),
        (b'{"a":' * 100_000, "expected JSON"),
        (b'{"type": "usage", "id": NaN}', "expected numbers as strings"),
        (b'{"type": "usage", "id": 1.5}', "id = 1.5: expected numbers as strings"),
        (b'{"type": "usage", "quantity": 1.5, "x": ', "expected numbers as strings"),
        (b'{"type": "usage", "id": "u1", "quantity": 12.5}', "usage u1: quantity = 12.5: expected numbers as strings"),
        (b'{"type": "usage", "id": "u1", "id": "u2"}', "usage u2: id = given twice"),
        (b'{"type": "invoice", "id": "I", "lines": "x"}', "invoice I: lines = x: expected a list"),
        (b'{"type": "invoice", "id": "I", "lines": ["x"]}', "invoice I: lines.0 = x: expected an object of fields"),
        (
            b'{"type": "customer", "id": "c", "name": "C", "terms": "abc"}',
            "customer c: terms = abc: expected a whole number",
        ),
        (
            b'{"type": "invoice", "lines": [{}, {"amount": 10.5}]}',
            'lines.1.amount = 10.5: expected numbers as strings, such as "10.5"',
        ),
        (b'{"type": "usage", "id": ' + b"9" * 5000 + b"}", "expected JSON"),
        (b'{"type": "usage", "id": "a\\u0000b"}', "without NUL"),
        (b'{"x": "' + b"y" * 1_100_000 + b'"}', "expected a document of at most 1,000,000 bytes"),
        (_line(GOOD | {"quantity": 1}), 'quantity = 1: expected a decimal string such as "12.50"'),
        (_line(GOOD | {"quantity": "1e5"}), "quantity = 1e5: expected a decimal string"),
        (_line(GOOD | {"quantity": "NaN"}), "quantity = NaN: expected a decimal string"),
        (_line(GOOD | {"quantity": "-0"}), "quantity = -0: expected 0 without a minus sign"),
        (_line(GOOD | {"quantity": "-1"}), "quantity = -1: expected 0 or more"),
        (_line(GOOD | {"quantity": "١٢"}), "expected a decimal string"),
        (_line(GOOD | {"quantity": "1" * 41}), "expected at most 40 digits"),
        (_line(GOOD | {"quantity": "9" * 30}), None),
        (_line(GOOD | {"date": "2026-02-30"}), "date = 2026-02-30: expected a date such as 2026-01-31"),
        (_line(GOOD | {"date": "20260105"}), "expected a date such as 2026-01-31"),
        (_line(GOOD | {"date": "1926-01-05"}), "expected a date from 1970-01-01 to 2199-12-31"),
        (_line(GOOD | {"id": ""}), "id = "),
        (_line(GOOD | {"id": " u"}), "expected an id without spaces around it"),
        (_line(GOOD | {"id": "~house"}), "expected an id without"),
        (_line(GOOD | {"id": "x" * 201}), "at most 200 characters"),
        (_line(GOOD | {"customer": "nobody"}), "customer = nobody: expected the id of a customer posted before"),
        (_line(GOOD | {"entity": "nowhere"}), "entity = nowhere: expected the id of an entity posted before"),
        (_line(GOOD | {"product": "nothing"}), "product = nothing: expected the id of a product posted before"),
        (
            _line(GOOD | {"currency": "EUR"}),
            "currency = EUR: expected an fx_rate of EUR/USD on or before 2026-01-05 to be posted before",
        ),
        (_line(GOOD | {"currency": "Euro"}), "currency = Euro: expected an ISO 4217 code such as USD"),
        (_line(GOOD | {"quantiy": "1"}), "quantiy = 1: unknown field; expected only type, id, customer, entity"),
        (_line({k: v for k, v in GOOD.items() if k != "date"}), "date = missing: expected a value"),
        (_line(grant(amount="10.001")), "amount = 10.001 USD: expected at most 2 decimal places"),
        (_line(grant(amount="0.00")), "amount = 0.00: expected more than 0"),
        (_line(grant(expires_on="2025-12-31")), "expires_on = 2025-12-31: expected effective_on (2026-01-01) or later"),
        (_line(grant(kind="gift")), "kind = gift: expected 'prepaid', 'promotional', 'pilot' or 'commitment'"),
        (_line(grant(breakage="proportional")), "expected_breakage = missing: expected with breakage proportional"),
        (
            _line(grant(breakage="proportional", expected_breakage="1.5")),
            "expected_breakage = 1.5: expected a share below 1",
        ),
        (_line(grant(breakage="proportional", expected_breakage="0.5")), "expected on a prepaid grant that expires"),
        (_line(grant(kind="promotional", price="1.00")), "price = 1.00: expected none"),
        (_line(grant(products=["tokens", "none"])), "products = none: expected the id of a product"),
        (_line(invoice("I", "2026-01-01")), "lines = []: "),
        (
            _line(invoice("I", "2026-01-05", one_time("1.00"), due_on="2026-01-04")),
            "due_on = 2026-01-04: expected issued_on",
        ),
        (_line(invoice("I", "2026-01-01", one_time("1.00"), one_time("1.00"))), "expected each id once, found 1 twice"),
        (_line(invoice("I", "2026-01-01", one_time("1.005"))), "lines.0.amount = 1.005 USD: expected at most 2"),
        (_line(invoice("I", "2026-01-01", one_time("1.00") | {"kind": "service"})), "expected a service period"),
        (_line(invoice("I", "2026-01-01", one_time("1.00") | {"start": "2026-01-01"})), "expected both or neither"),
        (
            _line(invoice("I", "2026-01-01", one_time("1.00") | {"oops": "1"})),
            "oops = 1: unknown field; expected only id, entity, kind",
        ),
        (
            _line(invoice("I", "2026-01-01", one_time("1.00") | {"grant": "G"})),
            "lines.0.grant = G: expected none on a line",
        ),
        (
            _line(invoice("I", "2026-01-01", service("1.00", "2026-02-01", "2026-01-31"))),
            "lines.0.end = 2026-01-31: expected start (2026-02-01) or later",
        ),
        (
            _line(invoice("I", "2026-01-01", {"id": "1", "kind": "service", "amount": "1.00", "obligation": "c/x"})),
            "lines.0.obligation = c/x: expected the id of an obligation of globex with us in USD",
        ),
        # what is said of a field is what was given there
        (
            _line(invoice("I", "2026-01-01", service("1.00", "2026-01-05", "2026-01-06") | {"end": None})),
            "lines.0.start, end = 2026-01-05, missing: expected both or neither",
        ),
        (
            _line(
                invoice(
                    "I", "2026-01-01", service("1.00", "2026-01-05", "2026-01-06", obligation="c/o", pattern="daily")
                )
            ),
            "lines.0.pattern = daily: expected none beside obligation, which has its own",
        ),
        (
            _line({"type": "coupon", "id": "c", "name": "C", "percent": "20", "amount": "5.00", "currency": "USD"}),
            "percent = 20: expected a percentage such as 20, or an amount",
        ),
        (
            _line({"type": "coupon", "id": "c", "name": "C", "percent": "20", "currency": "USD"}),
            "currency = USD: expected with an amount",
        ),
        (
            _line(
                {
                    "type": "progress",
                    "id": "p",
                    "obligation": "o",
                    "date": "2026-01-01",
                    "percent": "20",
                    "quantity": "5",
                }
            ),
            "percent, quantity = 20, 5: expected percent or quantity or milestone, and one of them",
        ),
        (
            _line(
                {
                    "type": "estimate",
                    "id": "e",
                    "contract": "c",
                    "component": "b",
                    "date": "2026-01-01",
                    "amount": "5.00",
                    "method": "most_likely",
                    "scenarios": [{"amount": "1.00", "probability": "1"}],
                }
            ),
            'scenarios = [{"amount": "1.00", "probability": "1"}]: expected possible amounts',
        ),
        (_line(contract("c", "2026-01-01")), "obligations = missing: expected what was promised"),
        (
            _line(
                contract("c", "2026-01-01", {"id": "o", "product": "seats", "start": "2026-01-01", "end": "2026-01-31"})
            ),
            "obligations.0.price = missing: expected a price here, or one price for the contract",
        ),
        (
            _line(
                contract(
                    "c",
                    "2026-01-01",
                    {"id": "o", "product": "seats", "start": "2026-01-01", "end": "2026-01-31"},
                    price="10.00",
                )
            ),
            "obligations.0.ssp = missing: expected a stand-alone selling price",
        ),
        (
            _line(contract("c", "2026-01-01", obligation("o", "5.00", "2026-01-01", "2026-01-31"), price="10.00")),
            "price = 10.00: expected 5.00, what obligations sum to",
        ),
        (_line(payment("P", "1.00", "2026-01-05", currency="JPY")), "currency = JPY: expected an fx_rate of JPY/USD"),
        (_line({"type": "entity", "id": "x", "name": "X", "currency": "USD", "time_zone": "Mars"}), "time_zone = Mars"),
    ],
)
def test_a_bad_document_is_refused_in_words(cli: Cli, raw: bytes, words: str | None) -> None:
    cli.post(*parties())
    before = cli.run("report", "summary", "--format", "json").stdout
    result = cli.run("post", "-", stdin=_line(usage("before", "1.00", "2026-01-01")) + b"\n" + raw)
    if words is None:  # 30 nines of tokens are more money than a posting may carry
        words = "expected at most"
    assert result.exit_code == 1, result.output
    assert words in result.stderr
    assert "line 2" in result.stderr
    assert "Traceback" not in result.output
    assert cli.run("report", "summary", "--format", "json").stdout == before


def test_every_bad_line_is_named_and_nothing_is_posted(cli: Cli) -> None:
    documents = [
        *parties(),
        usage("u1", "1.00", "2026-01-05"),
        usage("u2", "1.00", "2026-13-05", unit_price="x"),
        grant("G", "0.001"),
        invoice("I", "2026-01-05", prepaid("1.00")),
    ]
    message = cli.refuse(*documents)
    assert "-: line 6: usage u2: date = 2026-13-05: expected a date such as 2026-01-31" in message
    assert "-: line 6: usage u2: unit_price = x: expected a decimal string" in message
    assert "-: line 7: grant G: amount = 0.001 USD: expected at most 2 decimal places" in message
    assert "line 8: invoice I: lines.0.grant = G: expected the id of a grant" in message
    assert "(it was refused on line 7)" in message
    assert "line 5" not in message
    result = cli.run("post", "-", stdin=lines(documents))
    assert result.stdout == "-: 3 documents refused; nothing was posted\n"
    assert cli.report("summary") == []


def test_keep_going_posts_the_good_lines_and_keeps_the_others(cli: Cli, tmp_path: Path) -> None:
    bad = usage("u2", "1.00", "2026-01-05", customer="nobody")
    path = tmp_path / "documents.jsonl"
    path.write_text(lines([*parties(), usage("u1", "1.00", "2026-01-05"), bad, usage("u3", "2.00", "2026-01-05")]))
    result = cli.run("post", "--keep-going", str(path))
    assert result.exit_code == 1
    assert "posted 6 documents as 2 entries, 1 refused" in result.stdout
    rejects = tmp_path / "documents.jsonl.rejects"
    assert json.loads(rejects.read_text()) == bad
    assert cli.summary() == {"2026-01": {"revenue": "3.00", "unbilled_receivable": "3.00"}}
    cli.ok("verify")


def test_keep_going_leaves_no_empty_rejects_and_no_device_removed(cli: Cli, tmp_path: Path) -> None:
    documents = lines([*parties(), GOOD])
    cli.ok("post", "--keep-going", "--rejects", str(tmp_path / "rejects"), "-", stdin=documents)
    assert list(tmp_path.iterdir()) == []
    device = tmp_path / "pipe"
    device.symlink_to(os.devnull)
    cli.ok("post", "--keep-going", "--rejects", str(device), "-", stdin=documents)
    assert device.is_symlink()


def test_a_dry_run_posts_nothing(cli: Cli) -> None:
    documents = lines([*parties(), usage("u1", "1.00", "2026-01-05")])
    assert "would post 5 documents as 1 entries; nothing was posted" in cli.ok(
        "post", "--dry-run", "-", stdin=documents
    )
    assert cli.report("summary") == []


def test_the_same_document_again_posts_nothing(cli: Cli) -> None:
    cli.post(*parties(), GOOD)
    reordered = dict(reversed(GOOD.items()))
    assert "posted 0 documents as 0 entries, 1 posted before" in cli.post(reordered)
    assert "posted 1 documents as 1 entries, 1 posted before" in cli.post(usage("u9", "1.00", "2026-01-05"), GOOD)
    assert "posted 1 documents as 1 entries, 1 posted before" in cli.post(*[usage("u10", "1.00", "2026-01-05")] * 2)


def test_the_same_id_with_other_content_is_refused(cli: Cli) -> None:
    cli.post(*parties(), GOOD)
    words = "id = u: this usage was posted before with other content"
    assert words in cli.refuse(GOOD | {"quantity": "2.00"})
    # ... of another customer too, and within one file
    other = [{"type": "customer", "id": "initech", "name": "Initech"}, GOOD | {"customer": "initech"}]
    assert words in cli.refuse(*other)
    assert "this usage was posted before" in cli.refuse(GOOD | {"id": "v"}, GOOD | {"id": "v", "date": "2026-01-06"})
    assert cli.summary() == {"2026-01": {"revenue": "1.00", "unbilled_receivable": "1.00"}}


def test_blank_lines_a_byte_order_mark_and_windows_line_ends(cli: Cli) -> None:
    raw = "\ufeff" + lines(parties()).replace("\n", "\r\n\r\n")
    assert "posted 4 documents" in cli.ok("post", "-", stdin=raw.encode())


def test_names_are_kept_as_given(cli: Cli, owner: Any) -> None:
    from sqlalchemy import text

    cli.post({"type": "customer", "id": "müller", "name": 'Müller "GmbH" & Söhne, 北京'})
    assert owner.scalar(text("select name from customer where ref = 'müller'")) == 'Müller "GmbH" & Söhne, 北京'
    body = owner.scalar(text("select body from document where ref = 'müller'"))
    assert json.loads(body)["id"] == "müller"


def test_files_are_transactions_of_their_own(cli: Cli, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(lines([*parties(), GOOD]))
    bad.write_text(lines([usage("x", "1", "2026-01-01"), {"type": "usage"}]))
    result = cli.run("post", str(good), str(bad))
    assert result.exit_code == 1
    assert f"{good}: posted 5 documents" in result.stdout
    assert f"{bad}: 1 document refused; nothing was posted" in result.stdout
    assert cli.summary() == {"2026-01": {"revenue": "1.00", "unbilled_receivable": "1.00"}}


@pytest.mark.parametrize(
    "arguments",
    [
        ["post", "no-such-file.jsonl"],
        ["report", "nonsense"],
        ["recognize", "--through", "2026-13"],
        ["recognize"],
        ["close", "January"],
        ["report", "summary", "--as-of", "2026-02-30"],
        ["report", "summary", "--to", "2026-01-01", "--as-of", "2026-01-02"],
        ["report", "summary", "--format", "xlsx"],
    ],
)
def test_wrong_usage_exits_with_2(cli: Cli, arguments: list[str]) -> None:
    result = cli.run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr


def test_a_filter_that_names_nothing_is_refused(cli: Cli) -> None:
    cli.post(*parties())
    assert "customer = nobody: expected the id of a customer in the books" in cli.refused(
        "report", "wallet", "--customer", "nobody"
    )
