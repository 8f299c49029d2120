"""Every cent that came in can go back: whatever was done with money, in the end all of it is refunded, and nothing is left."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from ledger.proof.verify import verify
from revrec.watches import HELD
from tests.histories import text_of
from tests.shelves import Place, Shelf
from tests.test_relations import held_by_histories

Document = dict[str, Any]
END = "2026-12-01"


@pytest.fixture(scope="module")
def shelf(server: str) -> Iterator[Shelf]:
    made = Shelf(server, f"back_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    yield made
    made.end()


class Money:
    """A history of money, each document by chance of those that were taken before: what cannot be is refused, and that is as good."""

    def __init__(self, number: int, place: Place) -> None:
        self.place = place
        self.chance = random.Random(number)  # noqa: S311
        self.day = date(2026, 1, 1)
        self.told: list[Document] = []
        self.ids: dict[str, list[str]] = {}
        self.currencies: dict[str, str] = {}
        self.customers: dict[str, str] = {}

    def tell(self, steps: int) -> None:
        masters: list[Document] = [
            {"type": "entity", "id": "@us", "name": "Acme", "currency": "USD"},
            {"type": "product", "id": "@p", "name": "Plan"},
            {"type": "tax_code", "id": "@vat", "name": "VAT", "rate": "0.10"},
            {"type": "customer", "id": "@a", "name": "A"},
            {"type": "customer", "id": "@b", "name": "B", "parent": "@a"},
        ]
        assert self.place.post(masters) == {}
        self._invoice()
        self._payment()
        for _ in range(steps):
            self.day += timedelta(days=self.chance.choice((0, 1, 3, 9)))
            self.chance.choice(self._KINDS)(self)

    def _add(self, kind: str, **fields: Any) -> str:
        ref = f"@{kind}{len(self.told)}"
        day = self.day - timedelta(days=self.chance.choice((0, 0, 0, 2, 20)))  # some come late
        dated = {} if kind == "invoice" else {"date": max(day, date(2026, 1, 1)).isoformat()}
        self.told.append({"type": kind, "id": ref, **dated, **fields})
        if not self.place.post(self.told[-1:]):
            self.ids.setdefault(kind, []).append(ref)
        return ref

    def _of(self, kind: str) -> str:
        return self.chance.choice(self.ids.get(kind, ["@none"]))

    def _amount(self, least: int = 1, most: int = 3000) -> str:
        return text_of(self.chance.choice((100, 1000, 3333, self.chance.randint(least, most))))

    def _party(self, currency: str | None = None, customer: str | None = None) -> dict[str, str]:
        currency = currency or self.chance.choice(("USD", "USD", "USD", "EUR", "GBP"))
        return {"customer": customer or self.chance.choice(("@a", "@a", "@b")), "entity": "@us", "currency": currency}

    def _invoice(self) -> None:
        party = self._party()
        first = self.day - timedelta(days=self.chance.choice((0, 5)))
        line: Document = {"id": "1", "product": "@p", "amount": text_of(self.chance.randint(10_000, 30_000))}
        line |= self.chance.choice((
            {"kind": "one_time"},
            {"kind": "service", "start": first.isoformat(), "end": (first + timedelta(days=60)).isoformat()},
        ))  # fmt: skip
        if self.chance.random() < 0.4:
            line["tax_codes"] = ["@vat"]
        day = first.isoformat()
        ref = self._add("invoice", **party, issued_on=day, due_on=day, lines=[line])
        self.currencies[ref], self.customers[ref] = party["currency"], party["customer"]

    def _applied(self, currency: str) -> list[Document]:
        bill = self._of("invoice")
        amount = self._amount()
        more = {} if self.currencies[bill] == currency else {"paid": amount}
        return [{"invoice": bill, "amount": amount, **more}]

    def _payment(self) -> None:
        bill = self._of("invoice")
        same = self.chance.random() < 0.7
        party = self._party(self.currencies[bill] if same else None, self.customers[bill] if same else None)
        applied = self._applied(party["currency"]) if self.chance.random() < 0.6 else []
        self._add(
            "payment", **party, rail="wire", amount=text_of(self.chance.randint(5_000, 20_000)), applications=applied
        )

    def _application(self) -> None:
        bill = self._of("invoice")
        more: Document = {"from_invoice": self._of("invoice")} if self.chance.random() < 0.2 else {}
        if self.chance.random() < 0.3:
            more["payment"] = self._of("payment")
        party = self._party(
            self.currencies[bill] if self.chance.random() < 0.8 else None,
            self.chance.choice(("@a", self.customers[bill])),
        )
        if party["currency"] != self.currencies[bill]:
            more["paid"] = self._amount()
        self._add("application", **party, invoice=bill, amount=self._amount(), **more)

    def _unapplication(self) -> None:
        of = {"application": self._of("application")}
        if self.chance.random() < 0.5:
            of = {"payment": self._of("payment"), "invoice": self._of("invoice")}
        more = {"amount": self._amount()} if self.chance.random() < 0.4 else {}
        self._add("unapplication", **of, **more)

    def _note(self) -> None:
        self._add("credit_note", invoice=self._of("invoice"), lines=[{"line": "1", "amount": self._amount()}])

    def _note_void(self) -> None:
        self._add("credit_note_void", credit_note=self._of("credit_note"), reason="wrong")

    def _refund(self) -> None:
        more = {"invoice": self._of("invoice")} if self.chance.random() < 0.4 else {}
        self._add("refund", **self._brought(), amount=self._amount(), **more)

    def _brought(self) -> Document:
        field = self.chance.choice(("payment", "payment", "payment", "payment", "recovery", "receipt"))
        return {field: self._of("receipt_identified" if field == "receipt" else field)}

    def _pay_out(self) -> None:
        self._add("refund", **self._party(), rail="wire", amount=self._amount())

    def _refund_reversal(self) -> None:
        self._add("refund_reversal", refund=self._of("refund"), reason="failed")

    def _dispute(self) -> None:
        status = self.chance.choice(("opened", "opened", "won", "lost", "reinstated"))
        self._add("dispute", **self._brought(), amount=self._amount(), status=status)

    def _reversal(self) -> None:
        self._add("payment_reversal", **self._brought(), reason="R01")

    def _write_off(self) -> None:
        self._add("write_off", invoice=self._of("invoice"), amount=self._amount(), reason="gone", approved_by="ann")

    def _recovery(self) -> None:
        self._add("recovery", write_off=self._of("write_off"), rail="wire", amount=self._amount())

    def _credit(self) -> None:
        party = self._party()
        back = {"takes_back": self._of("customer_credit")} if self.chance.random() < 0.3 else {}
        self._add("customer_credit", **party, amount=self._amount(), reason="goodwill", **back)

    def _note_of_none(self) -> None:
        self._add("credit_note", **self._party(), lines=[{"product": "@p", "amount": self._amount()}])

    def _below_zero(self) -> None:
        party = self._party()
        day = self.day.isoformat()
        line: Document = {"id": "1", "kind": "one_time", "product": "@p", "amount": f"-{self._amount()}"}
        ref = self._add("invoice", **party, issued_on=day, due_on=day, lines=[line])
        self.currencies[ref], self.customers[ref] = party["currency"], party["customer"]

    def _receipt(self) -> None:
        came = {"entity": "@us", "currency": "USD", "rail": "wire"}
        ref = self._add("unidentified_receipt", **came, amount=text_of(self.chance.randint(1_000, 10_000)))
        self._identified(ref)

    def _identified(self, ref: str | None = None) -> None:
        more = {"amount": self._amount()} if self.chance.random() < 0.4 else {}
        party = self._party()["customer"]
        self._add("receipt_identified", receipt=ref or self._of("unidentified_receipt"), customer=party, **more)

    def _returned(self) -> None:
        more = {"amount": self._amount()} if self.chance.random() < 0.6 else {}
        self._add("receipt_returned", receipt=self._of("unidentified_receipt"), reason="nobody's", **more)

    def _manual(self) -> None:
        """Money taken over by hand, or taken off the balance by hand."""
        party = self._party()
        roles = (
            ("opening_balances", "customer_balance")
            if self.chance.random() < 0.7
            else ("customer_balance", "opening_balances")
        )
        line = {"debit": roles[0], "credit": roles[1], "amount": self._amount(), "customer": party["customer"]}
        self._add(
            "manual_entry",
            entity="@us",
            currency=party["currency"],
            reason="taken over",
            approved_by="ann",
            lines=[line],
        )

    _KINDS = (
        _invoice, _payment, _payment, _application, _application, _unapplication, _note, _note, _note_void, _refund, _refund,
        _refund_reversal, _dispute, _dispute, _reversal, _write_off, _recovery, _recovery, _credit, _pay_out, _note_of_none, _below_zero,
        _receipt, _receipt, _identified, _returned, _manual,
    )  # fmt: skip


_LEFT = text(
    "select d.type, d.ref, sum(u.paid_minor)::bigint as amount from money_use u join document d on d.document_id = u.money_id"
    " where d.ref like :prefix || '%' and d.type in ('payment', 'recovery', 'receipt_identified') group by 1, 2 having sum(u.paid_minor) <> 0 order by 2"
)
_DISPUTED = text(
    "select l.subject, sum(case l.side when 'debit' then l.amount else -l.amount end)::bigint as amount from journal_line l"
    " where l.role = 'disputed_funds' and l.entity like :prefix || '%' group by 1 having sum(case l.side when 'debit' then l.amount else -l.amount end) <> 0"
)
_UNIDENTIFIED = text(
    "select l.subject, sum(case l.side when 'credit' then l.amount else -l.amount end)::bigint as amount from journal_line l"
    " where l.role = 'unidentified_receipts' and l.entity like :prefix || '%' group by 1 having sum(case l.side when 'credit' then l.amount else -l.amount end) <> 0"
)
_ON_BALANCE = text(
    "select c.ref, l.currency, sum(case l.side when 'credit' then l.amount else -l.amount end)::bigint as amount from journal_line l"
    " join customer c using (customer_id) where l.role = 'customer_balance' and l.entity like :prefix || '%' group by 1, 2"
    " having sum(case l.side when 'credit' then l.amount else -l.amount end) <> 0"
)
_STANDING = text(
    "select l.role, l.currency, sum(case l.side when 'debit' then l.amount else -l.amount end)::bigint as amount,"
    " sum(case l.side when 'debit' then l.functional_amount else -l.functional_amount end)::bigint as functional from journal_line l"
    " where l.role in ('cash', 'disputed_funds', 'customer_balance', 'unidentified_receipts') and l.entity like :prefix || '%' group by 1, 2"
)
# What was paid out that no money which came in brought, in the currency it went out in; what of that which came in a manual entry took;
# and of what was paid out of a balance in another currency than it came in, both.
_BETWEEN = text(
    "with used as (select u.currency, u.paid_currency, u.amount_minor as amount, u.paid_minor as paid, r.type, r.body::json ->> 'customer' as whose,"
    "  d.type in ('payment', 'recovery', 'receipt_identified') as came from money_use u join document d on d.document_id = u.money_id"
    "  join document r on r.document_id = case when u.undoes <> 0 then u.undoes else u.document_id end where r.ref like :prefix || '%') "
    "select currency, sum(amount)::bigint as amount from ("
    " select currency, amount from used where type = 'refund' and (not came or whose is not null and currency <> paid_currency)"
    " union all select paid_currency, -paid from used where came and (type = 'manual_entry' or type = 'refund' and whose is not null"
    "  and currency <> paid_currency)) x group by 1 having sum(amount) <> 0"
)


def _field(kind: str) -> str:
    return "receipt" if kind == "receipt_identified" else kind


def _rows(place: Place, query: Any) -> Any:
    with place.engine.connect() as connection:
        return connection.execute(query, {"prefix": place.prefix}).all()


def _everything_back(place: Place) -> None:
    """Win what is disputed, refund what is left of all that came in, return what is nobody's, and pay out what is left of balances."""

    def own(ref: str) -> str:
        return ref.replace(place.prefix, "@")

    for number, row in enumerate(_rows(place, _DISPUTED)):
        kind, _, ref = row.subject.partition(":")
        won = {"type": "dispute", "id": f"@won{number}", _field(kind): own(ref), "date": END, "status": "won"}
        assert place.post([{**won, "amount": text_of(row.amount)}]) == {}
    for number, row in enumerate(_rows(place, _UNIDENTIFIED)):
        back = {
            "type": "receipt_returned",
            "id": f"@returned{number}",
            "receipt": own(row.subject.partition(":")[2]),
            "date": END,
        }
        assert place.post([{**back, "reason": "nobody's"}]) == {}
    # a refund of a payment pays out what none brought before what lies on invoices: that is left of it
    for times in range(99):
        left = _rows(place, _LEFT)
        if not left:
            break
        for number, row in enumerate(left):
            refund = {"type": "refund", "id": f"@back{times}.{number}", _field(row.type): own(row.ref), "date": END}
            assert place.post([{**refund, "amount": text_of(row.amount)}]) == {}
    for number, row in enumerate(_rows(place, _ON_BALANCE)):
        whose = {"customer": own(row.ref), "entity": "@us", "currency": row.currency}
        out = {
            "type": "refund",
            "id": f"@out{number}",
            **whose,
            "date": END,
            "rail": "wire",
            "amount": text_of(row.amount),
        }
        assert place.post([out]) == {}


@held_by_histories
def test_every_cent_that_came_in_can_go_back(shelf: Shelf, number: int) -> None:
    """Cash is less by what was given away (goodwill and the like, paid out), and nothing of a customer's is left standing."""
    place = shelf.place()
    Money(number, place).tell(24)
    _everything_back(place)
    between = {("cash", row.currency): row.amount for row in _rows(place, _BETWEEN)}
    standing = {(row.role, row.currency): row for row in _rows(place, _STANDING) if row.amount or row.functional}
    assert {key: row.amount for key, row in standing.items()} == between
    place.recognize()
    failed = [(check.sentence, check.differences) for check in verify(place.engine, held=HELD) if check.differing]
    assert failed == []
