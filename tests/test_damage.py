"""Each invariant that `verify` holds, broken on purpose behind the application's back, is named: with the smaller books of test_verify, all.

A superuser with triggers and foreign keys off changes one thing; the check that is of it has to see it.
"""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from ledger.proof import verify
from revrec.watches import HELD
from tests import test_seals, test_verify
from tests.conftest import Cli
from tests.samples import contract, grant, invoice, obligation, one_time, parties, payment, prepaid, service, usage

EU = {"type": "entity", "id": "eu", "name": "Acme AI GmbH", "currency": "EUR", "invoice_prefix": "EU-"}
RATE = {"type": "fx_rate", "id": "r", "date": "2026-01-01", "base": "USD", "quote": "EUR", "rate": "0.9"}
VAT = {"type": "tax_code", "id": "VAT", "name": "VAT", "rate": "0.20"}


def books(cli: Cli) -> None:
    """Books with something of everything that an invariant is about."""
    entity, customer, *rest = parties()
    cli.post(
        entity, customer | {"contacts": {"billing": "jane@globex.example"}}, *rest, EU, VAT, RATE, grant("G"),
        {"type": "customer", "id": "hooli", "name": "Hooli", "parent": "globex"},
        {"type": "customer_change", "id": "h", "customer": "hooli", "date": "2026-02-01", "tax_status": "exempt"},
        invoice("I", "2026-01-01", prepaid("100.00"), service("365.00", "2026-01-01", "2026-12-31", line="2", tax_codes=["VAT"])),
        usage("u1", "40.00", "2026-01-10"), usage("u2", "10.00", "2026-01-11"),
        {**usage("u2b", "12.00", "2026-01-11"), "supersedes": "u2"},
        payment("P", "300.00", "2026-01-15", ("I", "200.00"), reference="cheque 17", external={"stripe": "ch_1"}),
        invoice("E", "2026-01-31", one_time("200.00"), entity="eu", fx_rate="0.90"),
        payment("PE", "200.00", "2026-02-03", ("E", "200.00"), entity="eu", fx_rate="0.95"),
        invoice("M", "2026-01-20", one_time("10.00"), one_time("12.00", "2") | {"entity": "eu"}),
        contract("C", "2026-01-01", obligation("C-1", "500.00", "2026-01-01", "2026-06-30")),
        {"type": "contract_cost", "id": "K", "contract": "C", "date": "2026-01-01", "amount": "60.00", "end": "2026-06-30", "kind": "obtain"},
        contract("R", "2026-01-10", {"id": "R-1", "product": "seats", "price": "100.00", "start": "2026-01-10", "pattern": "point_in_time"}),
        {"type": "estimate", "id": "RE", "contract": "R", "component": "returns", "date": "2026-01-10", "amount": "-3.00", "refund": True},
        invoice("RI", "2026-01-10", {"id": "1", "kind": "service", "amount": "100.00", "obligation": "R-1"}),
        {"type": "approval_rule", "id": "AR", "entity": "us", "kinds": ["manual_entry"], "source": "tester", "currency": "USD",
         "limit": "1.00", "date": "2026-01-01", "until": "2199-12-31", "approved_by": "ann"},
        {"type": "manual_entry", "id": "ME", "entity": "us", "currency": "USD", "date": "2026-01-31", "reason": "audit",
         "lines": [{"debit": "bad_debt", "credit": "processing_fees", "amount": "1.00"}]},
        {"type": "unidentified_receipt", "id": "X", "entity": "us", "currency": "USD", "date": "2026-01-20", "rail": "wire", "amount": "9.00"},
        {"type": "receipt_identified", "id": "X/1", "receipt": "X", "customer": "globex", "date": "2026-01-21"},
        invoice("BZ", "2026-01-22", one_time("-5.00")),
        {"type": "credit_note", "id": "CN", "customer": "globex", "entity": "us", "currency": "USD", "date": "2026-01-23",
         "lines": [{"product": "seats", "amount": "4.00"}]},
    )  # fmt: skip
    cli.ok("recognize", "--through", "2026-02")
    cli.ok("close", "2025-12")


def _of(rule: str) -> str:
    return f"rule = (select number from rule where code = '{rule}')"


_LATEST = "(select min(entry_id) from posting where {})"

# What is done, a part of the sentence of the check that has to see it, and what it has to name.
DAMAGE = {
    "terms that no document makes": (
        "update obligation_terms set reaches_minor = reaches_minor - 100 where subject = 'obligation:R-1' and version = 2",
        "the terms of every obligation", "obligation:R-1"),
    "a row changed together with its log": (
        "update obligation set ends_on = '2026-02-28' where ref = 'C-1'; insert into row_log select row_log_id + 100000, table_name, key, hash, -1"
        " from row_log where table_name = 'obligation' limit 1", "every row is as it was written", "is told as changed"),
    "a guard switched off": ("alter table posting disable trigger never_changed", "the database's tables, triggers", "never_changed on posting"),
    "a guard dropped": ("drop trigger checked on posting", "the database's tables, triggers", "trigger checked on posting is missing"),
    "a function that guards nothing": (
        "create or replace function refuse_change() returns trigger language plpgsql as $$begin return new; end$$",
        "the database's tables, triggers", "function refuse_change()"),
    "a login that may rewrite history": (
        "grant update, delete on all tables in schema public to tickmark_app", "the database's tables, triggers",
        "rights of tickmark_app on entry is delete, insert, select, update, expected insert, select"),
    "a closed month opened by hand": ("delete from closed_books", "every row is as it was written", "closed_books us is gone"),
    "another rate of exchange": ("update fx_rate set rate = 2.2", "every row is as it was written", "fx_rate USD/EUR/2026-01-01 is not as it was written"),
    "a rule of the rulebook": ("update rule set debit = credit where code = 'payment.fee'", "the database's tables, triggers", "of the rulebook"),
    "terms that are gone": (
        "delete from obligation_terms where subject = 'obligation:R-1'", "the terms of every obligation", "obligation:R-1"),
    "what is left of an emptied account in its entity's currency": (
        f"update posting set functional_amount = functional_amount + 1 where {_of('payment.applied')} and entry_id in"
        " (select entry_id from entry join document d using (document_id) where d.ref = 'PE')", "an account emptied in its own currency", "of globex"),
    "what is left of an account that held nothing for a day": (
        "update posting set functional_amount = functional_amount + 1 where amount > 0 and entry_id in"
        " (select entry_id from entry join document d using (document_id) where d.ref = 'PE')", "holds nothing in its own currency at a day's end",
        "of globex"),
    "a changed address": ("update personal_fields set fields = replace(fields, 'jane', 'joan')", "what documents say of persons", "customer globex"),
    "an address without its random bytes": (
        "update personal_fields set salt = sha256('')", "what documents say of persons", "customer globex"),
    "an external id of another document": (
        "update external_key set document_id = (select document_id from document where ref = 'PE')", "found by its external ids", "payment P: stripe ch_1"),
    "an external id that is gone": ("delete from external_key", "found by its external ids", "payment P: stripe ch_1"),
    "an external id that no document has": (
        "insert into external_key select 'adyen', external_id, type, status, customer_id, document_id from external_key",
        "found by its external ids", "adyen ch_1"),
    "another reference": ("update document_reference set reference = 'cheque 71'", "found by its reference", "payment P: reference cheque 17"),
    "a reversal of less": (
        "update posting set amount = amount - 1, functional_amount = functional_amount - 1 where entry_id ="
        " (select max(entry_id) from entry where reverses is not null)", "a reversal takes back exactly", "entry"),
    "one side in another entity": (
        "update account set entity = 'eu' where role = 'revenue' and subject = 'obligation:C-1'", "debits equal credits", "us"),
    "more paid than billed": (
        f"update posting set amount = amount + 100000, functional_amount = functional_amount + 100000 where {_of('payment.applied')}"
        " and entry_id in (select entry_id from entry join document d using (document_id) where d.ref = 'P')",
        "no invoice is settled beyond", "invoice I"),
    "more amortised than capitalised": (
        "update posting set amount = amount + 100000, functional_amount = functional_amount + 100000 where credit_account in"
        " (select account_id from account where role = 'contract_costs')", "no capitalised cost", "cost K"),
    "money used twice": (
        f"update posting set amount = amount + 20000, functional_amount = functional_amount + 20000 where {_of('payment.applied')}"
        " and entry_id in (select entry_id from entry join document d using (document_id) where d.ref = 'P')",
        "no customer's unapplied money", "globex"),
    "credits below zero": (
        "update posting set amount = 1, functional_amount = 1 where credit_account in (select account_id from account"
        " where role = 'customer_credits')", "no prepaid credits fall below zero", "grant G"),
    "an asset beside a liability": (
        "insert into posting select p.customer_id, p.entry_id, x.account_id, p.credit_account, 1, 1, p.effective_on, 99, p.rule from posting p"
        " join account a on a.account_id = p.debit_account join account x on x.subject = a.subject and x.role = 'unbilled_receivable'"
        " where a.role = 'deferred_revenue' and a.subject = 'obligation:I/2' limit 1",
        "both a contract asset and a contract liability", "I/2"),
    "a receivable of no invoice": (
        "update account set subject = 'invoice:X' where subject = 'invoice:I'; update invoice set receivable_account = 0 where ref = 'I'",
        "equal the sum of their sub-ledgers", "accounts_receivable of us"),
    "a number left out": ("update invoice set number = 7 where number = 1", "leaves no number out", "eu: "),
    "a claim nobody owes": (
        "update posting set amount = amount + 1 where credit_account in (select account_id from account where role = 'due_to_entities')",
        "what an entity owes another", "owes"),
    "a day that nobody agreed": ("update invoice set due_on = due_on + 1 where ref = 'I'", "is due when its document says", "invoice I: due on 2026-01-02"),
    "a status that the customer did not have": (
        "update line_tax set treatment = 'exempt'", "bears taxes as the status of its customer", "invoice I: exempt, expected taxable"),
    "a customer of another name": ("update customer set name = 'Pied Piper' where ref = 'hooli'", "every customer is what its document", "customer hooli"),
    "a parent of its parent": ("update customer set parent = 'hooli' where ref = 'globex'", "belongs to itself", "hooli on 1970-01-01"),
    "an approval taken away": ("delete from approval_by_rule", "name who approved them", "manual_entry ME: nobody approved it"),
    "an approval by a rule for other kinds": (
        "update document set body = replace(body, 'manual_entry', 'refund') where ref = 'AR'", "name who approved them",
        "manual_entry ME: approval_rule AR is not for it"),
    "money lost between customers": (
        "update posting set amount = amount - 1, functional_amount = functional_amount - 1 where debit_account in"
        " (select account_id from account where role = 'customer_clearing')", "what passes between customers", "receipt_identified:X/1"),
    "an invoice below zero that left less": (
        f"update posting set amount = amount - 1, functional_amount = functional_amount - 1 where {_of('invoice.to_balance')}",
        "below zero became the customer's money", "invoice BZ"),
    "a credit of no line that says more": ("update credit_line set amount_minor = amount_minor + 1", "every credit of no line", "CN"),
    "money that nobody brought": (
        "update money_use set amount_minor = amount_minor + 1 where invoice_id = 0 and amount_minor > 0", "whose money lies on the customer's balance",
        "globex with us"),
    "money that nobody put there": (
        "update money_use set amount_minor = amount_minor + 1 where invoice_id <> 0", "whose money lies on invoices", "invoice I of globex"),
    "less money than none": (
        "update money_use set amount_minor = -amount_minor where invoice_id <> 0", "no money lies anywhere below zero", "payment P of globex"),
    "money of what stands beside a document": (
        "update document set type = 'beside' where ref = 'P'", "every piece of money is of the document", "money of globex: beside P"),
    "a tax nobody charged": ("update line_tax set tax_minor = tax_minor + 1", "tax payable and the taxable base", "tax:VAT"),
}  # fmt: skip

# Broken by a test of their own, or by those of what is sealed.
ELSEWHERE = {
    "no refund liability falls below zero": "test_verify.py::test_a_refund_liability_below_zero_is_seen",
    "what trial balances are read from": "test_seals.py::test_damage_to_what_is_sealed_is_named",
    "what receivables are aged from": "test_seals.py::test_damage_to_what_is_sealed_is_named",
    "what is sealed is what was sealed": "test_seals.py::test_damage_to_what_is_sealed_is_named",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(cli: Cli, owner: Connection, damage: str) -> None:
    books(cli)
    assert "checks hold" in cli.ok("verify")
    statements, sentence, named = DAMAGE[damage]
    owner.execute(text("set session_replication_role = replica"))
    for statement in statements.split("; ") if "$$" not in statements else [statements]:
        done = owner.execute(text(statement)).rowcount
        assert done >= 1 or not statement.startswith(("update", "delete", "insert")), statement
    owner.commit()
    found = {check.sentence: check.differences for check in verify.verify(owner.engine, held=HELD)}
    seen = [differences for said, differences in found.items() if sentence in said]
    assert len(seen) == 1
    assert any(named in difference for difference in seen[0]), seen


def broken_by() -> dict[str, list[str]]:
    """The tests that break each check, by its sentence."""
    cases = [
        (sentence, f"{module}::{name}[{damage}]")
        for module, name, damages in (
            ("test_verify.py", "test_damage_is_seen_and_named", test_verify.DAMAGE), ("test_damage.py", "test_damage_is_named", DAMAGE),
        )
        for damage, (_, sentence, _) in damages.items()
    ]  # fmt: skip
    found: dict[str, list[str]] = {}
    for check in [*verify.sentences(), *(item.sentence for item in HELD)]:
        found[check] = [test for part, test in cases if part in check]
        found[check] += [test for part, test in ELSEWHERE.items() if part in check]
        if check.startswith("what is sealed"):
            found[check] = [
                f"test_seals.py::test_damage_to_what_is_sealed_is_named[{damage}]" for damage in test_seals.DAMAGE
            ]
    return found


def test_every_invariant_is_broken_by_a_test() -> None:
    found = broken_by()
    assert [sentence for sentence, tests in found.items() if not tests] == []
    assert sum(map(len, found.values())) >= 50
