"""Writes docs/trust.md: each thing that always holds, how it is held, which tests break it on purpose, and the last result.

`make trust` makes books of every kind of event in a database of its own, verifies them, runs the tests that break them, and writes
what came of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from click.testing import CliRunner

from ledger.database import embedded
from ledger.database.connect import connect_engine
from ledger.proof import verify
from revrec import watches
from tests import test_damage
from tests.conftest import Cli

PAGE = Path(__file__).parent.parent / "docs" / "trust.md"

# How each is held, by a part of its sentence: by how it is represented, by the database, or by the code that posts, beside the check.
HELD = {
    "every entry has all its postings": "database: an entry's postings come with it and none later; update, delete and truncate are refused to everybody",
    "no posting stands outside an entry": "database: checked with each batch that arrives",
    "both accounts of every posting": "database: checked with each batch that arrives",
    "every posting debits and credits what its rule says": "representation: code names a rule, never an account",
    "where the entity's own currency": "code: one place values every movement",
    "an account emptied in its own currency": "code: what is left over is posted as an exchange difference with it",
    "an account that holds nothing in its own currency": "code: what comes late changes what left after it, on its day",
    "every document has the entries it posted": "code: a document says how many, and is written with them",
    "every document says what it said": "database: update, delete and truncate are refused to everybody",
    "every entry names a document": "code: a document and its entries are one transaction",
    "what documents say of persons": "representation: the document has a commitment; database: it can only be erased",
    "every document is found by its id": "database: unique by type and id",
    "every document is found by its external ids": "database: unique by system, id, type and status",
    "every document is found by its reference": "code: it is written with the document",
    "a reversal takes back": "code; database: an entry is reversed once",
    "debits equal credits": "representation: a posting is one row of debit, credit and amount",
    "closed books took no entry": "database: an entry into a closed month is refused; a close waits for who is posting",
    "no grant is drawn beyond": "database: the balance can't fall below zero; posters of a customer wait for each other",
    "no invoice is settled beyond": "code: what may be taken on a day is the least the balance is from then on",
    "every invoice's receivable": "code",
    "every invoice is due when": "code: decided when it is posted",
    "every invoice bears taxes as": "code: decided when it is posted",
    "every customer is what its document": "database: what a customer is on a day is read from documents, its own and its changes",
    "no customer belongs to itself": "code: asked of each day that a parent holds",
    "every entity that numbers": "database: a counter of each entity, in the transaction that uses the number",
    "what an entity owes another": "code: both sides are posted by one document, or none",
    "what passes between customers": "code: both sides are posted by one document, at one rate, or none",
    "what an invoice's total is below zero": "code: posted with the invoice",
    "every credit of no line": "code: posted with the credit note",
    "what is known of whose money lies on the customer's": "code: a document that moves money says whose, in the same transaction",
    "what is known of whose money lies on invoices": "code: a document that moves money says whose, in the same transaction",
    "no money lies anywhere below zero": "code: what is taken somewhere is what lies there",
    "every piece of money is of the document": "code: a document that moves money says whose, in the same transaction",
    "no capitalised cost": "code: amortisation is what is due to date less what was posted",
    "no customer's unapplied money": "code: what may be taken on a day is the least the balance is from then on",
    "no prepaid credits fall below zero": "code: what may be taken on a day is the least the balance is from then on",
    "no refund liability": "code",
    "no obligation, grant or usage shows both": "code: the position is split so that one of the two is nothing",
    "no obligation earned more": "code: recognised is a share of the price, never more than one",
    "the terms of every obligation": "code: a document folds its contract's terms anew, and keeps what differs",
    "usage rated so far": "code: rounded cumulatively, so that a re-run posts nothing",
    "tax payable and the taxable base": "code",
    "write-offs and manual entries name": "code: who approved it is asked before it is posted; database: the rule that stood is never changed",
    "receivables, credits, deferred revenue": "representation: a ledger account is the sum of its sub-ledger accounts",
    "what trial balances are read from": "code: the sealer alone writes totals, a block at a time",
    "what receivables are aged from": "code: the sealer alone writes totals, a block at a time",
    "what is sealed is what was sealed": "hashes: a tree of entries, documents and accounts a block, each block with the hash of the one before",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check on whole books, and of the tests that break it."""

    sentence: str
    count: str
    holds: bool
    passed: int
    tests: list[str]


@contextmanager
def _books() -> Iterator[str]:
    """A database with something of every kind in it."""
    with tempfile.TemporaryDirectory() as folder:
        url = embedded.start(Path(folder) / "data")
        from ledger.database import connect

        connect.upgrade(url)
        before = dict(os.environ)
        os.environ |= {"TICKMARK_DATABASE_URL": url, "TICKMARK_USER": "tester"}
        runner = CliRunner()

        def run(*arguments: str, stdin: str | None = None) -> object:
            from web.cli import main

            return runner.invoke(main, list(arguments), input=stdin)

        cli = Cli(run)  # type: ignore[arg-type]
        test_damage.books(cli)
        cli.ok("seal")
        try:
            yield url
        finally:
            os.environ.clear()
            os.environ |= before
            embedded.stop(Path(folder) / "data")


def _tested() -> set[str]:
    """The tests that break the books, those that passed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "tests/test_damage.py", "tests/test_verify.py", "tests/test_seals.py"],
        capture_output=True, text=True, check=False, cwd=PAGE.parent.parent,
    )  # fmt: skip
    return {match[1] for match in re.finditer(r"tests/(\S+?::.+?) PASSED", done.stdout)}


def results() -> list[Result]:
    """Each check, on whole books and broken."""
    with _books() as url:
        engine = connect_engine(url)
        checks = verify.verify(engine, held=watches.HELD)
        engine.dispose()
    passed = _tested()
    found = []
    broken = test_damage.broken_by()
    for check in checks:
        tests = broken[check.sentence]
        ran = [test for test in tests if any(name == test or name.startswith(f"{test}[") for name in passed)]
        found.append(Result(check.sentence, f"{check.count:,} {check.what}", not check.differing, len(ran), tests))
    return found


def page(found: list[Result], today: str) -> str:
    """The page."""
    lines = [
        "# What always holds, and how you can know",
        "",
        "`tickmark verify` recomputes each of these from nothing but the tables, whatever the code that posted thought. Beside the check, each is",
        "held when it is posted: by how it is represented, by the database, or by the code. And each is broken on purpose by tests that change the",
        "tables behind the application's back, as a superuser with all triggers off, and expect the check to name what they changed.",
        "",
        f"Written by `make trust` on {today}: the checks on books with something of every kind in them, and the tests that break such books.",
        "",
        "| | always | held by | on whole books | broken on purpose, and named |",
        "|---|---|---|---|---|",
    ]
    for number, result in enumerate(found, 1):
        held = next((how for part, how in HELD.items() if part in result.sentence), "the check alone")
        outcome = f"holds for {result.count}" if result.holds else "**differs**"
        lines.append(
            f"| {number} | {result.sentence} | {held} | {outcome} | {result.passed} of {len(result.tests)} in {_files(result.tests)} |"
        )
    lines += [
        "",
        "What no look into the tables can show is what somebody rewrote who has the database and this code: all hashes would fit again. For that,",
        "keep the last seal where they can't reach it (`tickmark seal --export head.json`) and hold the books to it (`tickmark verify --head",
        "head.json`): tests rewrite a chain from a point, cut off its tail, and restore an older state, and each is named",
        "([test_seals.py](../tests/test_seals.py), [test_backup.py](../tests/test_backup.py)).",
        "",
        "A seal says more where others vouch for it, and each can be checked without Tickmark:",
        "",
        "- `tickmark seal --export head.json --sign controller.pem` signs the file with an Ed25519 key that is not the books' (`openssl genpkey",
        "  -algorithm ed25519 -out controller.pem`; `openssl pkey -in controller.pem -pubout -out controller.pub.pem`). `tickmark verify --head",
        "  head.json --signer controller.pub.pem` checks it, and so does `openssl pkeyutl -verify -pubin -inkey controller.pub.pem -rawin -in head.json",
        "  -sigfile head.json.sig`.",
        "- `tickmark seal --export head.json --timestamp URL` has a time-stamping authority (RFC 3161) witness when it was there; it is sent a hash and",
        "  nothing else. `tickmark verify --head head.json --timestamp-root ca.pem` checks it, and so does `openssl ts -verify -data head.json -in",
        "  head.json.tsr -CAfile ca.pem`. Both are tested against OpenSSL ([test_witness.py](../tests/test_witness.py)).",
        "",
    ]
    return "\n".join(lines)


def _files(tests: list[str]) -> str:
    names = sorted({test.partition("::")[0] for test in tests})
    return ", ".join(f"[{name}](../tests/{name})" for name in names)


def main() -> int:
    """Write the page; 1 where a check differs or a test did not pass."""
    found = results()
    PAGE.write_text(page(found, f"{datetime.now(UTC):%Y-%m-%d}"), encoding="utf-8")
    bad = [result for result in found if not result.holds or result.passed != len(result.tests)]
    for result in bad:
        click.echo(
            f"{result.sentence}: {'holds' if result.holds else 'differs'}, {result.passed} of {len(result.tests)} tests passed"
        )
    click.echo(
        f"wrote {PAGE.name}: {len(found)} invariants, {sum(result.passed for result in found)} tests that break them"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
