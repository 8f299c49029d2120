"""Every cent that came in can go back: whatever was done with money, in the end all of it is refunded, and nothing is left."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from ledger.verify import verify
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
        of = {"recovery": self._of("recovery")} if self.chance.random() < 0.15 else {"payment": self._of("payment")}
        self._add("refund", **of, amount=self._amount(), **more)

    def _refund_reversal(self) -> None:
        self._add("refund_reversal", refund=self._of("refund"), reason="failed")

    def _dispute(self) -> None:
        status = self.chance.choice(("opened", "opened", "won", "lost", "reinstated"))
        self._add("dispute", payment=self._of("payment"), amount=self._amount(), status=status)

    def _reversal(self) -> None:
        self._add("payment_reversal", payment=self._of("payment"), reason="R01")

    def _write_off(self) -> None:
        self._add("write_off", invoice=self._of("invoice"), amount=self._amount(), reason="gone", approved_by="ann")

    def _recovery(self) -> None:
        self._add("recovery", write_off=self._of("write_off"), rail="wire", amount=self._amount())

    def _credit(self) -> None:
        self._add("customer_credit", **self._party(), amount=self._amount(), reason="goodwill")

    _KINDS = (
        _invoice, _payment, _payment, _application, _application, _unapplication, _note, _note, _note_void, _refund, _refund,
        _refund_reversal, _dispute, _dispute, _reversal, _write_off, _recovery, _credit,
    )  # fmt: skip


_LEFT = text(
    "select d.type, d.ref, sum(u.paid_minor)::bigint as amount from money_use u join document d on d.document_id = u.money_id"
    " where d.ref like :prefix || '%' and d.type in ('payment', 'recovery') group by 1, 2 having sum(u.paid_minor) <> 0 order by 2"
)
_DISPUTED = text(
    "select l.subject, sum(case l.side when 'debit' then l.amount else -l.amount end)::bigint as amount from journal_line l"
    " where l.role = 'disputed_funds' and l.entity like :prefix || '%' group by 1 having sum(case l.side when 'debit' then l.amount else -l.amount end) <> 0"
)
_STANDING = text(
    "select l.role, l.currency, sum(case l.side when 'debit' then l.amount else -l.amount end)::bigint as amount,"
    " sum(case l.side when 'debit' then l.functional_amount else -l.functional_amount end)::bigint as functional from journal_line l"
    " where l.role in ('cash', 'disputed_funds') and l.entity like :prefix || '%' group by 1, 2"
)


def _everything_back(place: Place) -> None:
    """Win what is disputed, and refund what is left of every payment and recovery."""
    with place.engine.connect() as connection:
        disputed = connection.execute(_DISPUTED, {"prefix": place.prefix}).all()
    won = [
        {"type": "dispute", "id": f"@won{number}", "payment": row.subject.partition(":")[2].replace(place.prefix, "@"), "date": END,
         "amount": text_of(row.amount), "status": "won"}
        for number, row in enumerate(disputed)
    ]  # fmt: skip
    assert place.post(won) == {}
    with place.engine.connect() as connection:
        left = connection.execute(_LEFT, {"prefix": place.prefix}).all()
    refunds = [
        {
            "type": "refund",
            "id": f"@back{number}",
            row.type: row.ref.replace(place.prefix, "@"),
            "date": END,
            "amount": text_of(row.amount),
        }
        for number, row in enumerate(left)
    ]
    assert place.post(refunds) == {}


@held_by_histories
def test_every_cent_that_came_in_can_go_back(shelf: Shelf, number: int) -> None:
    place = shelf.place()
    Money(number, place).tell(20)
    _everything_back(place)
    with place.engine.connect() as connection:
        standing = connection.execute(_STANDING, {"prefix": place.prefix}).all()
    assert [tuple(row) for row in standing if row.amount or row.functional] == []
    place.recognize()
    failed = [(check.sentence, check.differences) for check in verify(place.engine) if check.differing]
    assert failed == []
