"""Wallets: the grants and meters a transaction works with, grants taken in, and their expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import text

from ledger import documents
from ledger.books import Books, Movement, Source
from ledger.errors import UnknownReference
from ledger.grants import Funding, Grant, draw_order, grant_subject
from ledger.money import to_minor
from ledger.rulebook import RULES


@dataclass(slots=True)
class Meter:
    """Usage of one product rated so far, exactly, and how much of it is posted."""

    rated: Decimal
    posted: int
    changed: bool = False


# The rules by which a grant is billed, and by which what was billed for it is taken back.
FUNDING_RULES = (
    "invoice.prepaid", "invoice.prepaid_drawn", "credit.credits", "credit.credits_to_balance", "credit.unbilled",
    "credit.unbilled_to_balance", "refund.credits", "dispute.credits", "write_off.credits", "manual",
)  # fmt: skip


class Wallets:
    """The grants and meters one transaction works with; `flush` writes what changed of them."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._grants: dict[int, list[Grant]] = {}
        self._changed: dict[int, Grant] = {}
        self._meters: dict[tuple[int, str, str, str], Meter] = {}

    def grants(self, customer_id: int) -> list[Grant]:
        """A customer's grants in drawing order."""
        known = self._grants.get(customer_id)
        if known is None:
            known = self._grants[customer_id] = self._load(customer_id)
        return known

    def grant(self, customer_id: int, ref: str) -> Grant:
        """One of a customer's grants. Raises UnknownReference."""
        for grant in self.grants(customer_id):
            if grant.ref == ref:
                return grant
        raise UnknownReference("grant", ref, "expected the id of a grant of this customer posted before")

    def _load(self, customer_id: int) -> list[Grant]:
        rows = self.books.connection.execute(
            text(
                "select g.customer_id, g.grant_id, g.ref, g.entity, g.currency, g.kind, g.face_minor, g.price_minor,"
                " g.effective_on, g.expires_on, g.products, g.priority, g.expected_breakage,"
                " b.drawn_face_minor, b.expired_face_minor, b.drawn_minor, b.broken_minor "
                "from credit_grant g join grant_balance b using (customer_id, grant_id) "
                "where g.customer_id = :customer_id"
            ),
            {"customer_id": customer_id},
        ).all()
        fundings: dict[str, list[Funding]] = {}
        if rows:
            funding_rows = self.books.connection.execute(
                text(
                    # by way of the documents that bill, not of the grant's accounts, which hold every draw
                    "select a.subject, p.effective_on,"
                    " case when p.credit_account = a.account_id then p.amount else -p.amount end "
                    "from (select invoice_id as document_id from invoice_line"
                    "      where customer_id = :customer_id and subject like :grants"
                    "      union select document_id from line_change"
                    "      where customer_id = :customer_id and subject like :grants"
                    "      union select document_id from document"
                    "      where customer_id = :customer_id and type = 'manual_entry') billing "
                    "join entry e on e.customer_id = :customer_id and e.document_id = billing.document_id "
                    "join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id "
                    "join account a on a.customer_id = p.customer_id"
                    " and a.account_id in (p.credit_account, p.debit_account) "
                    "where p.rule = any(:rules) and a.subject like :grants"
                ),
                {
                    "customer_id": customer_id,
                    "grants": "grant:%",
                    "rules": [RULES[code].number for code in FUNDING_RULES],
                },
            )
            for subject, day, amount in funding_rows:
                fundings.setdefault(subject, []).append((day, amount))
        grants = [
            Grant(
                *(
                    *row[:10],
                    frozenset(row.products) if row.products else None,
                    row.priority,
                    Fraction(row.expected_breakage),
                    *row[13:],
                    fundings.get(grant_subject(row.ref), []),
                )
            )
            for row in rows
        ]  # fmt: skip
        return sorted(grants, key=draw_order)

    def add(self, grant: Grant) -> None:
        """A grant that was just posted."""
        grants = self.grants(grant.customer_id)
        grants.append(grant)
        grants.sort(key=draw_order)
        self._changed[grant.grant_id] = grant

    def touch(self, grant: Grant) -> None:
        """Say that a grant's balance changed."""
        self._changed[grant.grant_id] = grant

    def meter(self, customer_id: int, entity: str, product: str, currency: str) -> Meter:
        """The running total of a customer's usage of a product."""
        key = (customer_id, entity, product, currency)
        known = self._meters.get(key)
        if known is None:
            row = self.books.connection.execute(
                text(
                    "select rated, posted_minor from usage_meter where customer_id = :customer_id "
                    "and entity = :entity and product = :product and currency = :currency"
                ),
                {"customer_id": customer_id, "entity": entity, "product": product, "currency": currency},
            ).first()
            known = self._meters[key] = Meter(row.rated, row.posted_minor) if row else Meter(Decimal(0), 0)
        return known

    def flush(self) -> None:
        """Write changed balances and meters. The database refuses a grant drawn beyond its face value."""
        connection = self.books.connection
        if self._changed:
            connection.execute(
                text(
                    "insert into grant_balance (customer_id, grant_id, face_minor, drawn_face_minor,"
                    " expired_face_minor, drawn_minor, broken_minor) values (:customer_id, :grant_id, :face,"
                    " :drawn_face, :expired_face, :drawn, :broken) on conflict (customer_id, grant_id) do update set"
                    " drawn_face_minor = excluded.drawn_face_minor, expired_face_minor = excluded.expired_face_minor,"
                    " drawn_minor = excluded.drawn_minor, broken_minor = excluded.broken_minor"
                ),
                [
                    {
                        "customer_id": g.customer_id, "grant_id": g.grant_id, "face": g.face,
                        "drawn_face": g.drawn_face, "expired_face": g.expired_face, "drawn": g.drawn,
                        "broken": g.broken,
                    }
                    for g in self._changed.values()
                ],
            )  # fmt: skip
            self._changed = {}
        meters = [(key, meter) for key, meter in self._meters.items() if meter.changed]
        if meters:
            connection.execute(
                text(
                    "insert into usage_meter (customer_id, entity, product, currency, rated, posted_minor) "
                    "values (:customer_id, :entity, :product, :currency, :rated, :posted) "
                    "on conflict (customer_id, entity, product, currency) do update "
                    "set rated = excluded.rated, posted_minor = excluded.posted_minor"
                ),
                [
                    {
                        "customer_id": key[0], "entity": key[1], "product": key[2], "currency": key[3],
                        "rated": meter.rated, "posted": meter.posted,
                    }
                    for key, meter in meters
                ],
            )  # fmt: skip
            for _, meter in meters:
                meter.changed = False

    def forget(self) -> None:
        """Let go of what was learnt, to bound memory in a long run; call after `flush`."""
        self._grants = {}
        self._meters = {}


def post_grant(wallets: Wallets, doc: documents.Grant, document_id: int) -> int:
    """Take a grant in. Prepaid money is posted by its invoice; credits not paid at face value go to memorandum."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.effective_on)
    for product in doc.products or ():
        books.require_product(product, "products")
    face = to_minor(doc.amount, doc.currency)
    asked = face if doc.price is None else to_minor(doc.price, doc.currency, "price")
    price = asked if doc.kind == "prepaid" else 0
    customer_id = source.customer.customer_id
    grant = Grant(
        customer_id, document_id, doc.id, doc.entity, doc.currency, doc.kind, face, price, doc.effective_on,
        doc.expires_on, frozenset(doc.products) if doc.products else None, doc.priority,
        Fraction(doc.expected_breakage or 0),
    )  # fmt: skip
    wallets.add(grant)
    books.add_row(
        "credit_grant",
        customer_id=customer_id,
        grant_id=document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        kind=doc.kind,
        face_minor=face,
        price_minor=price,
        effective_on=doc.effective_on,
        expires_on=doc.expires_on,
        products=doc.products,
        priority=doc.priority,
        expected_breakage=doc.expected_breakage or 0,
    )
    if grant.kept_in_memorandum:
        books.post(source, doc.effective_on, [Movement("grant.issued", face, grant.subject, grant.subject)])
    return customer_id


def expire(wallets: Wallets, document_id: int, through: date) -> int:
    """Post the expiry of every grant whose last day is up to `through`; returns how many posted anything.

    What is left of the credits goes; money billed for them and not earned becomes breakage revenue (the remote
    method, ASC 606-10-55-48), dated on the last day, or on the invoice's where that came later.
    """
    due = wallets.books.connection.execute(
        text(
            "select distinct c.ref from credit_grant g join grant_balance b using (customer_id, grant_id) "
            "join customer c using (customer_id) where g.expires_on <= :through "
            "and (b.drawn_face_minor + b.expired_face_minor < b.face_minor or g.kind = 'prepaid') order by c.ref"
        ),
        {"through": through},
    )
    expired = 0
    for ref in list(due.scalars()):
        customer = wallets.books.customer(ref)
        for grant in wallets.grants(customer.customer_id):
            if grant.expires_on is not None and grant.expires_on <= through:
                source = Source(document_id, customer, grant.entity, grant.currency)
                expired += _expire_grant(wallets, source, grant, grant.expires_on, through)
    return expired


def _expire_grant(wallets: Wallets, source: Source, grant: Grant, expires_on: date, through: date) -> bool:
    """Expire what is left; what is billed of a grant after it expired breaks on the day it is billed."""
    subject = grant.subject
    face = grant.left
    if face and grant.kept_in_memorandum:
        wallets.books.post(source, expires_on, [Movement("expire.credits", face, subject, subject)])
    grant.expired_face += face
    broken = 0
    later = sorted(day for day, _ in grant.fundings if expires_on < day <= through)
    for day in (expires_on, *later) if grant.kind == "prepaid" else ():
        money = max(grant.funded(day) - grant.drawn - grant.broken, 0)
        wallets.books.post(source, day, [Movement("expire.prepaid", money, subject, subject)])
        grant.broken += money
        broken += money
    if face or broken:
        wallets.touch(grant)
    return bool(face or broken)
