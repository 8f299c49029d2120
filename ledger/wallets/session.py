"""Wallets: the grants and meters a transaction works with.

Grants taken in, and their expiry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.documents.models.wallets import FREE_KINDS
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.wallets.draw_plans import arrange
from ledger.wallets.fundings import FUNDING_RULES, FUNDINGS
from ledger.wallets.grants import KIND_ORDER, Funding, Grant, grant_subject


@dataclass(slots=True)
class Meter:
    """Usage of one product rated so far, exactly, and how much of it is posted."""

    rated: Decimal
    posted: int
    changed: bool = False


@contextmanager
def all_or_nothing(wallets: Wallets) -> Iterator[None]:
    """Post several things for one document.

    Where one is refused, nothing of any of them is left. What was gathered before is written first.
    """
    books = wallets.books
    begun = books.begun
    if not begun:
        books.flush()
        wallets.flush()
        books.begin()
    books.secure()
    try:
        yield
        invoices = books.remembered_of("invoice")
        books.flush()
        wallets.flush()
    except Refused:
        if not begun:
            books.undo()
            wallets.undo()
        raise
    if not begun:
        books.end()
    # an invoice is found by its document, which is written after what it posts
    for ref, fact in invoices.items():
        books.remember("invoice", ref, fact)


# All that changed in one statement each: a row at a time would be most of a batch's round trips.
_WRITE_BALANCES = """
    insert into grant_balance (customer_id, grant_id, face_minor, drawn_face_minor, expired_face_minor, drawn_minor,
                               broken_minor, moved_face_minor, moved_minor, returned_on)
    select * from unnest(cast(:a as bigint[]), cast(:b as bigint[]), cast(:c as bigint[]), cast(:d as bigint[]),
                         cast(:e as bigint[]), cast(:f as bigint[]), cast(:g as bigint[]), cast(:h as bigint[]),
                         cast(:i as bigint[]), cast(:j as date[]))
    on conflict (customer_id, grant_id) do update
    set drawn_face_minor = excluded.drawn_face_minor, expired_face_minor = excluded.expired_face_minor,
        drawn_minor = excluded.drawn_minor, broken_minor = excluded.broken_minor,
        moved_face_minor = excluded.moved_face_minor, moved_minor = excluded.moved_minor,
        returned_on = excluded.returned_on"""
_WRITE_METERS = """
    insert into usage_meter (customer_id, entity, product, currency, rated, posted_minor)
    select * from unnest(cast(:a as bigint[]), cast(:b as text[]), cast(:c as text[]), cast(:d as text[]),
                         cast(:e as numeric[]), cast(:f as bigint[]))
    on conflict (customer_id, entity, product, currency) do update
    set rated = excluded.rated, posted_minor = excluded.posted_minor"""


class Wallets:
    """The grants and meters one transaction works with; `flush` writes what changed of them."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._grants: dict[int, list[Grant]] = {}
        self._changed: dict[int, Grant] = {}
        self._orders: dict[int, dict[str, list[str]]] = {}
        # whose balances were written since somebody asked
        self.changed_customers: set[int] = set()
        self._meters: dict[tuple[int, str, str, str], Meter] = {}
        self._usage_taken: dict[int, set[tuple[str, str, str]]] = {}
        # usage whose credits went with their bill, to be drawn again once that is posted
        self.freed: list[tuple[Source, Any]] = []
        # grants, with their orders, that had expired and were put back for a document of an earlier day; and through which day
        self.unexpired: dict[int, tuple[Source, Grant, date]] = {}
        # grants of which breakage with use of later days than a document's was put back, and from which day it is told anew
        self.late: dict[int, tuple[Source, Grant, date]] = {}
        # of those, what notes of later days had taken of what they earned, put back too
        self.noted: dict[int, list[Any]] = {}

    def usage_taken(self, customer_id: int) -> set[tuple[str, str, str]]:
        """Of what usage something was taken back, or given at a discount.

        By entity, currency and subject. To be added to.
        """
        known = self._usage_taken.get(customer_id)
        if known is None:
            rows = self.books.connection.execute(
                text(
                    "select i.entity, i.currency, x.subject from line_change x join invoice i using (customer_id, invoice_id)"
                    " where x.customer_id = :customer_id and x.subject like :usage and x.kind <> 'void' and not x.rebill "
                    "union select i.entity, i.currency, l.subject from invoice_line l join invoice i"
                    " using (customer_id, invoice_id) where l.customer_id = :customer_id and l.subject like :usage"
                    " and l.discount_minor > 0"
                ),
                {"customer_id": customer_id, "usage": "usage:%"},
            )
            known = self._usage_taken[customer_id] = {(row.entity, row.currency, row.subject) for row in rows}
        return known

    def learn(self, customers: Iterable[int]) -> None:
        """Read the grants and meters of customers, many at once.

        Those that are known stay as they are.
        """
        missing = sorted({customer_id for customer_id in customers if customer_id not in self._grants})
        if not missing:
            return
        self.books.learn_accounts(missing)
        connection, of = self.books.connection, {"customers": missing}
        self._orders |= {customer_id: {} for customer_id in missing}
        orders = connection.execute(
            text("select customer_id, contract, kinds from draw_order where customer_id = any(:customers)"), of
        )
        for order in orders:
            self._orders[order.customer_id][order.contract] = order.kinds
        meters = connection.execute(
            text(
                "select customer_id, entity, product, currency, rated, posted_minor from usage_meter "
                "where customer_id = any(:customers)"
            ),
            of,
        )
        for row in meters:
            self._meters.setdefault(tuple(row[:4]), Meter(row.rated, row.posted_minor))
        for customer_id, grants in self._load(missing).items():
            self._grants[customer_id] = arrange(grants, self._orders[customer_id])

    def grants(self, customer_id: int) -> list[Grant]:
        """A customer's grants in drawing order."""
        if customer_id not in self._grants:
            self.learn([customer_id])
        return self._grants[customer_id]

    def grant(self, customer_id: int, ref: str) -> Grant:
        """One of a customer's grants. Raises UnknownReference."""
        for grant in self.grants(customer_id):
            if grant.ref == ref:
                return grant
        raise UnknownReference("grant", ref, "expected the id of a grant of this customer posted before")

    def _load(self, customers: Sequence[int]) -> dict[int, list[Grant]]:
        """The grants of customers, with their balances and what was billed for them."""
        rows = self.books.connection.execute(
            text(
                "select g.customer_id, g.grant_id, g.ref, g.entity, g.currency, g.kind, g.face_minor, g.price_minor,"
                " g.effective_on, g.expires_on, g.products, g.priority, g.expected_breakage, g.contract, g.carried_from,"
                " b.drawn_face_minor, b.expired_face_minor, b.drawn_minor, b.broken_minor, b.moved_face_minor,"
                " b.moved_minor, b.returned_on, g.expected_breakage as expected_first,"
                " coalesce((select e.expected_breakage from breakage_estimate e where e.customer_id = g.customer_id"
                "  and e.grant_id = g.grant_id order by e.effective_on desc, e.document_id desc limit 1),"
                "  g.expected_breakage) as expected_now, (select max(e.effective_on) from breakage_estimate e"
                "  where e.customer_id = g.customer_id and e.grant_id = g.grant_id) as estimated_on, coalesce(v.face, 0)::bigint as voided_face,"
                " coalesce(v.amount, 0)::bigint as voided "
                "from credit_grant g join grant_balance b using (customer_id, grant_id) "
                "left join (select customer_id, grant_id, sum(face_minor) as face, sum(amount_minor) as amount from grant_move"
                "  where customer_id = any(:customers) and kind in ('void', 'billed_again') group by 1, 2) v"
                " using (customer_id, grant_id) "
                "where g.customer_id = any(:customers)"
            ),
            {"customers": list(customers)},
        ).all()
        fundings = self._fundings({row.customer_id for row in rows}) if rows else {}
        found: dict[int, list[Grant]] = {customer_id: [] for customer_id in customers}
        for row in rows:
            found[row.customer_id].append(
                Grant(
                    *(
                        *row[:10],
                        frozenset(row.products) if row.products else None,
                        row.priority,
                        Fraction(row.expected_now),
                        *row[13:22],
                        fundings.get((row.customer_id, grant_subject(row.ref)), []),
                        row.expected_first > 0,
                        row.voided_face,
                        row.voided,
                        row.estimated_on,
                    )
                )
            )
        return found

    def _fundings(self, customers: Collection[int]) -> dict[tuple[int, str], list[Funding]]:
        """What was billed for the grants of customers, by customer and subject."""
        rows = self.books.connection.execute(
            text(FUNDINGS),
            {
                "customers": sorted(customers),
                "grants": "grant:%",
                "free_kinds": list(FREE_KINDS),
                "rules": [RULES[code].number for code in FUNDING_RULES],
            },
        )
        found: dict[tuple[int, str], list[Funding]] = {}
        for customer_id, subject, *funding in rows:
            found.setdefault((customer_id, subject), []).append(Funding(*funding))
        return found

    def set_draw_order(self, customer_id: int, contract: str, kinds: Sequence[str]) -> None:
        """Keep a contract's own order of its grants.

        Kinds it leaves out come after, in the default order.
        """
        self.learn([customer_id])
        kinds = [*kinds, *(kind for kind in KIND_ORDER if kind not in kinds)]
        self.books.add_row("draw_order", customer_id=customer_id, contract=contract, kinds=kinds)
        self._orders[customer_id][contract] = kinds
        self._grants[customer_id] = arrange(self._grants[customer_id], self._orders[customer_id])

    def add(self, grant: Grant) -> None:
        """A grant that was just posted."""
        grants = [*self.grants(grant.customer_id), grant]
        self._grants[grant.customer_id] = arrange(grants, self._orders[grant.customer_id])
        self._changed[grant.grant_id] = grant

    def touch(self, grant: Grant) -> None:
        """Say that a grant's balance changed."""
        self._changed[grant.grant_id] = grant

    def meter(self, customer_id: int, entity: str, product: str, currency: str) -> Meter:
        """The running total of a customer's usage of a product."""
        self.learn([customer_id])
        key = (customer_id, entity, product, currency)
        known = self._meters.get(key)
        if known is None:
            known = self._meters[key] = Meter(Decimal(0), 0)
        return known

    def flush(self) -> None:
        """Write changed balances and meters. The database refuses a grant drawn beyond its face value."""
        connection = self.books.connection
        meters = [(*key, meter.rated, meter.posted) for key, meter in self._meters.items() if meter.changed]
        if self._changed or meters:
            self.books.secure()
        if self._changed:
            balances = [
                (
                    g.customer_id,
                    g.grant_id,
                    g.face,
                    g.drawn_face,
                    g.expired_face,
                    g.drawn,
                    g.broken,
                    g.moved_face,
                    g.moved,
                    g.returned_on,
                )
                for g in self._changed.values()
            ]
            connection.execute(
                text(_WRITE_BALANCES), dict(zip("abcdefghij", map(list, zip(*balances, strict=True)), strict=True))
            )
            self.changed_customers.update(grant.customer_id for grant in self._changed.values())
            self._changed = {}
        if meters:
            connection.execute(
                text(_WRITE_METERS), dict(zip("abcdef", map(list, zip(*meters, strict=True)), strict=True))
            )
            for meter in self._meters.values():
                meter.changed = False

    @property
    def changed(self) -> bool:
        """Whether balances or meters are not written yet."""
        return bool(self._changed) or any(meter.changed for meter in self._meters.values())

    def undo(self) -> None:
        """Drop what changed since the last flush, of a document that is refused after all."""
        self._changed = {}
        self.forget()

    def forget(self) -> None:
        """Let go of what was learnt, to bound memory in a long run; call after `flush`."""
        self._grants = {}
        self._meters = {}
        self._orders = {}
        self._usage_taken = {}
        self.unexpired = {}
        self.late = {}
        self.noted = {}


def record_move(
    wallets: Wallets, source: Source, grant: Grant, kind: str, on: date, face: int, money: int = 0, line: str = ""
) -> None:
    """Gather that credits left a grant otherwise than by use or expiry.

    With their price; below 0 that they came back.
    """
    wallets.books.add_row(
        "grant_move",
        customer_id=grant.customer_id,
        document_id=source.document_id,
        grant_id=grant.grant_id,
        kind=kind,
        effective_on=on,
        face_minor=face,
        amount_minor=money,
        line=line,
    )
