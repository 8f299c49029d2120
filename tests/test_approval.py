"""Who approves what another posts: second persons who are known, limits that add up, rules that stand for a person."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.approval.second_person import require_second
from ledger.errors import Refused
from ledger.journal.books import Books
from revrec.kinds import TYPES
from tests.conftest import Cli
from tests.samples import (
    PARTY,
    contract,
    credit_note,
    grant,
    invoice,
    obligation,
    one_time,
    parties,
    payment,
    promotion,
    service,
)
from tests.serving import MakeApp
from tests.test_access import bearer, key
from tests.test_refusals_leave_nothing import _contents, _tables
from tests.test_uses import GROUP, THEIRS
from web.access import keys

Document = dict[str, Any]
FOR_EVER = "2199-12-31"
OTHER = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR"}
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.19"}

# Each comes to 119.00: a refund, a note of 100.00 and its tax, what is written off of an invoice, two lines by hand.
NEXT: dict[str, Document] = {
    "refund": {"type": "refund", "id": "n", "payment": "P", "date": "2026-02-10", "amount": "119.00"},
    "credit_note": credit_note("n", "2026-02-10", "100.00"),
    "write_off": {"type": "write_off", "id": "n", "invoice": "I", "date": "2026-02-10", "amount": "119.00", "reason": "gone"},
    "manual_entry": {
        "type": "manual_entry", "id": "n", "entity": "us", "currency": "USD", "date": "2026-02-10", "reason": "audit",
        "lines": [{"debit": "bad_debt", "credit": "processing_fees", "amount": "100.00"},
                  {"debit": "bad_debt", "credit": "processing_fees", "amount": "19.00"}],
    },
}  # fmt: skip
each_kind = pytest.mark.parametrize("kind", NEXT)


def policy(ref: str = "us/1", day: str = "2026-01-01", **more: str) -> Document:
    return {"type": "approval_policy", "id": ref, "entity": "us", "date": day, "approved_by": "ann", **more}


def rule(*kinds: str, **more: Any) -> Document:
    return {
        "type": "approval_rule", "id": "A", "entity": "us", "kinds": list(kinds or NEXT), "source": "tester", "currency": "USD",
        "limit": "119.00", "date": "2026-02-01", "until": FOR_EVER, "approved_by": "ann", **more,
    }  # fmt: skip


def _books(cli: Cli) -> None:
    cli.post(
        *parties(), OTHER, VAT, invoice("I", "2026-01-05", one_time("1000.00") | {"tax_codes": ["VAT"]}),
        invoice("I2", "2026-01-05", one_time("1000.00")), payment("P", "1000.00", "2026-01-06"), payment("P2", "1000.00", "2026-01-06"),
        policy(refund_above="100.00", credit_note_above="100.00"),
    )  # fmt: skip


def _books_to_give(cli: Cli) -> None:
    _books(cli)
    cli.post(contract("C", "2026-01-01", obligation("C/1", "1200.00", "2026-01-01", "2026-12-31")))


def _refused(cli: Cli, connection: Connection, *documents: Document) -> str:
    """What a refusal says; nothing of it is left in any table."""
    tables = _tables(connection)
    before = _contents(connection, tables)
    told = cli.refuse(*documents)
    connection.rollback()
    assert _contents(connection, tables) == before
    connection.rollback()
    return told


def _key(engine: Engine, name: str, role: str = "controller", *entities: str, last: date | None = None) -> int:
    with engine.begin() as connection:
        made = keys.create(connection, name, role, "root", entities, last)
    return int(made.split("_")[1])


@each_kind
@pytest.mark.parametrize(
    "name", ["tester", "Tester", " TESTER ", "\uff54\uff45\uff53\uff54\uff45\uff52", "te\u200bster"]
)
def test_who_posts_has_not_approved(cli: Cli, connection: Connection, kind: str, name: str) -> None:
    _books(cli)
    told = _refused(cli, connection, NEXT[kind] | {"approved_by": name})
    assert "expected somebody else than who posts it, tester" in told


# What gives a customer something for nothing, each of 119.00: a balance, a bill below zero of 100.00 and its tax, credits that are free,
# or cost 0.01 of 119.01, and a part of a contract's price.
GIVING: dict[str, Document] = {
    "customer_credit": {"type": "customer_credit", "id": "g", **PARTY, "date": "2026-02-10", "amount": "119.00", "reason": "outage"},
    "invoice": invoice("g", "2026-02-10", one_time("-100.00") | {"tax_codes": ["VAT"]}),
    "grant": promotion("g", "119.00", "2026-02-10"),
    "grant of a price": grant("g", "119.01", "2026-02-10", price="0.01"),
    "pilot": grant("g", "119.00", "2026-02-10", kind="pilot"),
    "consideration_payable": {"type": "consideration_payable", "id": "g", "contract": "C", "date": "2026-02-10", "amount": "119.00", "reason": "deal"},
    "credit_note": {"type": "credit_note", "id": "g", **PARTY, "date": "2026-02-10", "lines": [
        {"product": "seats", "amount": "100.00", "tax_codes": ["VAT"]}]},
}  # fmt: skip


# One of every document that names an approver.
APPROVED: dict[str, Document] = NEXT | {
    "approval_policy": policy("n"), "approval_rule": rule(id="n", source="importer"),
    **{kind: document | {"id": "n"} for kind, document in GIVING.items() if kind in TYPES and kind not in NEXT},
}  # fmt: skip


def test_every_document_with_an_approver_is_among_them() -> None:
    assert {kind for kind, of in TYPES.items() if "approved_by" in of.model.model_fields} == set(APPROVED)


@pytest.mark.parametrize("kind", APPROVED)
def test_an_approver_is_somebody_else_who_can_be_seen_in_every_document(
    cli: Cli, connection: Connection, kind: str
) -> None:
    _books_to_give(cli)
    # of Cyrillic and Greek letters, a mathematical one, and one that can't be seen beside
    for name in ("t\u0435ster", "\u03a4ester", "te\u0455t\u0435r", "\U0001d42dester", "TESTER", "t\u0435\u200bster"):
        told = _refused(cli, connection, APPROVED[kind] | {"approved_by": name})
        assert f"{kind} n: approved_by = " in told
        assert "expected somebody else than who posts it, tester" in told
    for name, said in (
        ("b\u200bo", "U+200B ZERO WIDTH SPACE"),
        ("bo\u00a0lee", "U+00A0 NO-BREAK SPACE"),
        ("bo\u00ad", "U+00AD SOFT HYPHEN"),
    ):
        told = _refused(cli, connection, APPROVED[kind] | {"approved_by": name})
        assert f"expected a name of letters that can be seen: not {said}\n" in told
    cli.post(APPROVED[kind] | {"approved_by": "Ж. Тестер"})  # of the same name in another script
    assert "all" in cli.ok("verify")


def test_a_rule_is_approved_by_somebody_else_than_its_source(cli: Cli, connection: Connection) -> None:
    _books(cli)
    for source, name in (("clerk1", "clerkl"), ("importer", "imp\u043ert\u0435r"), ("Modern", "Modem")):
        told = _refused(cli, connection, rule(source=source, approved_by=name))
        assert f"expected somebody else than the source it is a rule for, {source}: the two names look alike" in told


@pytest.mark.parametrize("name", ["", " ", "\u200b"])
def test_nobody_is_no_second_person(cli: Cli, connection: Connection, name: str) -> None:
    _books(cli)
    assert "approved_by" in _refused(cli, connection, NEXT["refund"] | {"approved_by": name})


@each_kind
def test_without_a_second_person_it_is_refused_and_with_one_it_is_posted(
    cli: Cli, connection: Connection, kind: str
) -> None:
    _books(cli)
    assert f"{kind} n: approved_by = missing: expected who approved it" in _refused(cli, connection, NEXT[kind])
    cli.post(NEXT[kind] | {"approved_by": "ann"})
    (row,) = cli.report("approvals")
    assert row | {"posted_at": ""} == {
        "date": "2026-02-10", "document": f"{kind} n", "entity": "us", "customer": "" if kind == "manual_entry" else "globex",
        "currency": "USD", "amount": "119.00", "posted_by": "tester", "posted_at": "", "approved_by": "ann", "rule": "",
    }  # fmt: skip
    assert "all" in cli.ok("verify")


@each_kind
def test_where_keys_are_used_who_approves_is_known_to_the_books(
    cli: Cli, connection: Connection, engine: Engine, kind: str
) -> None:
    _books(cli)
    approved = NEXT[kind] | {"approved_by": "Bo  Lee"}
    assert cli.run("post", "-", "--dry-run", stdin=_line(approved)).exit_code == 0  # no keys: any other name
    _key(engine, "someone else")
    assert "approved_by = Bo  Lee: expected the name of a controller or admin of us: no key has that name" in _refused(
        cli, connection, approved
    )
    _key(engine, "bo lee", "operator")
    assert "their key is of the role operator" in _refused(cli, connection, approved)
    _key(engine, "bo lee", "controller", "eu")
    assert "their key is for other entities" in _refused(cli, connection, approved)
    number = _key(engine, "bo lee", "admin", "us")
    cli.ok("key", "revoke", str(number))
    assert "their key is for other entities" in _refused(cli, connection, approved)
    _key(engine, "BO LEE", "controller")  # another key of the same person holds
    cli.post(approved)


@each_kind
def test_a_key_that_was_revoked_or_has_expired_approves_nothing(
    cli: Cli, connection: Connection, engine: Engine, owner: Connection, kind: str
) -> None:
    _books(cli)
    number = _key(engine, "ann")
    cli.ok("key", "revoke", str(number))
    assert "their key was revoked, or has expired" in _refused(cli, connection, NEXT[kind] | {"approved_by": "ann"})
    owner.execute(
        text(
            "insert into api_key (name, role, hash, created_by, expires_on)"
            " values ('cy', 'admin', sha256('x'), 'root', '2020-01-01')"
        )
    )
    owner.commit()
    assert "their key was revoked, or has expired" in _refused(cli, connection, NEXT[kind] | {"approved_by": "cy"})


@each_kind
def test_a_rule_in_force_stands_for_the_person_and_is_kept_with_the_document(cli: Cli, kind: str) -> None:
    _books(cli)
    cli.post(rule(), NEXT[kind])
    (row,) = cli.report("approvals")
    assert (row["document"], row["approved_by"], row["rule"]) == (f"{kind} n", "ann", "A")
    traced = cli.ok("trace", f"{kind}:n")
    assert "approval_rule" in traced
    assert "stood for a second person: 2026-02-01, approved by ann" in traced
    assert f"{kind} n" in cli.ok("trace", "approval_rule:A").replace(f"{kind}:n", f"{kind} n")
    assert "all" in cli.ok("verify")


@each_kind
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"until": "2026-02-09"}, "; approval_rule A stands until 2026-02-09 only"),
        ({"date": "2026-02-11"}, "; approval_rule A stands from 2026-02-11 on"),
        ({"limit": "118.99"}, "; approval_rule A stands up to 118.99 USD, not for 119.00"),
        ({"currency": "GBP"}, "; approval_rule A stands in GBP, of which there is no rate"),
        ({"source": "stripe"}, ""),
        ({"entity": "eu"}, ""),
        ({"kinds": "others"}, ""),
    ],
    ids=["expired", "not yet", "over its limit", "no rate", "other source", "other entity", "other kinds"],
)  # fmt: skip
def test_a_rule_stands_for_what_it_is_for_and_no_more(
    cli: Cli, connection: Connection, kind: str, change: Document, words: str
) -> None:
    _books(cli)
    others = [name for name in NEXT if name != kind]
    cli.post(rule() | change | ({"kinds": others} if "kinds" in change else {}))
    told = _refused(cli, connection, NEXT[kind])
    assert "approved_by = missing" in told
    assert words in told
    assert ("approval_rule A" in told) == bool(words)


def test_a_rule_counts_on_the_day_of_the_document_and_on_the_day_it_is_posted(cli: Cli, connection: Connection) -> None:
    """In 2020 it stood: what is posted now, dated then, is late, and no way around its end."""
    _books(cli)
    cli.post(rule(date="2020-01-01", until="2020-12-31"))
    told = _refused(cli, connection, NEXT["manual_entry"] | {"date": "2020-06-01"})
    assert "approval_rule A stands until 2020-12-31 only" in told
    cli.post(rule(id="B", until="2150-01-01"))
    assert "approval_rule B stands until 2150-01-01 only" in _refused(
        cli, connection, NEXT["manual_entry"] | {"date": "2150-01-02"}
    )
    cli.post(NEXT["manual_entry"] | {"date": "2150-01-01"})


def test_a_rule_is_ended(cli: Cli, connection: Connection) -> None:
    """From the 10th on: it stands for nobody then, nor, posted after it, for what is of the 9th."""
    _books(cli)
    end = {"type": "approval_rule_end", "id": "E", "rule": "A", "date": "2026-02-10", "reason": "feed was sold"}
    cli.post(rule())
    cli.post(NEXT["manual_entry"] | {"id": "before"})
    assert "rule = B: expected the id of an approval_rule posted before" in _refused(
        cli, connection, end | {"rule": "B"}
    )
    assert "date = 2026-01-31: expected 2026-02-01, when the rule begins, or later" in _refused(
        cli, connection, end | {"date": "2026-01-31"}
    )
    cli.post(end)
    assert "stands until 2026-02-09 only" in _refused(cli, connection, NEXT["manual_entry"])
    assert "stands until 2026-02-09 only" in _refused(cli, connection, NEXT["manual_entry"] | {"date": "2026-02-09"})
    assert "approval_rule_end" in cli.ok("trace", "approval_rule:A")
    assert [row["document"] for row in cli.report("approvals")] == ["manual_entry before"]
    assert "all" in cli.ok("verify")


def test_rules_and_policies_need_a_second_person_and_a_source_does_not_approve_its_own(
    cli: Cli, connection: Connection, engine: Engine
) -> None:
    _books(cli)
    for document in (policy("us/2", refund_above="900.00"), rule()):
        assert "expected somebody else than who posts it" in _refused(
            cli, connection, document | {"approved_by": "TESTER"}
        )
        assert "approved_by = missing" in _refused(
            cli, connection, {k: v for k, v in document.items() if k != "approved_by"}
        )
    told = _refused(cli, connection, rule(source="Stripe Feed", approved_by="stripe  feed"))
    assert "expected somebody else than the source it is a rule for" in told
    assert "until = 2026-01-31: expected date (2026-02-01) or later" in cli.refuse(rule(until="2026-01-31"))
    assert "expected at most 2 decimal places" in cli.refuse(rule(limit="1.001"))
    assert "refund_above" in cli.refuse(policy("us/2", refund_above="1.001"))
    assert "kinds = refund: expected each id once" in cli.refuse(rule("refund", "refund"))
    _key(engine, "someone")
    for document in (policy("us/2", refund_above="900.00"), rule()):
        assert "no key has that name" in _refused(cli, connection, document)


@pytest.mark.parametrize("kind", ["refund", "credit_note"])
def test_no_limit_is_passed_in_parts(cli: Cli, connection: Connection, kind: str) -> None:
    """70.00 and 30.00 of one payment or invoice are 100.00, which one may do; a cent more takes a second, on whatever day."""
    _books(cli)
    first, second, third = (
        ({"type": "refund", "payment": "P"} if kind == "refund" else {"type": "credit_note", "invoice": "I2"})
        | {"id": ref, "date": day}
        | ({"amount": amount} if kind == "refund" else {"lines": [{"line": "1", "amount": amount}]})
        for ref, day, amount in (
            ("a", "2026-02-10", "70.00"),
            ("b", "2026-05-01", "30.00"),
            ("c", "2026-01-20", "0.01"),
        )
    )
    elsewhere = third | {"id": "e"} | ({"payment": "P2"} if kind == "refund" else {"invoice": "I"})
    cli.post(first, second)
    told = _refused(cli, connection, third)
    assert (
        "that nobody approved come to 100.01 USD with it, and beyond 100.00 a second person is needed (approval_policy us/1)"
        in told
    )
    cli.post(elsewhere, third | {"approved_by": "ann"})
    assert "come to 100.01" in cli.refuse(third | {"id": "d"})  # what was approved is not counted
    assert "all" in cli.ok("verify")


def test_notes_of_no_invoice_add_up(cli: Cli, connection: Connection) -> None:
    """50.00 and its 9.50 of tax, then 40.50, are 100.00; a cent more takes a second, another customer's is its own."""
    _books(cli)
    cli.post({"type": "customer", "id": "other", "name": "Other"})
    first, second, third = (
        {
            "type": "credit_note", "id": ref, "customer": "globex", "entity": "us", "currency": "USD", "date": day,
            "lines": [{"product": "seats", "amount": amount, **more}],
        }
        for ref, day, amount, more in (
            ("a", "2026-02-10", "50.00", {"tax_codes": ["VAT"]}),
            ("b", "2026-05-01", "40.50", {}),
            ("c", "2026-01-20", "0.01", {}),
        )
    )  # fmt: skip
    cli.post(first, second)
    assert "credits of no invoice to customer globex that nobody approved come to 100.01 USD" in _refused(
        cli, connection, third
    )
    cli.post(third | {"id": "d", "customer": "other"}, third | {"approved_by": "ann"})


def test_a_note_of_no_invoice_that_was_voided_is_not_counted(cli: Cli, connection: Connection) -> None:
    """60.00 that were voided leave all of 100.00; the report has both, and a note of 10.00 of a line and 60.00 of its own as 70.00."""
    _books(cli)
    note = {"type": "credit_note", "customer": "globex", "entity": "us", "currency": "USD", "date": "2026-02-03"}
    own = [{"product": "seats", "amount": "60.00"}]
    taxed = [{"product": "seats", "amount": "50.00", "tax_codes": ["VAT"]}, {"product": "seats", "amount": "40.51"}]
    void = {"type": "credit_note_void", "id": "v", "credit_note": "a", "date": "2026-02-03", "reason": "in error"}
    cli.post(note | {"id": "a", "lines": own}, void)
    assert "come to 100.01 USD" in _refused(cli, connection, note | {"id": "b", "lines": taxed})
    cli.post(note | {"id": "b", "lines": own})
    assert "come to 100.01 USD" in _refused(
        cli, connection, note | {"id": "c", "lines": [{"product": "seats", "amount": "40.01"}]}
    )
    cli.post(
        {"type": "credit_note", "id": "d", "invoice": "I2", "date": "2026-02-04", "lines": [{"line": "1", "amount": "10.00"}, *own]},
        note | {"id": "e", "lines": taxed, "approved_by": "ann", "date": "2026-02-05"},
    )  # fmt: skip
    assert [(row["document"], row["amount"], row["approved_by"]) for row in cli.report("approvals")] == [
        ("credit_note a", "60.00", ""), ("credit_note b", "60.00", ""), ("credit_note d", "70.00", ""),
        ("credit_note e", "100.01", "ann"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["refund", "credit_note"])
def test_what_came_back_is_not_counted(cli: Cli, connection: Connection, kind: str) -> None:
    """A refund of 80.00 that failed, or a note that was voided, leaves all of 100.00."""
    _books(cli)
    if kind == "refund":
        gone = {"type": "refund", "id": "a", "payment": "P", "date": "2026-02-10", "amount": "80.00"}
        back = {
            "type": "refund_reversal",
            "id": "b",
            "refund": "a",
            "date": "2026-02-12",
            "reason": "closed",
        }
    else:
        gone = {
            "type": "credit_note", "id": "a", "invoice": "I2", "date": "2026-02-10", "lines": [{"line": "1", "amount": "80.00"}],
        }  # fmt: skip
        back = {"type": "credit_note_void", "id": "b", "credit_note": "a", "date": "2026-02-12", "reason": "in error"}

    rest = gone | {"id": "c", "date": "2026-03-10"}

    def of(amount: str) -> Document:
        return rest | ({"amount": amount} if kind == "refund" else {"lines": [{"line": "1", "amount": amount}]})

    cli.post(gone)
    _refused(cli, connection, of("20.01"))
    cli.post(back)
    assert "come to 100.01 USD" in _refused(cli, connection, of("100.01"))
    cli.post(of("100.00"))


def test_what_goes_out_of_another_s_balance_counts_for_who_paid(cli: Cli, connection: Connection) -> None:
    """Mum's 100.00 pay child's T, of which a note leaves 40.00 with child: one may pay out 50.00 of them, from wherever."""
    paid = {**payment("P", "100.00", "2026-01-20", ("T", "100.00")), "customer": "mum"}
    note = credit_note("C", "2026-01-25", "40.00", invoice="T", approved_by="ann")
    cli.post(*parties(), *GROUP, THEIRS, paid, note, policy(refund_above="50.00"))
    of_payment = {"type": "refund", "id": "R", "payment": "P", "date": "2026-02-01", "amount": "40.00"}
    failed = {"type": "refund_reversal", "id": "F", "refund": "R", "date": "2026-02-02", "reason": "closed"}
    of_balance = {
        "type": "refund", "id": "B", "customer": "child", "entity": "us", "currency": "USD", "date": "2026-02-03", "rail": "wire",
        "amount": "40.00",
    }  # fmt: skip
    more = of_payment | {"id": "S", "date": "2026-02-04"}
    cli.post(of_payment)
    assert "come to 50.01 USD" in _refused(cli, connection, more | {"amount": "10.01"})
    # it comes back with child: nothing is paid out then, and child's balance all at once
    cli.post(failed, of_balance)
    assert "come to 50.01 USD" in _refused(cli, connection, more | {"amount": "10.01"})
    cli.post(more | {"amount": "10.00"})
    assert "all" in cli.ok("verify")


def test_no_rule_s_limit_is_passed_in_parts(cli: Cli, connection: Connection) -> None:
    _books(cli)
    cli.post(rule("write_off"), NEXT["write_off"] | {"amount": "100.00"})
    told = _refused(cli, connection, NEXT["write_off"] | {"id": "m", "amount": "19.01", "date": "2026-03-01"})
    assert "approval_rule A stands up to 119.00 USD, not for 119.01" in told
    cli.post(NEXT["write_off"] | {"id": "m", "amount": "19.00", "date": "2026-03-01"})
    cli.post(NEXT["write_off"] | {"id": "o", "invoice": "I2"})


def test_what_is_accepted_is_accepted_in_any_order(cli: Cli) -> None:
    """40.00 and 60.00 that nobody approved, and 500.00 that somebody did, of one payment with a limit of 100.00."""
    _books(cli)
    refunds = [
        NEXT["refund"] | {"id": "a", "amount": "40.00"},
        NEXT["refund"] | {"id": "b", "amount": "60.00"},
        NEXT["refund"] | {"id": "c", "amount": "500.00", "approved_by": "ann"},
    ]
    for order in itertools.permutations(refunds):
        assert cli.run("post", "-", "--dry-run", stdin="".join(map(_line, order))).exit_code == 0


def test_a_limit_is_of_the_entity_s_currency(cli: Cli, connection: Connection) -> None:
    """90.90 EUR at 1.10 are 99.99 USD; 90.91 are 100.00, and with one cent more (90.92) 100.01."""
    _books(cli)
    rate = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "EUR", "quote": "USD", "rate": "1.10"}
    cli.post(rate, payment("PE", "500.00", "2026-01-06") | {"currency": "EUR"})
    refund = NEXT["refund"] | {"payment": "PE"}
    assert "come to 100.01 USD with it" in _refused(cli, connection, refund | {"amount": "90.92"})
    cli.post(refund | {"amount": "90.91"})


def test_the_least_limit_of_its_day_and_of_today_holds(cli: Cli, connection: Connection) -> None:
    """In 2020: 100.00 from January on, 200.00 from February, none named from March. Then 50.00 from April: today, too."""
    cli.post(
        *parties(), payment("P", "1000.00", "2020-01-06"), payment("P2", "1000.00", "2020-01-06"),
        policy("1", "2020-01-01", refund_above="100.00"), policy("2", "2020-02-01", refund_above="200.00"), policy("3", "2020-03-01"),
    )  # fmt: skip
    refund = NEXT["refund"] | {"amount": "200.01"}
    told = _refused(cli, connection, refund | {"date": "2020-02-10"})
    assert "beyond 200.00 a second person is needed (approval_policy 2)" in told
    assert "beyond 100.00" in _refused(cli, connection, refund | {"date": "2020-01-31"})
    cli.post(refund | {"id": "m", "date": "2020-03-01", "amount": "900.00"})  # no limit on its day, nor today
    cli.post(policy("4", "2020-04-01", refund_above="50.00"))
    late = {"date": "2020-01-31", "payment": "P2", "amount": "50.01"}
    assert "beyond 50.00 a second person is needed (approval_policy 4)" in _refused(cli, connection, refund | late)


def test_without_a_policy_refunds_and_credit_notes_need_nobody(cli: Cli) -> None:
    cli.post(
        *parties(),
        VAT,
        invoice("I", "2026-01-05", one_time("1000.00") | {"tax_codes": ["VAT"]}),
        payment("P", "1000.00", "2026-01-06"),
    )
    # another entity's is not ours
    cli.post(OTHER, policy(refund_above="0.00", credit_note_above="0.00") | {"entity": "eu"})
    cli.post(NEXT["refund"], NEXT["credit_note"])
    assert [row["approved_by"] for row in cli.report("approvals")] == ["", ""]


def test_a_limit_of_nothing_is_for_each_of_them(cli: Cli, connection: Connection) -> None:
    _books(cli)
    cli.post(policy("us/2", "2026-02-01", refund_above="0.00"))
    assert "beyond 0.00" in _refused(cli, connection, NEXT["refund"] | {"amount": "0.01"})


def test_a_credit_note_over_entities_counts_once_and_whole(cli: Cli, connection: Connection) -> None:
    """60.00 of our own line and 40.00 of another entity's with 7.60 of its tax: 107.60, by the policy of who collects it."""
    other = {"type": "entity", "id": "de", "name": "Acme DE", "currency": "USD"}
    _books(cli)
    cli.post(
        other,
        policy("de/1", credit_note_above="0.00") | {"entity": "de"},
        invoice(
            "B", "2026-01-05", one_time("500.00"), one_time("500.00", "2") | {"entity": "de", "tax_codes": ["VAT"]}
        ),
    )
    note = {"type": "credit_note", "id": "n", "invoice": "B", "date": "2026-02-10",
            "lines": [{"line": "1", "amount": "60.00"}, {"line": "2", "amount": "40.00"}]}  # fmt: skip
    assert "come to 107.60 USD with it, and beyond 100.00" in _refused(cli, connection, note)
    cli.post(rule("credit_note"), note)
    (row,) = cli.report("approvals")
    assert (row["amount"], row["rule"]) == ("107.60", "A")
    assert "all" in cli.ok("verify")


def test_approval_changes_nothing_of_what_is_posted(cli: Cli, url: str, engine: Engine) -> None:
    """By a person, by a rule, or without a policy where none is needed: the same postings."""
    found = []
    with engine.connect() as connection:
        _books(cli)
        cli.post(rule(source="another"))
        for approving in ([], [rule(id="B")]):
            named = {} if approving else {"approved_by": "ann"}
            documents = [*approving, *(NEXT[kind] | named | {"id": f"{kind}{len(approving)}"} for kind in NEXT)]
            cli.post(*documents)
            found.append(
                connection.execute(
                    text(
                        "select d.type, r.code, p.amount, p.functional_amount, p.effective_on, p.line from document d"
                        " join entry e using (document_id) join posting p on p.entry_id = e.entry_id join rule r on r.number = p.rule"
                        " where d.type = any(:kinds) and d.ref like '%' || :number order by 1, 6, 2, 3"
                    ),
                    {"kinds": list(NEXT), "number": str(len(approving))},
                ).all()
            )
    assert found[0]
    assert found[0] == found[1]


each_giving = pytest.mark.parametrize("giving", GIVING)


@each_giving
def test_whatever_gives_a_customer_something_for_nothing_needs_a_second_person_above_the_limit(
    cli: Cli, connection: Connection, giving: str
) -> None:
    _books_to_give(cli)
    document = GIVING[giving]
    told = _refused(cli, connection, document)
    assert "come to 119.00 USD with it, and beyond 100.00 a second person is needed (approval_policy us/1)" in told
    assert "expected somebody else than who posts it" in _refused(cli, connection, document | {"approved_by": "tester"})
    cli.post(document | {"approved_by": "ann"})
    (row,) = cli.report("approvals")
    assert (row["document"], row["amount"], row["approved_by"]) == (f"{document['type']} g", "119.00", "ann")
    assert "all" in cli.ok("verify")


@each_giving
def test_a_rule_stands_for_who_approves_what_is_given(cli: Cli, giving: str) -> None:
    _books_to_give(cli)
    cli.post(rule(GIVING[giving]["type"]), GIVING[giving])
    (row,) = cli.report("approvals")
    assert (row["amount"], row["rule"]) == ("119.00", "A")
    assert "all" in cli.ok("verify")


@pytest.mark.parametrize("first", GIVING)
@pytest.mark.parametrize("together", [True, False])
def test_what_a_customer_is_given_adds_up_whatever_gives_it(
    cli: Cli, connection: Connection, first: str, together: bool
) -> None:
    """100.01 and what comes to 119.00 are 219.01, in one file or in two."""
    _books_to_give(cli)
    cli.post(policy("us/2", refund_above="100.00", credit_note_above="150.00"))
    more = GIVING["customer_credit"] | {"id": "more", "amount": "100.01"}
    if not together:
        cli.post(GIVING[first])
    told = _refused(cli, connection, *([GIVING[first]] if together else []), more)
    assert (
        "credits of no invoice to customer globex that nobody approved come to 219.01 USD with it, and beyond 150.00"
        in told
    )
    cli.post(*([GIVING[first]] if together else []), more | {"amount": "31.00"})  # 150.00


def test_a_line_below_zero_counts_with_credit_notes_of_the_invoice_it_corrects(
    cli: Cli, connection: Connection
) -> None:
    """60.00 of S with its tax of 11.40 by a line, and 30.00 by a note, are 101.40; 28.60 are 100.00."""
    _books(cli)
    year = ("2026-01-01", "2026-12-31")
    cli.post(invoice("S", "2026-01-05", service("1200.00", *year) | {"tax_codes": ["VAT"]}))
    upgrade = invoice(
        "U",
        "2026-02-10",
        service("-60.00", *year) | {"tax_codes": ["VAT"]},
        service("500.00", *year, "2", product="tokens", tax_codes=[]),
    )
    note = {
        "type": "credit_note",
        "id": "n",
        "invoice": "S",
        "date": "2026-02-10",
        "lines": [{"product": "seats", "amount": "30.00", "tax_codes": []}],
    }
    cli.post(upgrade)
    told = _refused(cli, connection, note)
    assert "credits of invoice S that nobody approved come to 101.40 USD with it, and beyond 100.00" in told
    cli.post(note | {"lines": [{"product": "seats", "amount": "28.60", "tax_codes": []}]})
    again = upgrade | {"id": "U2", "lines": [upgrade["lines"][0] | {"amount": "-0.01"}, upgrade["lines"][1]]}
    assert "credits of invoice S that nobody approved come to 100.01 USD" in _refused(cli, connection, again)
    cli.post(again | {"approved_by": "ann"})
    assert [(row["document"], row["amount"]) for row in cli.report("approvals")] == [
        ("invoice U", "71.40"), ("credit_note n", "28.60"), ("invoice U2", "0.01")
    ]  # fmt: skip
    assert "all" in cli.ok("verify")


def test_a_discount_that_is_a_line_counts_by_itself(cli: Cli, connection: Connection) -> None:
    """Each invoice may have 100.00 of it, as each may have a lower price; what charges beside does not count against it."""
    _books(cli)

    def discounted(ref: str, amount: str) -> Document:
        return invoice(ref, "2026-02-10", one_time("500.00"), one_time(amount, "2"))

    told = _refused(cli, connection, discounted("A", "-100.01"))
    assert "lines below zero of invoice A that nobody approved come to 100.01 USD" in told
    cli.post(
        discounted("A", "-100.00"), discounted("B", "-100.00"), discounted("C", "-400.00") | {"approved_by": "ann"}
    )


def test_what_was_taken_back_of_what_was_given_does_not_count(cli: Cli, connection: Connection) -> None:
    """70.00 of 90.00 taken back, a bill of -80.00 voided: 20.00 stand, and 80.00 more are 100.00."""
    _books(cli)
    given = GIVING["customer_credit"]
    cli.post(
        given | {"amount": "90.00"}, given | {"id": "back", "amount": "70.00", "takes_back": "g"},
        invoice("B", "2026-02-10", one_time("-80.00")),
        {"type": "invoice_void", "id": "v", "invoice": "B", "date": "2026-02-11", "reason": "wrong"},
    )  # fmt: skip
    told = _refused(cli, connection, given | {"id": "h", "amount": "80.01"})
    assert "come to 100.01 USD with it" in told
    cli.post(given | {"id": "h", "amount": "80.00"})
    assert "expected none on what takes a credit back" in cli.refuse(
        given | {"id": "b2", "amount": "1.00", "takes_back": "h", "approved_by": "ann"}
    )


def test_what_is_paid_for_or_taken_back_needs_nobody(cli: Cli) -> None:
    """Whatever was given before, and a limit of nothing: bills, paid credits, and credits that carry on what was given with approval."""
    _books_to_give(cli)
    cli.post(GIVING["grant"] | {"approved_by": "ann"}, policy("us/2", credit_note_above="0.00"))
    cli.post(
        grant("P", "1000.00", "2026-02-10"), grant("K", "500.00", "2026-02-10", kind="commitment", expires_on="2026-12-31"),
        promotion("on", "119.00", "2026-02-11", carried_from="g"), invoice("B", "2026-02-10", one_time("10.00")),
    )  # fmt: skip
    assert "come to 0.01 USD with it" in cli.refuse(promotion("more", "0.01", "2026-02-11"))
    assert "come to 0.01 USD with it" in cli.refuse(
        promotion("more", "119.01", "2026-02-12", carried_from="on"),
    )


def test_another_entitys_line_below_zero_counts_where_it_is_collected(cli: Cli, connection: Connection) -> None:
    _books(cli)
    cli.post({"type": "entity", "id": "de", "name": "Acme DE", "currency": "USD"})
    bill = invoice("B", "2026-02-10", one_time("500.00"), one_time("500.00", "2") | {"entity": "de"},
                   one_time("-110.00", "3") | {"entity": "de"})  # fmt: skip
    assert "come to 110.00 USD with it, and beyond 100.00" in _refused(cli, connection, bill)
    cli.post(bill | {"approved_by": "ann"})
    (row,) = cli.report("approvals")
    assert (row["document"], row["amount"]) == ("invoice B", "110.00")
    assert "all" in cli.ok("verify")


@pytest.mark.parametrize("side", ["debit", "credit"])
def test_clearing_accounts_take_no_manual_entry(cli: Cli, connection: Connection, side: str) -> None:
    _books(cli)
    other = {"debit": "credit", "credit": "debit"}[side]
    entry = NEXT["manual_entry"] | {
        "approved_by": "ann",
        "lines": [{side: "currency_exchange", other: "cash", "amount": "1.00"}],
    }
    assert f"lines.0.{side} = currency_exchange: expected no clearing account" in _refused(cli, connection, entry)
    assert "all" in cli.ok("verify")


def test_a_key_of_one_entity_posts_and_sees_what_is_of_its_rules_alone(
    cli: Cli, engine: Engine, make_books_app: MakeApp
) -> None:
    _books(cli)
    cli.post(rule(source="feed"), rule(id="B", entity="eu", source="feed", currency="EUR"))
    headers = bearer(key(engine, "operator", "us", name="feed"))
    client = make_books_app().test_client()

    def post(*documents: Document) -> Any:
        return client.post("/v1/documents", json=list(documents), headers=headers)

    end = {"type": "approval_rule_end", "id": "E", "rule": "B", "date": "2026-02-10", "reason": "x"}
    assert "expected the id of something of us in the books" in post(end).text
    assert post(*NEXT.values()).json["posted"] == 4
    assert {row["rule"] for row in cli.report("approvals")} == {"A"}
    led_to = client.get("/v1/trace/approval_rule:A", headers=headers).json["led_to"]
    assert [step["kind"] for step in led_to] == list(NEXT)
    assert client.get("/v1/trace/approval_rule:B", headers=headers).status_code == 404
    assert post(end | {"rule": "A"}).json["posted"] == 1
    assert "stands until 2026-02-09 only" in post(NEXT["manual_entry"] | {"id": "m"}).text


def test_a_rule_of_a_closed_month_is_late_where_that_is_refused(cli: Cli) -> None:
    _books(cli)
    cli.post(rule(date="2026-01-01"))
    cli.ok("close", "2026-01", "--entity", "us", "--anyway", "--reason", "test")
    end = {"type": "approval_rule_end", "id": "E", "rule": "A", "date": "2026-01-31", "reason": "x"}
    told = cli.run("post", "--refuse-late", "-", stdin=_line(end))
    assert "approval_rule_end E: date = 2026-01-31: the books of us are closed through 2026-01-31" in told.stderr
    cli.post(end)


def _line(document: Document) -> str:
    from tests.conftest import lines

    return lines([document])


def test_whose_key_is_for_other_entities_alone_is_nobody_to_a_key_of_one(
    cli: Cli, connection: Connection, engine: Engine
) -> None:
    """One message for unknown and not theirs; who posts for all is told more."""
    _books(cli)
    _key(engine, "eve", "controller", "eu")
    _key(engine, "ann", "controller", "us")
    said = []
    for name in ("eve", "nobody at all"):
        with pytest.raises(Refused) as refused:
            require_second(Books(connection, "tester", entities=frozenset({"us"})), name, "us")
        said.append(str(refused.value).replace(name, "NAME"))
    assert said[0] == said[1]
    assert "no key has that name" in said[0]
    require_second(Books(connection, "tester", entities=frozenset({"us"})), "ann", "us")
    with pytest.raises(Refused, match="their key is for other entities"):
        require_second(Books(connection, "tester"), "eve", "us")
