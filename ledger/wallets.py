"""Wallets: grants of credits, what usage draws from them in which order, overage, and expiry.

The credits a grant is worth (`face`) and the money paid for them (`price`) may differ: a draw moves money by the
grant's paid rate, cumulatively rounded, so that a used-up grant has earned its price to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sqlalchemy import text

from ledger import documents
from ledger.books import AccountKey, Books, Movement, Source, balance
from ledger.errors import OverApplication, Overdrawn, Refused, UnknownReference
from ledger.money import exact_product, round_minor, share, to_minor, to_text, within_limit

_KIND_ORDER = {"promotional": 0, "pilot": 1, "prepaid": 2, "commitment": 3}
_NEVER = date.max
_LAST = 2**31

Funding = tuple[date, int]


@dataclass(slots=True)
class Grant:
    """A grant's terms and how much of it is used. `fundings` are the amounts billed for it, by day."""

    customer_id: int
    grant_id: int
    ref: str
    entity: str
    currency: str
    kind: str
    face: int
    price: int
    effective_on: date
    expires_on: date | None
    products: frozenset[str] | None
    priority: int | None
    drawn_face: int = 0
    expired_face: int = 0
    drawn: int = 0
    broken: int = 0
    fundings: list[Funding] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """How its sub-ledger accounts name it."""
        return grant_subject(self.ref)

    @property
    def left(self) -> int:
        """Credits that can still be drawn, in minor units of face value."""
        return self.face - self.drawn_face - self.expired_face

    @property
    def kept_in_memorandum(self) -> bool:
        """Whether its credits stand in the memorandum accounts, the money not showing how many are left."""
        return self.kind == "promotional" or self.price != self.face

    def covers(self, product: str, on: date) -> bool:
        """Whether usage of a product on a day may draw on it: by its own terms, whatever is left of it."""
        return (
            self.effective_on <= on
            and (self.expires_on is None or on <= self.expires_on)
            and (self.products is None or product in self.products)
        )

    def funded(self, through: date = _NEVER) -> int:
        """Money billed for it by invoices dated up to a day."""
        return sum(amount for day, amount in self.fundings if day <= through)


def grant_subject(ref: str) -> str:
    """The subject of a grant's accounts."""
    return f"grant:{ref}"


def usage_subject(product: str) -> str:
    """The subject of a product's usage that no grant covered."""
    return f"usage:{product}"


def draw_order(grant: Grant) -> tuple[int, date, int, date, str]:
    """Sorts grants as usage draws on them: priority, soonest expiry, kind, first effective, id."""
    return (
        _LAST if grant.priority is None else grant.priority,
        grant.expires_on or _NEVER,
        _KIND_ORDER[grant.kind],
        grant.effective_on,
        grant.ref,
    )


@dataclass(frozen=True, slots=True)
class Draw:
    """What one grant gives to one usage: credits (`face`) and the money they earn."""

    grant: Grant
    face: int
    money: int


def plan_draws(grants: Iterable[Grant], product: str, on: date, amount: int) -> tuple[list[Draw], int]:
    """Which grants give how much to usage of a product on a day, and what no grant covers.

    `grants` come in drawing order. Late usage may draw on credits that expired since: they were valid then.
    """
    draws = []
    for grant in grants:
        if amount == 0:
            break
        face = min(amount, grant.left + grant.expired_face)
        if face == 0 or not grant.covers(product, on):
            continue
        money = share(grant.price, grant.drawn_face + face, grant.face) - grant.drawn
        draws.append(Draw(grant, face, money))
        amount -= face
    return draws, amount


def unbroken(grant: Grant, money: int) -> int:
    """How much of the breakage posted for a grant a late draw of so much money shows to be wrong."""
    covered = min(money, max(grant.funded() - grant.drawn, 0))
    left = max(grant.funded() - grant.drawn - grant.broken, 0)
    return min(max(covered - left, 0), grant.broken)


def draw_movements(draw: Draw, billed: int, product: str) -> list[Movement]:
    """What a draw moves on the day of the usage; `billed` is how much of its money had been invoiced by then."""
    grant, subject = draw.grant, draw.grant.subject
    memo = [Movement("draw.credits", draw.face, subject, subject)] if grant.kept_in_memorandum else []
    if grant.kind == "promotional":
        return [Movement("draw.promotional", draw.face, subject, subject, product), *memo]
    return [
        Movement("draw.prepaid", billed, subject, subject, product),
        Movement("draw.prepaid_unbilled", draw.money - billed, subject, subject, product),
        *memo,
    ]


@dataclass(slots=True)
class Meter:
    """Usage of one product rated so far, exactly, and how much of it is posted."""

    rated: Decimal
    posted: int
    changed: bool = False


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
                " g.effective_on, g.expires_on, g.products, g.priority,"
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
                    "select a.subject, p.effective_on, p.amount from account a "
                    "join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id "
                    "join rule r on r.number = p.rule "
                    "where a.customer_id = :customer_id and a.subject like 'grant:%' "
                    "and a.role in ('customer_credits', 'unbilled_receivable') "
                    "and r.code in ('invoice.prepaid', 'invoice.prepaid_drawn')"
                ),
                {"customer_id": customer_id},
            )
            for subject, day, amount in funding_rows:
                fundings.setdefault(subject, []).append((day, amount))
        grants = [
            Grant(
                *(
                    *row[:10],
                    frozenset(row.products) if row.products else None,
                    *row[11:],
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
    source = books.source(document_id, doc.customer, doc.entity, doc.currency)
    for product in doc.products or ():
        books.require_product(product, "products")
    face = to_minor(doc.amount, doc.currency)
    asked = face if doc.price is None else to_minor(doc.price, doc.currency, "price")
    price = asked if doc.kind == "prepaid" else 0
    customer_id = source.customer.customer_id
    grant = Grant(
        customer_id, document_id, doc.id, doc.entity, doc.currency, doc.kind, face, price, doc.effective_on,
        doc.expires_on, frozenset(doc.products) if doc.products else None, doc.priority,
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
    )
    if grant.kept_in_memorandum:
        books.post(source, doc.effective_on, [Movement("grant.issued", face, grant.subject, grant.subject)])
    return customer_id


def post_usage(wallets: Wallets, doc: documents.Usage, document_id: int) -> int:
    """Draw usage on the customer's grants; bill later what none covers.

    Fractions of a minor unit add up by customer, product and currency: posted now = round(all rated so far) -
    posted before. Raises Overdrawn where the customer's terms refuse overage.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency)
    books.require_product(doc.product)
    customer = source.customer
    meter = wallets.meter(customer.customer_id, doc.entity, doc.product, doc.currency)
    rated = meter.rated + exact_product(doc.quantity, doc.unit_price)
    amount = within_limit(round_minor(rated, doc.currency) - meter.posted, doc.currency, "quantity")
    grants = [
        grant
        for grant in wallets.grants(customer.customer_id)
        if grant.entity == doc.entity and grant.currency == doc.currency
    ]
    draws, overage = plan_draws(grants, doc.product, doc.date, amount)
    if overage and customer.overage == "refuse":
        raise Overdrawn(
            "quantity",
            doc.quantity,
            f"expected at most {to_text(amount - overage, doc.currency)} {doc.currency} of usage, what is left of the "
            f"credits of {doc.customer} for {doc.product} on {doc.date}; usage comes to "
            f"{to_text(amount, doc.currency)} and the customer's terms refuse overage",
        )
    meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
    _post_draws(wallets, source, doc.date, doc.product, draws, overage)
    return customer.customer_id


def _post_draws(wallets: Wallets, source: Source, on: date, product: str, draws: Sequence[Draw], overage: int) -> None:
    books = wallets.books
    customer_id = source.customer.customer_id
    day = books.open_day(source.entity, on)  # late usage counts from the first open day on
    billed = [_billed_by(books, source, draw, day) for draw in draws]
    movements = [m for draw, part in zip(draws, billed, strict=True) for m in draw_movements(draw, part, product)]
    keys = overage_accounts(source, product)
    billed_ahead = overage > 0 and books.has_account(customer_id, keys[0])
    ahead = 0
    if billed_ahead:
        ahead = min(overage, max(balance(books.history(customer_id, keys[0]), day), 0))
    subject = usage_subject(product)
    movements += [
        Movement("usage.billed_ahead", ahead, subject, subject, product),
        Movement("usage.overage", overage - ahead, subject, subject, product),
    ]
    books.post(source, on, movements)
    for draw in draws:
        _record_draw(wallets, source, draw, day)
    if billed_ahead:
        books.net(source, keys, NET_USAGE, day)


def _in_order(grant: Grant, money: int, on: date) -> bool:
    """Whether every invoice of a grant is dated by a day and covers so much more money: no date needs a look."""
    return all(day <= on for day, _ in grant.fundings) and grant.funded() - grant.drawn - grant.broken >= money


def _billed_by(books: Books, source: Source, draw: Draw, on: date) -> int:
    """How much of a draw's money had been invoiced, and not yet earned, by the day of the usage."""
    grant = draw.grant
    if grant.kind == "promotional" or not grant.fundings:
        return 0
    if _in_order(grant, draw.money, on):
        return draw.money
    credits_key, _ = grant_accounts(source, grant.ref)
    return min(draw.money, max(balance(books.history(source.customer.customer_id, credits_key), on), 0))


def _record_draw(wallets: Wallets, source: Source, draw: Draw, on: date) -> None:
    """Note a draw on its grant, correct breakage it proves wrong, and settle it against other days' invoices."""
    grant = draw.grant
    returned = max(draw.face - grant.left, 0)
    ordered = grant.kind == "promotional" or not grant.fundings or _in_order(grant, draw.money, on)
    if returned:
        assert grant.expires_on is not None, "only credits that expired are returned"
        day = max([grant.expires_on, *(day for day, _ in grant.fundings)])
        money = unbroken(grant, draw.money)
        corrections = [Movement("expire.prepaid_corrected", money, grant.subject, grant.subject)]
        if grant.kept_in_memorandum:
            corrections.append(Movement("expire.credits_corrected", returned, grant.subject, grant.subject))
        wallets.books.post(source, day, corrections)
        grant.expired_face -= returned
        grant.broken -= money
    grant.drawn_face += draw.face
    grant.drawn += draw.money
    wallets.touch(grant)
    if not ordered:
        wallets.books.net(source, grant_accounts(source, grant.ref), NET_GRANT, on)


# The rules by which contract liability and contract asset settle each other, and are put back.
NET_GRANT = ("grant.settled", "grant.unsettled")
NET_USAGE = ("usage.settled", "usage.unsettled")


def grant_accounts(source: Source, ref: str) -> tuple[AccountKey, AccountKey]:
    """A grant's contract liability and contract asset."""
    subject = grant_subject(ref)
    return (
        AccountKey(source.entity, "customer_credits", source.currency, subject),
        AccountKey(source.entity, "unbilled_receivable", source.currency, subject),
    )


def overage_accounts(source: Source, product: str) -> tuple[AccountKey, AccountKey]:
    """The contract liability and contract asset of a product's usage beyond all grants."""
    subject = usage_subject(product)
    return (
        AccountKey(source.entity, "deferred_revenue", source.currency, subject),
        AccountKey(source.entity, "unbilled_receivable", source.currency, subject),
    )


def bill_usage(
    books: Books, source: Source, product: str, on: date, amount: int, before: int, invoice: str
) -> list[Movement]:
    """What a usage line of an invoice moves: out of the contract asset up to its balance, the rest is billed ahead.

    `before` is what earlier lines of the same invoice billed of the product.
    """
    _, unbilled_key = overage_accounts(source, product)
    unbilled = balance(books.history(source.customer.customer_id, unbilled_key), on)
    reported = min(amount, max(unbilled - before, 0))
    return [
        Movement("invoice.usage", reported, invoice, usage_subject(product)),
        Movement("invoice.usage_ahead", amount - reported, invoice, usage_subject(product)),
    ]


def bill_grant(
    books: Books, source: Source, grant: Grant, on: date, amount: int, before: int, invoice: str
) -> list[Movement]:
    """What a prepaid line of an invoice moves: what was drawn before it is settled, the rest becomes credits.

    `before` is what earlier lines of the same invoice billed of the grant. Raises OverApplication where more would be
    billed than the grant's price.
    """
    if grant.kind != "prepaid":
        raise Refused("grant", grant.ref, f"expected a prepaid grant, found a {grant.kind} one")
    to_bill = grant.price - grant.funded() - before
    if amount > to_bill:
        raise OverApplication(
            "amount",
            f"{to_text(amount, grant.currency)} {grant.currency}",
            f"expected at most {to_text(to_bill, grant.currency)}, what is not yet billed of the price of grant "
            f"{grant.ref}",
        )
    drawn_before = 0
    if grant.drawn:
        _, unbilled_key = grant_accounts(source, grant.ref)
        unbilled = balance(books.history(source.customer.customer_id, unbilled_key), on)
        drawn_before = min(amount, max(unbilled - before, 0))
    return [
        Movement("invoice.prepaid_drawn", drawn_before, invoice, grant.subject),
        Movement("invoice.prepaid", amount - drawn_before, invoice, grant.subject),
    ]


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
    face = grant.left
    money = max(grant.funded(through) - grant.drawn - grant.broken, 0) if grant.kind == "prepaid" else 0
    if face == 0 and money == 0:
        return False
    day = max([expires_on, *(day for day, _ in grant.fundings if day <= through)])
    movements = [Movement("expire.prepaid", money, grant.subject, grant.subject)]
    if grant.kept_in_memorandum:
        movements.append(Movement("expire.credits", face, grant.subject, grant.subject))
    wallets.books.post(source, day, movements)
    grant.expired_face += face
    grant.broken += money
    wallets.touch(grant)
    return True
