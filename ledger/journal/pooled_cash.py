"""Cash in another currency than its entity's: one account for all customers, held by the house at one average."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE, HOUSE, HOUSE_REF
from ledger.accounts.rulebook import RULES
from ledger.amounts.dates import days
from ledger.documents.parse import content_hash
from ledger.journal.movements import (
    CLAIMED,
    MONEY_ACCOUNT,
    OWED,
    AccountKey,
    Came,
    LetGo,
    Movement,
    Source,
    Undoing,
)
from ledger.journal.valued import Valued

# What is charged beside money that goes: it is undone by itself.
_FEES = [RULES[code].number for code in ("payment.fee", "fee.charged")]


class Pooled(Valued):
    """Entries of a transaction; what they move of cash in another currency passes to or from the house."""

    def __init__(self, connection: Connection, posted_by: str) -> None:
        super().__init__(connection, posted_by)
        # by a document under way, the number of the one beside it, the entity and the day
        self._besides: dict[int, tuple[int, str, date]] = {}

    def beside(self, source: Source, customer: str, on: date) -> Source:
        """The source of what a document moves of another customer than its own, or of the house.

        Entries are of their document's customer or of the house's documents: so these come from a document beside it, the house's.
        """
        if any(source.document_id == number for number, _, _ in self._besides.values()):
            return replace(source, customer=self.parties.customer(customer))
        known = self._besides.get(source.document_id)
        if known is None:
            known = self._besides[source.document_id] = (self.number("document_number"), source.entity, on)
        return replace(source, document_id=known[0], customer=self.parties.customer(customer))

    def post(self, source: Source, on: date, movements: Sequence[Movement], undoing: Undoing | None = None) -> None:
        """Gather an entry: what a document moves on a day. A closed month moves it into the first open one.

        Cash in an account in another currency than the entity's is one for all customers, held by the house at one average: what a
        customer's entry moves of it passes to or from there, what is undone at what it passed for.
        """
        moved = [movement for movement in movements if movement.amount]
        if not moved:
            return
        pooled = self._pooled(source, moved)
        for key, net in pooled.items():
            if net < 0:
                self._pool(source, on, key, net, None if undoing is None else self._brought(source, moved, key))
        if undoing is not None and pooled:  # the house has what it takes back of an exchange difference
            moved = [replace(item, worth=None) if self.way(source, item).keys[1] in pooled else item for item in moved]
        self._post(source, on, moved)
        for key, net in pooled.items():
            if net > 0:
                self._pool(
                    source, on, key, net, None if undoing is None else self._returned(source, on, key, net, undoing)
                )

    def _brought(self, source: Source, moved: Sequence[Movement], key: AccountKey) -> tuple[int, int]:
        """What cash that goes counts for with the customer, and what the house had it come for: it leaves the house at that."""
        going = [movement for movement in moved if self.way(source, movement).keys[1] == key]
        counted = sum(movement.functional or 0 for movement in going)
        return counted, sum(
            (movement.functional or 0) if movement.worth is None else movement.worth for movement in going
        )

    def brought_cash(self, customer_id: int, document_id: int, subject: str, *, undone: bool) -> Came:
        """What a document brought of cash as it stands in the books, by what it was itself, or as it undid what had gone.

        Of an account that is one for all customers, what the house has of it. Fees beside it are left out.
        """
        self.flush()
        own, pooled = ("not like", "account.undone%") if undone else ("like", "account.pooled%")
        row = self.connection.execute(
            text(
                "select coalesce(sum(case when p.debit_account = a.account_id then p.amount else -p.amount end), 0)::bigint as amount,"
                " coalesce(sum(case when p.debit_account = a.account_id then p.functional_amount else -p.functional_amount end), 0)::bigint"
                " as functional from account a join posting p on p.customer_id = a.customer_id"
                " and a.account_id in (p.debit_account, p.credit_account) and p.rule <> all(:fees)"
                " join rule r on r.number = p.rule and (r.code like :pooled or r.code not like 'account.%' and r.code " + own + " 'recovery.%')"
                " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
                " where a.customer_id in (:customer_id, :house) and a.role = 'cash' and a.subject = :subject and (e.document_id = :document_id"
                "  or e.document_id in (select k.document_id from document d join document_key k on k.type = :beside and k.ref = d.type || ':' || d.ref"
                "   where d.customer_id = :customer_id and d.document_id = :document_id))"
            ),
            {
                "customer_id": customer_id, "house": HOUSE, "document_id": document_id, "subject": subject, "beside": BESIDE,
                "fees": _FEES, "pooled": pooled,
            },
        ).one()  # fmt: skip
        return Came(row.amount, row.functional)

    def _returned(
        self, source: Source, on: date, key: AccountKey, net: int, undoing: Undoing
    ) -> tuple[int, int] | None:
        """What cash that comes back counts for with the customer, and what the house had let it go for; None where it didn't."""
        self.flush()
        beside = self.connection.scalars(
            text(
                "select k.document_id from document d join document_key k on k.type = :beside and k.ref = d.type || ':' || d.ref"
                " where d.document_id = any(:documents)"
            ),
            {"beside": BESIDE, "documents": list(undoing.documents)},
        ).all()
        let_go = self.left_by(HOUSE, key.entity, key.currency, beside).get(key.subject)
        if let_go is None:
            return None
        customer_id = source.customer.customer_id
        account = self.account(customer_id, key)
        day = self._ordering_day(key.entity, customer_id, on, self.days.open_day(source, on))
        held = self._foreign_accounts(customer_id, key.entity, day).left_at(account, day, net)
        return held, let_go.undone(undoing, net)

    def left_by(self, customer_id: int, entity: str, currency: str, documents: Sequence[int]) -> dict[str, LetGo]:
        """What documents let leave accounts of cash, or what is disputed, counted for in another currency than the entity's, by subject.

        Told by the day: as what came in by then makes it, whenever that came. Fees beside it are left out.
        """
        self.flush()
        rows = self.connection.execute(
            text(
                "with left_ as (select a.account_id, a.subject, case when e.effective_on > :first_open then e.effective_on else e.occurred_on end as day,"
                "  e.document_id, sum(p.amount) filter (where p.rule <> all(:fees)) as amount, sum(p.amount) as whole"
                "  from account a join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id"
                "  join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id where a.customer_id = :customer_id"
                "  and a.entity = :entity and a.currency = :currency and a.role in ('cash', 'disputed_funds') and p.amount > 0 group by 1, 2, 3, 4)"
                " select l.account_id, l.subject, l.day, coalesce(l.amount, 0)::bigint as amount, (select coalesce(sum(b.whole), 0)::bigint from left_ b"
                "  where (b.account_id, b.day) = (l.account_id, l.day) and b.document_id < l.document_id) as before"
                " from left_ l where l.document_id = any(:documents) order by l.day, l.document_id"
            ),
            {
                "customer_id": customer_id, "entity": entity, "currency": currency, "documents": list(documents),
                "fees": _FEES, "first_open": self.days.first_of(entity, customer_id),
            },
        ).all()  # fmt: skip
        found: dict[str, LetGo] = {}
        for row in rows:
            accounts = self._foreign_accounts(customer_id, entity, row.day)
            until = accounts.left_at(row.account_id, row.day, row.before + row.amount)
            before = found.get(row.subject, LetGo(0, 0))
            counted = before.functional + until - accounts.left_at(row.account_id, row.day, row.before)
            found[row.subject] = LetGo(before.amount + row.amount, counted)
        return found

    def _pooled(self, source: Source, moved: Sequence[Movement]) -> Counter[AccountKey]:
        """By how much movements of a customer change accounts of money in another currency than the entity's."""
        changed: Counter[AccountKey] = Counter()
        if source.customer.customer_id == HOUSE:
            return changed
        functional_currency = self.parties.entity(source.entity).currency
        for movement in moved:
            for subject, sign in ((movement.debit, 1), (movement.credit, -1)):
                if subject.startswith(MONEY_ACCOUNT):
                    way = self.way(source, movement)
                    key = way.keys[0 if sign > 0 else 1]
                    if key.role == "cash" and way.currency != functional_currency:
                        changed[key] += sign * movement.amount
        return changed

    def _pool(
        self, source: Source, on: date, key: AccountKey, net: int, counted: tuple[int, int] | None = None
    ) -> None:
        """Pass cash that a customer's entry brought (above 0) or needs to or from the house, both sides at one rate.

        Where it is undone, both sides at what is `counted`: with the customer, and what the house holds it at.
        """
        stated = source.rate if key.currency == source.currency else None
        rate = self.rate(key.currency, self.parties.entity(key.entity).currency, on) if stated is None else stated
        house = self.beside(source, HOUSE_REF, on)
        out, in_ = (f"account.{'pooled' if counted is None else 'undone'}_{way}" for way in ("out", "in"))
        sides = ((source, out), (house, in_)) if net > 0 else ((house, out), (source, in_))
        for party, rule in sides:
            subjects = (CLAIMED, key.subject) if rule == out else (key.subject, OWED)
            passed = Movement(rule, abs(net), *subjects, currency=key.currency, rate=rate)
            if counted is not None:
                worth = counted[1] if party is house else None
                passed = replace(passed, rate=None, functional=counted[0], worth=worth)
            self._post(party, on, [passed])

    def add_document(
        self, customer_id: int, document_id: int, type_: str, ref: str, dated_on: date | None, body: str, hash_: bytes
    ) -> None:
        """Gather a document, after all it posts: what it says, as JSON, and the day it counts for, where it has one."""
        day = None if dated_on is None else days(dated_on)
        self.add_received(customer_id, document_id, type_, ref, day, body.encode(), hash_)
        if document_id in self._besides:
            number, entity, on = self._besides.pop(document_id)
            name = f"{type_}:{ref}"
            fields = {"type": BESIDE, "id": name, "entity": entity, "of": name}
            said = json.dumps(fields, ensure_ascii=False)
            self.add_received(HOUSE, number, BESIDE, name, days(on), said.encode(), content_hash(fields))

    def begin(self) -> None:
        """Begin a document that may be refused: `undo` then leaves nothing of it."""
        self._besides = {}
        super().begin()
