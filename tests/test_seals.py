"""Seals: nothing posted is left out, nothing sealed changes unseen, and totals by day equal the postings."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from ledger.database.connect import connect_engine
from ledger.errors import Refused
from ledger.intake.posting import post_lines
from ledger.journal.entry_rows import ENTRY_HASH_SQL
from ledger.proof import blocks, inclusion, seals
from ledger.proof.verify import CHECKS
from ledger.reports.aging import ar_aging
from ledger.reports.report import Filters
from ledger.reports.trial_balance import summary, trial_balance
from revrec.kinds import TYPES
from revrec.watches import HELD
from tests.conftest import Cli
from tests.samples import grant, invoice, parties, payment, prepaid, service, usage


def _books(cli: Cli) -> None:
    cli.post(
        *parties(),
        grant("G"),
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2")),
        usage("u1", "40.00", "2026-01-10"),
        usage("u2", "20.00", "2026-01-20"),
    )
    cli.ok("recognize", "--through", "2026-02")


def _root(leaves: list[bytes]) -> bytes:
    """A Merkle root by its definition: the largest power of two below on the left, the rest on the right (RFC 6962, 2.1)."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return hashlib.sha256(b"\1" + _root(leaves[:left]) + _root(leaves[left:])).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_the_root_is_that_of_the_tree(leaves: list[bytes]) -> None:
    assert blocks.merkle_root(b"".join(leaves)) == _root(leaves)


def _block_hash(block: dict[str, Any]) -> str:
    """A block's hash from its JSON alone."""
    fields = [block[name] for name in ("seal_id", "first_entry", "last_entry", "entries", "postings")]
    content = [str(field).encode() for field in fields] + [
        bytes.fromhex(block["totals_root"]),
        bytes.fromhex(block["root"]),
        bytes.fromhex(block["previous"]),
    ]
    content += [block["sealed_at"].encode(), block["sealed_by"].encode()]
    if "documents_root" in block:
        for kind in ("document", "account"):
            content += [
                block[f"last_{kind}"].encode(),
                block[f"{kind}s"].encode(),
                bytes.fromhex(block[f"{kind}s_root"]),
            ]
    if "rows_root" in block:
        content += [block["last_row"].encode(), block["rows"].encode(), bytes.fromhex(block["rows_root"])]
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in content)).hexdigest()


def _prefixed(value: str) -> bytes:
    return len(value.encode()).to_bytes(4, "big") + value.encode()


def _document_leaf(row: Any) -> bytes:
    day = (
        b"\0"
        if row.dated_on is None
        else b"\1" + (row.dated_on - date(2000, 1, 1)).days.to_bytes(4, "big", signed=True)
    )
    numbers = b"".join(
        number.to_bytes(8, "big", signed=True) for number in (row.customer_id, row.document_id, row.moment)
    )
    texts = b"".join(_prefixed(value) for value in (row.type, row.ref, row.posted_by))
    tail = bytes(row.hash) + hashlib.sha256(row.body.encode()).digest() + row.entry_count.to_bytes(4, "big")
    return hashlib.sha256(numbers + day + texts + tail).digest()


def _row_log_leaf(row: Any) -> bytes:
    """A logged row's leaf from its columns, without the code that seals."""
    named = _prefixed(row.table_name) + _prefixed(row.key)
    return hashlib.sha256(
        row.row_log_id.to_bytes(8, "big") + named + bytes(row.hash) + row.change.to_bytes(2, "big", signed=True)
    ).digest()


def _account_leaf(row: Any) -> bytes:
    numbers = row.customer_id.to_bytes(8, "big") + row.account_id.to_bytes(8, "big")
    texts = (row.entity, row.role, row.currency, row.subject, row.product)
    return hashlib.sha256(numbers + b"".join(map(_prefixed, texts))).digest()


def test_what_is_sealed_can_be_recomputed_by_anybody(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    _books(cli)
    kept = tmp_path / "seal.json"
    told = cli.ok("seal", "--export", str(kept))
    block = json.loads(kept.read_text())
    assert f"seal 1 is {block['hash']}" in told
    assert block["hash"] == _block_hash(block)
    hashes = connection.execute(text("select hash from entry order by entry_id")).scalars()
    assert block["root"] == _root([bytes(h) for h in hashes]).hex()
    assert int(block["entries"]) == connection.scalar(text("select count(*) from entry"))
    # a document's leaf, put together from its columns without the code that seals
    rows = connection.execute(
        text(
            "select *, (extract(epoch from posted_at) * 1000000)::bigint - 946684800000000 as moment from document order by document_id"
        )
    )
    assert block["documents_root"] == _root([_document_leaf(row) for row in rows]).hex()
    rows = connection.execute(text("select * from account order by account_id"))
    assert block["accounts_root"] == _root([_account_leaf(row) for row in rows]).hex()
    rows = connection.execute(text("select * from row_log order by row_log_id"))
    assert block["rows_root"] == _root([_row_log_leaf(row) for row in rows]).hex()
    assert int(block["postings"]) == connection.scalar(text("select count(*) from posting"))
    # of what every entity has the seal says the hash: a proof of one's own entry shows no other's
    assert "accounts_receivable" not in kept.read_text()
    said = connection.scalar(text("select totals from seal"))
    assert block["totals_root"] == hashlib.sha256(said.encode()).hexdigest()
    totals = {tuple(total[:3]): tuple(map(int, total[3:])) for total in json.loads(said)}
    # by hand: 465.00 billed; 40.00 + 20.00 drawn on credits of 100.00; 31 + 28 days of 1.00 recognised
    assert totals["us", "accounts_receivable", "USD"] == (46500, 0)
    assert totals["us", "customer_credits", "USD"] == (6000, 10000)
    assert totals["us", "deferred_revenue", "USD"] == (5900, 36500)
    assert totals["us", "revenue", "USD"] == (0, 11900)

    cli.post(usage("u3", "1.00", "2026-03-01"))
    cli.ok("seal", "--export", str(kept))
    second = json.loads(kept.read_text())
    assert (second["seal_id"], second["previous"]) == ("2", block["hash"])
    assert second["hash"] == _block_hash(second)
    assert "entries sealed: 0 in blocks: 0; seal 2 is" in cli.ok("seal")
    assert "checks hold" in cli.ok("verify")


def test_there_is_nothing_to_seal_before_anything_is_posted(cli: Cli) -> None:
    assert "nothing is posted yet" in cli.refused("seal")


def test_documents_that_post_nothing_are_sealed_too(cli: Cli, owner: Connection) -> None:
    cli.post(*parties())
    assert "entries sealed: 0 in blocks: 1" in cli.ok("seal")
    _books(cli)
    assert "in blocks: 1; seal 2" in cli.ok("seal")
    cli.post({"type": "product", "id": "more", "name": "More"})
    assert "entries sealed: 0 in blocks: 1; seal 3" in cli.ok("seal")
    cli.post(usage("u9", "1.00", "2026-03-01"))
    assert "entries sealed: 1 in blocks: 1; seal 4" in cli.ok("seal")
    assert "entries sealed: 0 in blocks: 0; seal 4" in cli.ok("seal")
    assert "checks hold" in cli.ok("verify")
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text("update document set body = replace(body, 'More', 'Less') where ref = 'more'"))
    owner.commit()
    assert "seal 3: documents" in cli.refused("verify")


@pytest.mark.parametrize("narrowed", [
    {}, {"as_of": date(2026, 1, 15)}, {"since": date(2026, 1, 11)}, {"since": date(2026, 2, 1), "as_of": date(2026, 2, 28)},
    {"product": "tokens"}, {"entity": "us"}, {"currency": "USD"}, {"currency": "EUR"}, {"memorandum": True},
])  # fmt: skip
def test_sealed_totals_answer_as_the_postings_do(
    cli: Cli, connection: Connection, narrowed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "BLOCK", 3)  # several blocks, and days in more than one
    filters = Filters(**narrowed)
    _books(cli)
    cli.post(
        invoice("PAID", "2026-01-05", service("9.00", "2026-01-05", "2026-01-05")),
        payment("P", "109.00", "2026-02-10", ("PAID", "9.00"), ("I", "100.00")),
        {"type": "manual_entry", "id": "M", "entity": "us", "currency": "USD", "date": "2026-02-20", "reason": "agreed",
         "approved_by": "ann", "lines": [{"debit": "accounts_receivable", "credit": "revenue", "amount": "3.00"}]},
    )  # fmt: skip
    reports = (trial_balance, summary, ar_aging)
    expected = [report(connection, filters).json_rows() for report in reports]
    connection.rollback()
    cli.ok("seal")
    assert [report(connection, filters).json_rows() for report in reports] == expected
    connection.rollback()
    assert (connection.scalar(text("select count(*) from seal")) or 0) > 1
    connection.rollback()

    cli.post(
        usage("u3", "7.00", "2026-01-12"),
        usage("u4", "1.00", "2026-02-12"),
        invoice("NEW", "2026-01-12", service("5.00", "2026-02-12", "2026-02-12")),
        payment("Q", "10.00", "2026-02-12", ("I", "10.00")),
    )  # beside what is sealed
    tail = [report(connection, filters).json_rows() for report in reports]
    # a moment is asked of the postings themselves
    known = Filters(**narrowed, known_at=connection.scalar(text("select clock_timestamp()")))
    assert tail == [report(connection, known).json_rows() for report in reports]
    assert (tail != expected) == (narrowed != {"currency": "EUR"})


def _posting(engine: Engine, document: dict[str, Any]) -> tuple[Connection, Any]:
    """A connection that has posted a document and not committed it."""
    connection = engine.connect()
    outcome = post_lines(
        connection, [json.dumps(document).encode()], TYPES, "tester", lambda problem, _raw: pytest.fail(str(problem))
    )
    return connection, outcome


def test_an_entry_that_commits_late_under_a_lower_number_is_sealed(cli: Cli, url: str) -> None:
    _books(cli)
    cli.post({"type": "customer", "id": "initech", "name": "Initech"})
    engine = connect_engine(url)
    slow, _ = _posting(engine, usage("slow", "1.00", "2026-01-25"))
    other = usage("quick", "1.00", "2026-01-25") | {"customer": "initech"}
    cli.post(other)  # takes a higher number and commits first
    done: list[seals.Sealed] = []
    sealer = threading.Thread(target=lambda: done.append(seals.seal(engine, "sealer")))
    sealer.start()
    sealer.join(0.3)
    assert sealer.is_alive(), "it waits for who took a number before"
    cli.post(other | {"id": "later"})  # nobody waits for it
    slow.commit()
    sealer.join(30)
    assert not sealer.is_alive()
    (sealed,) = done
    assert sealed.head is not None
    with engine.connect() as connection:
        numbers = dict(connection.execute(text(
            "select d.ref, e.entry_id from entry e join document d using (customer_id, document_id) where d.type = 'usage'"
        )).all())  # fmt: skip
    assert numbers["slow"] < numbers["quick"] <= sealed.head.last_entry < numbers["later"]
    assert "checks hold" in cli.ok("verify")
    slow.close()
    engine.dispose()


def test_numbers_that_never_became_entries_are_no_gap(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "BLOCK", 2)
    _books(cli)
    engine = connect_engine(url)
    given_up, _ = _posting(engine, usage("gone", "1.00", "2026-01-25"))
    with engine.connect() as connection:
        connection.execute(text("select nextval('entry_number') from generate_series(1, 7)"))
        connection.commit()
    with pytest.raises(Refused, match="expected them to be done"):
        seals.seal(engine, "sealer", patience=0.1)
    given_up.rollback()
    given_up.close()
    cli.post(usage("u3", "1.00", "2026-01-25"))
    cli.ok("seal")
    assert "checks hold" in cli.ok("verify")
    engine.dispose()


DAMAGE = {
    "an entry rewritten with its hash": (
        "update entry set hash = sha256(hash) where entry_id = 2", "entries 1 to", "are not those that were sealed",
        "     entry 2 is not as it was sealed\n"),
    "an entry rewritten with its hash and its leaf": (
        "update entry set hash = sha256(hash) where entry_id = 2; update seal_leaves set entries = overlay(entries placing"
        " (select hash from entry where entry_id = 2) from 1) where seal_id = 1", "entries 1 to", "are not those that were sealed",
        "seal 1: the leaves kept of its entries are not those that were sealed"),
    "an entry added": (
        "insert into entry select customer_id, (select min(n) from generate_series(1, 99) n where n not in (select entry_id from"
        " entry)), document_id, posted_at, reverses, effective_on, occurred_on, posting_count, posted_by, hash from entry"
        " where entry_id = 2", "entries 1 to", "sealed were", "     entries 1 and 2 have one hash: one of them was sealed\n"),
    "the tail cut off": (
        "delete from entry where entry_id = (select max(entry_id) from entry);"
        " delete from posting where entry_id = (select max(entry_id) from posting)", "sealed were", "entries", "entries between 6 and 8 are gone: 1\n"),
    "entries deleted and one changed between them": (
        "delete from entry where entry_id in (3, 5); delete from posting where entry_id in (3, 5); update entry set hash = sha256(hash)"
        " where entry_id = 4", "     entry 4 is not as it was sealed\n", "     entries between 2 and 6 are gone: 2\n"),
    "a block removed": ("delete from seal where seal_id = 1", "does not follow seal 0", "a block is missing"),
    "a block rewritten": ("update seal set totals = '[]' where seal_id = 1", "seal 1: its hash", "of its content"),
    "a chain broken": (
        "update seal set previous = sha256('') where seal_id = 2", "seal 2: the block before it", "chained to"),
    "a sealed document changed": ("update document set body = replace(body, 'Globex', 'Glebex') where type = 'customer'",
                                  "seal 1: documents", "those that were sealed", "(customer globex) is not as it was sealed\n"),
    "a sealed document's day changed": ("update document set dated_on = dated_on + 1 where ref = 'u1'", "seal 1: documents", "those that were"),
    "a sealed document deleted": ("delete from document where type = 'product'", "seal 1: documents 1 to", "sealed were", "are gone: 2\n"),
    "what a sealed account is about": ("update account set subject = 'invoice:J' where subject = 'invoice:I'", "seal 1: accounts", "those that were",
                                       "(accounts_receivable invoice:J) is not as it was sealed\n"),
    "drifted totals": ("update daily_total set debit = debit + 1 where role = 'cash' or role = 'revenue'",
                       "revenue of us on", "postings say"),
    "a receivable kept open": ("update open_receivable set amount = amount + 1", "invoice:I of globex: 465.01 USD, postings say 465.00 USD"),
    "a receivable forgotten": ("delete from open_receivable", "invoice:I of globex: 0.00 USD, postings say 465.00 USD"),
    "totals of a day deleted": ("delete from daily_total where role = 'revenue'", "revenue of us on", "postings say"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_what_is_sealed_is_named(cli: Cli, owner: Connection, damage: str) -> None:
    cli.post(*parties())
    owner.execute(text("select nextval('entry_number')"))  # a number nobody uses
    owner.commit()
    _books(cli)
    cli.ok("seal")
    cli.post(usage("u3", "1.00", "2026-03-01"))
    cli.ok("seal")
    statements, *named = DAMAGE[damage]
    owner.execute(text("set session_replication_role = replica"))
    for statement in statements.split(";"):
        assert owner.execute(text(statement)).rowcount >= 1
    owner.commit()
    told = cli.refused("verify")
    for part in named:
        assert part in told


CHECKER = Path(__file__).parent.parent / "docs" / "check_proof.py"


def _checked(proof: Path, seal: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(CHECKER), str(proof), str(seal)], capture_output=True, text=True, check=False
    )


def test_an_entry_is_proven_to_who_has_only_the_seal(cli: Cli, tmp_path: Path) -> None:
    assert len(CHECKER.read_text().splitlines()) <= 40
    assert "tickmark" not in re.sub(r'""".*?"""', "", CHECKER.read_text(), flags=re.DOTALL)
    _books(cli)
    first, second, file = tmp_path / "first.json", tmp_path / "second.json", tmp_path / "proof.json"
    cli.ok("seal", "--export", str(first))
    cli.post(usage("u3", "1.00", "2026-03-01"))
    assert "expected an entry that is sealed" in cli.refused("seal", "--prove", "6")
    cli.ok("seal", "--export", str(second))
    for entry in range(1, 7):
        cli.ok("seal", "--prove", str(entry), "--output", str(file))
        told = _checked(file, second)
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith(f"entry {entry} by tester is under seal 2")
        # entries of the first block are under its own seal; one that came later is not
        assert (_checked(file, first).returncode == 0) == (entry < 6)
    assert "expected the number of an entry" in cli.refused("seal", "--prove", "99")


@pytest.mark.parametrize("changed", ["amount", "posted_by", "effective_on", "rule", "path", "totals", "seal"])
def test_a_proof_of_something_else_does_not_hold(cli: Cli, tmp_path: Path, changed: str) -> None:
    _books(cli)
    kept, file = tmp_path / "seal.json", tmp_path / "proof.json"
    cli.ok("seal", "--export", str(kept))
    proof = json.loads(cli.ok("seal", "--prove", "3"))
    seal = json.loads(kept.read_text())
    if changed in ("posted_by", "effective_on"):
        proof["entry"][changed] = {"posted_by": "nobody", "effective_on": 0}[changed]
    elif changed in ("amount", "rule"):
        proof["postings"][0][changed] += 1
    elif changed == "path":
        proof["path"][0][1] = "00" * 32
    elif changed == "totals":
        proof["blocks"][0]["totals_root"] = "00" * 32
    else:
        seal["sealed_by"] = "nobody"
    file.write_text(json.dumps(proof))
    kept.write_text(json.dumps(seal))
    told = _checked(file, kept)
    assert told.returncode == 1
    assert "is NOT under seal 1" in told.stdout


@given(st.integers(min_value=1, max_value=70), st.data())
def test_the_path_of_every_leaf_leads_to_the_root(count: int, data: st.DataObject) -> None:
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(count)]
    place = data.draw(st.integers(min_value=0, max_value=count - 1))
    node = leaves[place]
    for side, beside in inclusion.path(b"".join(leaves), place):
        node = hashlib.sha256(b"\1" + (beside + node if side == "left" else node + beside)).digest()
    assert node == _root(leaves)


def _rewrite(owner: Connection, change: str) -> None:
    """Change sealed history as one would who has the database and this code: every hash and every block is made to fit again."""
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text(change))
    owner.execute(text(
        f"update entry x set hash = n.hash from (select e.customer_id, e.entry_id, {ENTRY_HASH_SQL} as hash from entry e"
        " join posting p using (customer_id, entry_id) group by e.customer_id, e.entry_id) n"
        " where x.customer_id = n.customer_id and x.entry_id = n.entry_id"))  # fmt: skip
    for table in ("seal_leaves", "seal", "daily_total", "open_receivable"):
        owner.execute(text(f"delete from {table}"))
    owner.commit()


def test_history_that_was_rewritten_from_a_point_differs_from_the_seal_kept_elsewhere(
    cli: Cli, owner: Connection, tmp_path: Path
) -> None:
    _books(cli)
    kept = tmp_path / "seal.json"
    cli.ok("seal", "--export", str(kept))
    cli.post(usage("u3", "1.00", "2026-03-01"))
    cli.ok("seal")
    assert "checks hold" in cli.ok("verify", "--head", str(kept))
    _rewrite(
        owner,
        "with said as (update document set posted_by = 'nobody' where ref = 'u1' returning document_id)"
        " update entry set posted_by = 'nobody' where document_id in (select document_id from said)",
    )
    cli.ok("seal")
    assert "checks hold" in cli.ok("verify")  # within itself, nothing is left to be seen
    assert "seal 1 is not the one that was kept elsewhere" in cli.refused("verify", "--head", str(kept))


def test_an_older_state_differs_from_the_seal_kept_elsewhere(cli: Cli, owner: Connection, tmp_path: Path) -> None:
    _books(cli)
    cli.ok("seal")
    cli.post(usage("u3", "1.00", "2026-03-01"))
    kept = tmp_path / "seal.json"
    cli.ok("seal", "--export", str(kept))
    # the tail with all that belongs to it, as in a backup of the day before
    owner.execute(text("set session_replication_role = replica"))
    for statement in ("delete from seal where seal_id = 2", "delete from posting where entry_id = 6", "delete from entry where entry_id = 6",
                      "delete from document where ref = 'u3'", "delete from document_key where ref = 'u3'"):  # fmt: skip
        assert owner.execute(text(statement)).rowcount == 1
    owner.commit()
    assert "these books end with seal 1: they are older, or were cut off" in cli.refused("verify", "--head", str(kept))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seal_id": "x", "hash": ""}', '{"seal_id": "1"}'])
def test_a_file_that_is_no_seal_is_refused(cli: Cli, tmp_path: Path, content: str) -> None:
    _books(cli)
    file = tmp_path / "x.json"
    file.write_text(content)
    assert "expected a seal that `tickmark seal --export` wrote" in cli.refused("verify", "--head", str(file))


def test_that_the_books_were_verified_is_kept(cli: Cli, owner: Connection) -> None:
    _books(cli)
    cli.ok("seal")
    cli.ok("verify")
    owner.execute(text("set session_replication_role = replica"))
    owner.execute(text("update posting set amount = amount + 1 where entry_id = 2 and line = 1"))
    owner.commit()
    cli.refused("verify")
    rows = owner.execute(
        text("select by, checks, differing > 0, last_entry, length(head) from verification order by verification_id")
    ).all()
    checks = CHECKS + len(HELD)
    assert [tuple(row) for row in rows] == [("tester", checks, False, 5, 32), ("tester", checks, True, 5, 32)]


def test_seals_are_never_changed(cli: Cli, connection: Connection, owner: Connection) -> None:
    _books(cli)
    cli.ok("seal")
    for statement in (
        "update seal set entries = 1", "delete from seal", "truncate seal cascade", "update seal_leaves set entries = ''",
        "delete from seal_leaves", "truncate seal_leaves",
    ):  # fmt: skip
        with pytest.raises(Exception, match=r"refused|denied"):
            connection.execute(text(statement))
        connection.rollback()
        with pytest.raises(Exception, match="never changed"):
            owner.execute(text(statement))
        owner.rollback()


def test_a_settled_receivable_leaves_nothing_behind(cli: Cli, connection: Connection) -> None:
    """Billed 465.00, sealed; paid in full, sealed again: nothing is open, on any day asked for after the fact."""
    _books(cli)
    cli.ok("seal")
    cli.post(payment("P", "465.00", "2026-03-10", ("I", "465.00")))
    cli.ok("seal")
    assert connection.execute(text("select count(*) from open_receivable")).scalar() == 0
    assert cli.report("ar-aging") == []
    # before the payment it was due: a day before the last sealed one is asked of the postings
    (due,) = cli.report("ar-aging", "--as-of", "2026-03-09")
    assert due["due"] == "465.00"
    assert "checks hold" in cli.ok("verify")
