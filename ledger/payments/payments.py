"""Payments: money taken in, put onto invoices at once or later, moved between them, in any currency."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import share, to_minor, to_text
from ledger.cash import uses
from ledger.cash.fees import require_part_of
from ledger.cash.money_accounts import cash_of
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import InvalidDocument, OverApplication, Refused, UnknownReference, WrongParty
from ledger.invoices.forms import CUSTOMER, Receivable, invoice_subject
from ledger.journal import currencies
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.currencies import clearing_subject
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.parties.parties import is_paid_for_by
from ledger.payments.between_customers import pass_back, pass_on
from ledger.payments.withholding import withheld
from ledger.wallets.session import Wallets


def find_invoice(
    books: Books, source: Source, ref: str, field: str = "invoice", paid_on: date | None = None
) -> Receivable:
    """An invoice of the source's customer and entity, or one that the customer may pay on a day. Raises where it is not known or not theirs."""
    found: Receivable | None = books.recall("invoice", ref)
    if found is None:
        row = books.connection.execute(
            text(
                "select c.ref as customer, i.ref, i.entity, i.currency, coalesce(i.recorded_on, i.issued_on)"
                " as recorded_on, i.invoice_id, i.rate "
                "from document_key k "
                "join invoice i on i.customer_id = k.customer_id and i.invoice_id = k.document_id "
                "join customer c on c.customer_id = i.customer_id where k.type = 'invoice' and k.ref = :ref"
            ),
            {"ref": ref},
        ).first()
        if row is None:
            raise UnknownReference(field, ref, "expected the id of an invoice posted before")
        rate = None if row.rate is None else Fraction(row.rate)
        found = Receivable(row.customer, row.ref, row.entity, row.currency, row.recorded_on, row.invoice_id, rate)
    if found.customer != source.customer.ref and (
        paid_on is None or not is_paid_for_by(books, found.customer, source.customer.ref, paid_on)
    ):
        more = (
            ""
            if paid_on is None
            else ", or of a customer that belongs to it: name it as `payer` of a payment of theirs"
        )
        raise WrongParty(field, ref, f"is an invoice of {found.customer}, expected one of {source.customer.ref}{more}")
    if found.entity != source.entity:
        raise WrongParty(field, ref, f"is of entity {found.entity}, expected one of entity {source.entity}")
    return found


@dataclass(frozen=True, slots=True)
class Settlement:
    """Money put onto an invoice: `amount` in the invoice's currency, `paid` in the money's own, from `on`.

    `day` is that or the first open one. What the customer withheld settles it beside the money.
    """

    invoice: Receivable
    on: date
    day: date
    amount: int
    paid: int
    withheld: tuple[Movement, ...] = ()


def _receivable_key(invoice: Receivable) -> AccountKey:
    return AccountKey(invoice.entity, "accounts_receivable", invoice.currency, invoice_subject(invoice.ref))


def due_of(books: Books, customer_id: int, invoice: Receivable, day: date) -> int:
    """What is due of an invoice from a day on."""
    return max(available(books.history(customer_id, _receivable_key(invoice)), day), 0)


def _taken_later(books: Books, customer_id: int, invoice: Receivable, day: date) -> str:
    """Which documents of later days in the books settle a part of an invoice, as words to follow what is due of it."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select d.type, d.ref, min(e.effective_on) as on_day, sum(p.amount)::bigint as amount from account a"
            " join posting p on p.customer_id = a.customer_id and p.credit_account = a.account_id"
            " join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id"
            " join document d on d.customer_id = e.customer_id and d.document_id = e.document_id"
            " where a.customer_id = :customer_id and a.role = 'accounts_receivable' and a.subject = :subject and e.effective_on > :day"
            " group by 1, 2 having sum(p.amount) > 0 order by 3, 2 limit 3"
        ),
        {"customer_id": customer_id, "subject": invoice_subject(invoice.ref), "day": day},
    ).all()
    told = [f"{row.type} {row.ref} takes {to_text(row.amount, invoice.currency)} on {row.on_day}" for row in rows]
    return f", as {', '.join(told)}" if told else ""


def _settlement(
    books: Books, source: Source, item: models.PaymentApplication | models.Application, on: date
) -> Settlement:
    """What putting money onto an invoice settles of it, from the invoice's date on.

    Raises OverApplication beyond what is due.
    """
    invoice = find_invoice(books, source, item.invoice, paid_on=on)
    owner = books.parties.customer(invoice.customer)
    amount = to_minor(item.amount, invoice.currency)
    kept = () if isinstance(item, models.Application) else tuple(withheld(books, item.withheld, invoice))
    settled = amount + sum(part.amount for part in kept)
    on = max(on, invoice.recorded_on)
    day = books.days.open_day(source, on)
    due = due_of(books, owner.customer_id, invoice, day)
    if settled > due:
        raise OverApplication(
            "amount",
            f"{to_text(settled, invoice.currency)} {invoice.currency}",
            f"expected at most {to_text(due, invoice.currency)}, what is due of invoice {invoice.ref} on {day}"
            + _taken_later(books, owner.customer_id, invoice, day),
        )
    if invoice.currency == source.currency:
        if item.paid is not None:
            raise InvalidDocument("paid", item.paid, f"expected none: the invoice and the money are {source.currency}")
        return Settlement(invoice, on, day, amount, amount, kept)
    if item.paid is not None:
        return Settlement(invoice, on, day, amount, to_minor(item.paid, source.currency, "paid"), kept)
    functional = books.parties.entity(source.entity).currency
    if functional == invoice.currency and source.rate is not None:
        # the payment's own rate says what its money is worth
        in_functional = books.at_rate(source, source.currency, on, 10**12)
        paid = round(Fraction(amount * 10**12, in_functional))
    else:
        rate = books.rate(invoice.currency, source.currency, on)
        paid = currencies.convert(amount, invoice.currency, source.currency, rate)
    return Settlement(invoice, on, day, amount, paid, kept)


def settle(books: Books, source: Source, settlement: Settlement, pieces: Sequence[Piece]) -> None:
    """Post a settlement by pieces of money; across currencies it passes the clearing account, and what rates leave over is realised."""
    invoice = settlement.invoice
    to = invoice_subject(invoice.ref)
    if invoice.customer != source.customer.ref:
        theirs = books.beside(source, invoice.customer, settlement.on)
        pieces = pass_on(books, source, theirs, settlement.on, pieces)
        source = theirs
    if invoice.currency == source.currency:
        movements = [Movement("payment.applied", settlement.amount, CUSTOMER, to)]
    else:
        through = clearing_subject(source.currency, invoice.currency)
        movements = [
            Movement("payment.exchanged", settlement.paid, CUSTOMER, through),
            Movement("payment.applied_exchanged", settlement.amount, through, to, currency=invoice.currency),
        ]
    books.post(source, settlement.on, [*movements, *settlement.withheld])
    uses.exchange(books, source, pieces, settlement.on, invoice.invoice_id, invoice.currency, settlement.amount)


def post_payment(wallets: Wallets, doc: models.Payment, document_id: int) -> int:
    """Take money in, and settle the invoices it names; the rest stays the customer's."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, doc.fx_rate)
    if doc.payer is not None:
        _require_payer(books, doc)
    amount = to_minor(doc.amount, doc.currency)
    fee = 0 if doc.fee is None else to_minor(doc.fee, doc.currency, "fee")
    require_part_of(doc.fee, doc.amount, "payment")
    settlements: list[Settlement] = []
    for index, item in enumerate(doc.applications):
        try:
            settlements.append(_settlement(books, source, item, doc.date))
        except Refused as refusal:
            raise refusal.within(f"applications.{index}") from None
    applied = sum(settlement.paid for settlement in settlements)
    if applied > amount:
        raise OverApplication(
            "applications",
            f"{to_text(applied, doc.currency)} {doc.currency}",
            f"expected at most the payment's amount, {to_text(amount, doc.currency)}",
        )
    rail = cash_of(books, doc.entity, doc.currency, doc.account, doc.rail)
    movements = [Movement("payment.received", amount, rail, CUSTOMER), Movement("payment.fee", fee, rail, rail)]
    books.post(source, doc.date, movements)
    piece = uses.bring(books, source, amount, doc.date)
    for settlement in settlements:
        settle(books, source, settlement, [piece.part(settlement.paid)])
    return source.customer.customer_id


def _require_payer(books: Books, doc: models.Payment) -> None:
    if doc.payer == doc.customer:
        raise Refused("payer", doc.payer, "expected another customer than `customer`, or none")
    try:
        books.parties.customer(str(doc.payer))
    except UnknownReference as unknown:
        raise unknown.renamed("payer") from None


def post_application(wallets: Wallets, doc: models.Application, document_id: int) -> int:
    """Put money the customer has unapplied onto an invoice, or move what was applied to another one there.

    Raises OverApplication beyond that money, beyond what was applied, or beyond what is due.
    """
    books = wallets.books
    # money that is there already: what it counts for needs no rate
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date, brings_in=False)
    customer_id = source.customer.customer_id
    settlement = _settlement(books, source, doc, doc.date)
    money_id = None if doc.payment is None else find_payment(books, source, doc.payment).document_id
    of = "" if doc.payment is None else f" of payment {doc.payment}"
    if doc.from_invoice is not None:
        left = find_invoice(books, source, doc.from_invoice, "from_invoice", paid_on=doc.date)
        if left.ref == settlement.invoice.ref:
            raise Refused("from_invoice", doc.from_invoice, "expected another invoice than `invoice`")
        on = max(settlement.on, left.recorded_on)
        theirs = source
        if left.customer != doc.customer:
            theirs = books.beside(source, left.customer, on)
        own = uses.of_customer(books, theirs, left.invoice_id, on, customer_id)
        lying = [piece for piece in own if money_id in (None, piece.money_id)]
        there = [item for item in applied(books, theirs, lying[::-1], on) if item.currency == source.currency]
        day = books.days.open_day(source, on)
        most = sum(item.amount for item in there)
        _require_enough(settlement.paid, most, doc, f"what{of} was applied to invoice {left.ref} by {day}")
        back = unapply(books, theirs, left, _first(there, settlement.paid), on)
        if theirs is not source:
            back = pass_back(books, theirs, source, on, back)
        settle(books, source, replace(settlement, on=on, day=day), back)
        return customer_id
    key = AccountKey(source.entity, "customer_balance", source.currency, CUSTOMER)
    unapplied = max(available(books.history(customer_id, key), settlement.day), 0)
    _require_enough(settlement.paid, unapplied, doc, f"what {doc.customer} has unapplied on {settlement.day}")

    def on_balance(day: date) -> list[Piece]:
        return [piece for piece in uses.on_balance(books, source, day) if money_id in (None, piece.money_id)]

    pieces = uses.standing_first(on_balance, settlement.paid, settlement.on)
    most = sum(piece.amount for piece in pieces)
    _require_enough(settlement.paid, most, doc, f"what{of} {doc.customer} has unapplied on {settlement.day}")
    settle(books, source, settlement, pieces)
    return customer_id


def _first(of: Sequence[Applied], amount: int) -> list[Applied]:
    found = []
    for item in of:
        part = min(item.amount, amount)
        if part > 0:
            found.append(item.part(part))
            amount -= part
    return found


def _require_enough(amount: int, most: int, doc: models.Application, what: str) -> None:
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, doc.currency)} {doc.currency}",
            f"expected at most {to_text(max(most, 0), doc.currency)}, {what}",
        )


@dataclass(frozen=True, slots=True)
class PaymentFound:
    """A payment in the books: its document, whose it is, how much it brought, and what it says."""

    document_id: int
    customer: str
    entity: str
    currency: str
    amount: int
    body: Mapping[str, Any]


# The types of the documents that bring money, by the field that names one; a receipt's cash is of what it came in as.
BRINGING = {"payment": "payment", "recovery": "recovery", "receipt": "receipt_identified"}


def money_subject(field: str, ref: str) -> str:
    """The subject of what is disputed of the money that a document brought."""
    return f"{BRINGING[field]}:{ref}"


def read_payment(books: Books, ref: str, field: str = "payment") -> PaymentFound:
    """A payment, a recovery or an identified receipt by its id. Raises UnknownReference."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.document_id, c.ref as customer, u.entity, u.paid_currency as currency, u.paid_minor as amount,"
            " d.body::jsonb || coalesce(r.body::jsonb - 'date', '{}') as body from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            # a recovery may bring what had been paid back of others, with whomever that lay
            "join money_use u on u.money_id = d.document_id and u.amount_minor > 0 and (u.document_id = d.document_id or k.type = 'recovery') "
            "join customer c on c.customer_id = case k.type when 'recovery' then d.customer_id else u.customer_id end "
            "left join document_key rk on rk.type = 'unidentified_receipt' and rk.ref = d.body::json ->> 'receipt' "
            "left join document r on r.customer_id = rk.customer_id and r.document_id = rk.document_id "
            "where k.type = :type and k.ref = :ref order by u.use_id limit 1"
        ),
        {"type": BRINGING[field], "ref": ref},
    ).first()
    if row is None:
        raise UnknownReference(field, ref, f"expected the id of a {BRINGING[field]} posted before")
    amount = row.amount
    if field == "recovery":
        amount = to_minor(models.decimal_of(row.body["amount"]), row.currency)
    return PaymentFound(row.document_id, row.customer, row.entity, row.currency, amount, row.body)


def find_payment(books: Books, source: Source, ref: str) -> PaymentFound:
    """A payment of the source's customer and entity. Raises UnknownReference, or WrongParty where it is not theirs."""
    found = read_payment(books, ref)
    if found.customer != source.customer.ref:
        raise WrongParty(
            "payment",
            ref,
            f"is a payment of {found.customer}, expected one of {source.customer.ref}, or none: then it is of all that is on its balance",
        )
    if found.entity != source.entity:
        raise WrongParty("payment", ref, f"is of entity {found.entity}, expected one of entity {source.entity}")
    return found


@dataclass(frozen=True, slots=True)
class Applied:
    """Money on an invoice, and what it was on the balance it came from: there it goes back, as what its `origin` left.

    `document_id` is what put it there, 0 where none did.
    """

    piece: Piece
    currency: str
    amount: int
    origin_id: int
    document_id: int = 0

    def part(self, amount: int) -> Applied:
        """So much of it, as it was on the balance."""
        return replace(self, piece=self.piece.part(share(self.piece.amount, amount, self.amount)), amount=amount)

    def on_invoice(self, amount: int) -> Applied:
        """So much of it, as it lies on the invoice."""
        return replace(self, piece=self.piece.part(amount), amount=share(self.amount, amount, self.piece.amount))


def applied(
    books: Books, source: Source, pieces: Sequence[Piece], on: date, first: Collection[int] = ()
) -> list[Applied]:
    """What money on invoices was on the balance that it came from: what was put there last by a day, or by a document, comes first."""
    if not pieces:
        return []
    lying = _put(books, source, [piece.invoice_id for piece in pieces], on)
    found = []
    for piece in pieces:
        left = piece
        last = lying.get((piece.money_id, piece.invoice_id), [])[::-1]
        for item in sorted(last, key=lambda item: item.document_id not in first):
            part = min(item.piece.amount, left.amount)
            if part <= 0 and not (item.piece.amount == 0 and item.piece.paid and left.paid):
                continue
            own = item if part == item.piece.amount else item.on_invoice(part)
            of = replace(piece, amount=part, paid=left.paid if part == left.amount else min(own.piece.paid, left.paid))
            as_paid = own.currency == piece.paid_currency
            found.append(replace(own, piece=of, amount=of.paid if as_paid else own.amount))
            left = replace(left, amount=left.amount - part, paid=left.paid - of.paid)
        if left.amount or left.paid:
            found.append(Applied(left, left.paid_currency, left.paid, 0))
    return found


def _put(books: Books, source: Source, invoices: Sequence[int], on: date) -> _Laid:
    """What lies on invoices by a day as it was put there, by its money: a document takes it off the balance, then puts it there."""
    books.flush()
    rows = books.connection.execute(
        text(
            "select u.* from money_use u where u.customer_id = :customer_id and u.on_day <= :on and exists (select from money_use i"
            "  where i.customer_id = u.customer_id and i.document_id = u.document_id and i.money_id = u.money_id and i.invoice_id = any(:invoices))"
            " order by u.on_day, u.use_id"
        ),
        {"customer_id": source.customer.customer_id, "invoices": list(invoices), "on": on},
    )
    return _laid(rows.all())


# What lies on an invoice of a document's money, what was put there last being the last.
_Laid = dict[tuple[int, int], list[Applied]]


def _laid(rows: Sequence[Any]) -> _Laid:
    """What lies on invoices as it was put there, by rows in their order."""
    found: _Laid = {}
    gone: _Laid = {}
    for place, row in enumerate(rows):
        if row.invoice_id == uses.BALANCE:
            continue
        before = rows[place - 1] if place else None
        after = rows[place + 1] if place + 1 < len(rows) else None
        key = row.money_id, row.invoice_id
        if row.amount_minor < 0 or row.paid_minor < 0:
            to = (after.currency, after.origin_id) if after is not None and _of_one(row, after) else None
            taken = _take_last(found.get(key, []), -row.amount_minor, to)
            if to is None:
                gone.setdefault(key, []).extend(reversed(taken))
            continue
        piece = Piece(
            *key, 0, row.entity, row.currency, row.amount_minor, row.paid_minor, row.paid_currency, row.on_day
        )
        own = found.setdefault(key, [])
        if before is not None and _of_one(row, before):
            own.append(Applied(piece, before.currency, -before.amount_minor, before.origin_id, row.document_id))
            continue
        # what went back, and came back
        again = _take_last(gone.get(key, []), row.amount_minor)
        own.extend(reversed(again))
        rest = piece.part(piece.amount - sum(item.piece.amount for item in again))
        if rest.amount or (piece.paid and not piece.amount):
            own.append(Applied(rest, rest.paid_currency, rest.paid, 0, row.document_id))
    return found


def _of_one(row: Any, other: Any) -> bool:
    """Whether another row is what a row takes from the balance, or puts there."""
    return (
        (row.document_id, row.money_id, uses.BALANCE) == (other.document_id, other.money_id, other.invoice_id)
        and (row.amount_minor > 0 or row.paid_minor > 0) == (other.amount_minor < 0 or other.paid_minor < 0)
    )  # fmt: skip


def _take_last(lying: list[Applied], amount: int, to: tuple[str, int] | None = None) -> list[Applied]:
    """Take an amount off what lies on an invoice, the last first: what goes `to` where it came from before others."""
    taken = []
    last = lying[::-1]
    for item in sorted(last, key=lambda item: (item.currency, item.origin_id) != to):
        part = min(item.piece.amount, amount)
        if part <= 0:
            continue
        place = next(index for index in range(len(lying) - 1, -1, -1) if lying[index] is item)
        own = item if part == item.piece.amount else item.on_invoice(part)
        left = replace(item.piece, amount=item.piece.amount - part, paid=item.piece.paid - own.piece.paid)
        lying[place : place + 1] = [replace(item, piece=left, amount=item.amount - own.amount)] if left.amount else []
        taken.append(own)
        amount -= part
    return taken


def unapply(books: Books, source: Source, invoice: Receivable, of: Sequence[Applied], on: date) -> list[Piece]:
    """Take money off an invoice and put it back onto the customer's balance as it was there; returns it as it lies there.

    What it counts for is what it counted for when it was applied, and its exchange difference is taken back.
    """
    subject = invoice_subject(invoice.ref)
    found = []
    for item in of:
        piece = item.piece
        if item.currency == invoice.currency:
            worth = _money_of(books, source.customer.customer_id, invoice, item)
            movements = [
                Movement(
                    "payment.unapplied", piece.amount, subject, CUSTOMER, currency=invoice.currency, functional=worth
                )
            ]
        else:
            through = clearing_subject(item.currency, invoice.currency, undone=True)
            worth = _exchanged_of(books, source.customer.customer_id, invoice, item)
            movements = [
                Movement("payment.unapplied_exchanged", piece.amount, subject, through, currency=invoice.currency, rate=invoice.rate),
                Movement("payment.put_back", item.amount, through, CUSTOMER, currency=item.currency, functional=worth),
            ]  # fmt: skip
        books.post(source, on, movements)
        uses.add(books, source, piece, on, -1)
        back = replace(
            piece, invoice_id=uses.BALANCE, origin_id=item.origin_id, currency=item.currency, amount=item.amount
        )
        uses.add(books, source, back, on)
        found.append(back)
    return found


def _counted(books: Books, customer_id: int, rule: str, item: Applied, invoice: Receivable) -> tuple[int, int]:
    """(amount, what it counts for) of what a document put onto an invoice by a rule, with what else went so on its day."""
    row = books.connection.execute(
        text(
            "with put as (select p.rule, p.debit_account, p.credit_account, e.occurred_on from entry e join posting p using (customer_id, entry_id)"
            "  join rule r on r.number = p.rule and r.code = :rule where e.customer_id = :customer_id and e.document_id = :document_id and p.amount > 0"
            "  and exists (select from posting a where a.customer_id = e.customer_id and a.entry_id = e.entry_id and a.credit_account = :account)"
            "  limit 1)"
            " select coalesce(sum(q.amount), 0)::bigint as amount, coalesce(sum(case when q.debit_account = put.debit_account"
            "  then q.functional_amount else -q.functional_amount end), 0)::bigint as functional"
            " from put join posting q on q.customer_id = :customer_id and q.rule = put.rule and q.debit_account in (put.debit_account, put.credit_account)"
            " and q.credit_account in (put.debit_account, put.credit_account)"
            " join entry x on x.customer_id = q.customer_id and x.entry_id = q.entry_id and x.occurred_on = put.occurred_on"
        ),
        {
            "customer_id": customer_id,
            "rule": rule,
            "document_id": item.document_id,
            "account": books.account(customer_id, _receivable_key(invoice)),
        },
    ).one()
    return row.amount, row.functional


def _money_of(books: Books, customer_id: int, invoice: Receivable, item: Applied) -> int:
    """What money that stands applied to an invoice in its own currency counts for in the entity's: it goes back as it came."""
    books.flush()
    amount = item.piece.amount
    whole, functional = _counted(books, customer_id, "payment.applied", item, invoice)
    if whole > 0:
        return share(functional, amount, whole)
    row = books.connection.execute(
        text(
            "select coalesce(sum(sign * p.amount), 0)::bigint as amount, coalesce(sum(sign * p.functional_amount), 0)::bigint"
            " as functional from posting p join rule r on r.number = p.rule cross join lateral (select case"
            "  when (r.code = 'payment.applied') = (p.credit_account = :account) then 1 else -1 end as sign) s "
            "where p.customer_id = :customer_id and :account in (p.debit_account, p.credit_account) "
            "and r.code in ('payment.applied', 'payment.unapplied')"
        ),
        {"customer_id": customer_id, "account": books.account(customer_id, _receivable_key(invoice))},
    ).one()
    # what a manual entry put there counts for what the invoice does
    return share(row.functional, amount, row.amount) if row.amount > 0 else amount


def _exchanged_of(books: Books, customer_id: int, invoice: Receivable, item: Applied) -> int:
    """What money of another currency that stands applied to an invoice counted for in the entity's when it was exchanged."""
    books.flush()
    whole, functional = _counted(books, customer_id, "payment.exchanged", item, invoice)
    return share(functional, item.amount, whole) if whole > 0 else item.amount
