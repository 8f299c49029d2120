"""Usage: rated, added up to the cent, drawn on the customer's grants; what none covers is overage, billed later."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import BY_NUMBER
from ledger.amounts.money import exact_sum, round_minor, share, to_text, within_limit
from ledger.documents import models
from ledger.errors import ConflictingDocument, OverApplication, Overdrawn, UnknownReference, WrongParty
from ledger.journal import entry_rows
from ledger.journal.books import Books
from ledger.journal.by_date import balance
from ledger.journal.entry_rows import Entry
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.usage import commitments, given_back
from ledger.usage.given_back import Piece
from ledger.usage.usage_lines import NET_USAGE, is_taken, overage_accounts, settle, usage_subject
from ledger.wallets.breakage import break_by_days, is_late
from ledger.wallets.expiry import broken_by_expiry, unexpire
from ledger.wallets.grants import (
    NET_GRANT,
    Draw,
    Grant,
    breakage_due,
    draw_movements,
    grant_accounts,
    plan_draws,
    unbroken,
)
from ledger.wallets.session import Meter, Wallets, all_or_nothing


def post_usage(wallets: Wallets, doc: models.Usage, document_id: int) -> int:
    """Draw usage on the customer's grants; bill later what none covers. What falls gives back what was drawn last.

    Fractions of a minor unit add up by customer, product and currency: posted now = round(all rated so far) -
    posted before. Raises Overdrawn where the customer's terms refuse overage, OverApplication where more would fall than
    was rated.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.date)
    books.parties.require_product(doc.product)
    if doc.supersedes is not None:
        return _replace(wallets, source, doc)
    return _post(wallets, source, doc)


def _post(wallets: Wallets, source: Source, doc: models.Usage) -> int:
    customer = source.customer
    meter = wallets.meter(customer.customer_id, doc.entity, doc.product, doc.currency)
    rated = exact_sum(meter.rated, doc.rated)
    if rated < 0:
        raise _beyond(doc, meter)
    stated = "quantity" if doc.amount is None else "amount"
    amount = within_limit(round_minor(rated, doc.currency) - meter.posted, doc.currency, stated)
    if amount < 0:
        meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
        given_back.give_back(wallets, source, doc.product, doc.date, -amount)
        return customer.customer_id
    grants = [
        grant
        for grant in wallets.grants(customer.customer_id)
        if grant.entity == doc.entity and grant.currency == doc.currency
    ]
    plain = covering(grants, doc.product, doc.date, amount)
    if plain is not None and wallets.books.days.open_day(source, doc.date) == doc.date:
        meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
        if amount:
            _draw_plainly(wallets, source, doc, plain, amount)
        return customer.customer_id
    draws, overage = plan_draws(grants, doc.product, doc.date, amount)
    if overage and customer.overage == "refuse":
        raise Overdrawn(
            stated,
            doc.quantity if doc.amount is None else doc.amount,
            f"expected at most {to_text(amount - overage, doc.currency)} {doc.currency} of usage, what is left of the "
            f"credits of {doc.customer} for {doc.product} on {doc.date}; usage comes to "
            f"{to_text(amount, doc.currency)} and the customer's terms refuse overage",
        )
    late = [draw.grant for draw in draws if draw.grant.expired_face and _is_told_anew(draw.grant)]
    for grant in late:
        unexpire(wallets, source, grant, doc.date)
    if late:
        draws, overage = plan_draws(grants, doc.product, doc.date, amount)
    committed = sum(draw.face for draw in draws if draw.grant.kind == "commitment")
    meter.rated, meter.posted, meter.changed = rated, meter.posted + amount, True
    _post_draws(wallets, source, doc.date, doc.product, draws, overage + committed)
    return customer.customer_id


def _is_told_anew(grant: Grant) -> bool:
    """Whether what expired is put back before a late draw: what breaks with use is told by its day, and so is what notes took since."""
    paid = grant.paid
    return grant.proportional or (paid is not None and (paid.moved > 0 or paid.returned_on is not None))


def _beyond(doc: models.Usage, meter: Meter) -> OverApplication:
    """What is said of usage that would fall below zero."""
    rated = meter.rated if meter.rated > 0 else Decimal(0)
    there = f"{rated.normalize():f} {doc.currency}"
    if doc.amount is None:
        assert doc.supersedes is not None, "usage with a price falls only by what it supersedes"
        return OverApplication(
            "supersedes",
            doc.supersedes,
            f"expected usage of {doc.product} that did not fall since; {there} of it is left",
        )
    return OverApplication(
        "amount",
        f"{doc.amount} {doc.currency}",
        f"expected a fall of at most {there}, the usage of {doc.product} that is rated for {doc.customer}",
    )


def covering(grants: Sequence[Grant], product: str, on: date, amount: int) -> Grant | None:
    """The one grant that usage draws on where that is plain: it covers all of it, and was billed for as much before.

    None where anything else has to be looked at: several grants, an order's bonus credits, a commitment, breakage, credits
    that expired or were moved, an invoice of a later day, a price that is not the face value.
    """
    for grant in grants:
        if grant.expired_face or grant.kind == "commitment":
            return None
        left = grant.face - grant.drawn_face - grant.moved_face
        if not left or not grant.covers(product, on):
            continue
        if left < amount or grant.price != grant.face or grant.moved_face or grant.bonuses or grant.kept_in_memorandum:
            return None
        if grant.returned_on is not None and grant.returned_on > on:
            return None
        funded = 0
        for funding in grant.fundings:
            if funding.day > on:
                return None
            funded += funding.amount
        return grant if grant.drawn == grant.drawn_face and funded - grant.drawn - grant.broken >= amount else None
    return None


def all_overage(books: Books, source: Source, grants: Sequence[Grant], product: str) -> bool:
    """Whether all usage of a product is billed later, whatever its day: no grant has credits, none of it was billed ahead."""
    return (
        source.customer.overage == "bill"
        and not any(grant.left or grant.expired_face for grant in grants)
        and not books.has_account(source.customer.customer_id, overage_accounts(source, product)[0])
    )


def _draw_plainly(wallets: Wallets, source: Source, doc: models.Usage, grant: Grant, amount: int) -> None:
    """What `_post_draws` does where one grant covers usage and was billed for it before: credits become revenue."""
    subject = grant.subject
    wallets.books.post(source, doc.date, [Movement("draw.prepaid", amount, subject, subject, doc.product)])
    grant.drawn_face += amount
    grant.drawn += amount
    wallets.touch(grant)


def _post_draws(wallets: Wallets, source: Source, on: date, product: str, draws: Sequence[Draw], overage: int) -> None:
    books = wallets.books
    customer_id = source.customer.customer_id
    day = books.days.open_day(source, on)  # late usage counts from the first open day on
    for draw in draws:
        _give_breakage_back(wallets, source, draw, on)
        _return_expired(wallets, source, draw)
    billed = _billed_by(books, source, draws, day)
    movements = [m for draw, part in zip(draws, billed, strict=True) for m in draw_movements(draw, part, product)]
    covered = [(draw.grant, _covered(wallets, source, draw)) for draw in draws if draw.grant.kind == "commitment"]
    for grant, part in covered:
        grant.expired_face -= part
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
        _record_draw(wallets, source, draw, on)
    if billed_ahead:
        if is_taken(wallets, source, product):
            settle(books, source, product)
        books.net(source, keys, NET_USAGE, day)
    for grant, part in covered:
        if part:
            commitments.cover(wallets, source, grant, product, part, day)
        commitments.settle(wallets, source, grant, day)


def _covered(wallets: Wallets, source: Source, draw: Draw) -> int:
    """What of a draw on a commitment its shortfall's bill covers: what is not left, but to be billed again, is not left for it either."""
    grant = draw.grant
    if not grant.expired_face:
        return 0
    left = max(grant.left - commitments.billed_again(wallets, source, grant), 0)
    return min(max(draw.face - left, 0), grant.expired_face)


def draw_again(wallets: Wallets, source: Source, grants: Sequence[Grant], product: str, on: date, amount: int) -> None:
    """Draw usage that was given back on what is left now, whatever the customer's terms say of overage: it happened."""
    meter = wallets.meter(source.customer.customer_id, source.entity, product, source.currency)
    meter.posted += amount
    meter.changed = True
    draws, overage = plan_draws(grants, product, on, amount)
    committed = sum(draw.face for draw in draws if draw.grant.kind == "commitment")
    _post_draws(wallets, source, on, product, draws, overage + committed)


@dataclass(frozen=True, slots=True)
class _Posted:
    """A usage document in the books: what it metered, and its entries with the accounts they touch; none of what fell."""

    product: str
    rated: Decimal
    entries: tuple[tuple[int, Entry], ...]
    keys: dict[int, AccountKey]


def _find(books: Books, source: Source, ref: str) -> _Posted:
    """The usage a document supersedes. Raises where it is unknown, another party's, or superseded already."""
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.body from document_key k join document d"
            " on d.customer_id = k.customer_id and d.document_id = k.document_id where k.type = 'usage' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference("supersedes", ref, "expected the id of usage posted before")
    body = json.loads(row.body)
    if (body["customer"], body["entity"], body["currency"]) != (source.customer.ref, source.entity, source.currency):
        raise WrongParty("supersedes", ref, "expected usage of the same customer, entity and currency")
    by = books.connection.scalar(
        text(
            "select d.ref from superseded_usage s join document d on d.customer_id = s.customer_id"
            " and d.document_id = s.superseded_by where s.customer_id = :customer_id and s.document_id = :document_id"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    if by is not None:
        raise ConflictingDocument("supersedes", ref, f"usage {by} supersedes it already")
    numbers = books.connection.scalars(
        text("select entry_id from entry where customer_id = :customer_id and document_id = :document_id"
             " and reverses is null order by entry_id"),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )  # fmt: skip
    read = ((number, entry_rows.read(books.connection, number)) for number in numbers)
    # entries that only correct what others count for are not its own
    entries = tuple((number, entry) for number, entry in read if any(p.amount for p in entry.postings))
    touched = {
        account for _, entry in entries for p in entry.postings for account in (p.debit_account, p.credit_account)
    }
    keys = books.connection.execute(
        text("select account_id, entity, role, currency, subject, product from account"
             " where customer_id = :customer_id and account_id = any(:accounts)"),
        {"customer_id": row.customer_id, "accounts": list(touched)},
    )  # fmt: skip
    rated = models.rated_body(body)
    books.add_row(
        "superseded_usage",
        customer_id=row.customer_id,
        document_id=row.document_id,
        superseded_by=source.document_id,
    )
    fell = given_back.is_fall(books, row.customer_id, row.document_id)
    return _Posted(body["product"], rated, () if fell else entries, {key[0]: AccountKey(*key[1:]) for key in keys})


def _replace(wallets: Wallets, source: Source, doc: models.Usage) -> int:
    """Take back what earlier usage posted, giving back to the very grants it drew on, and draw afresh.

    What came later is left as it was. Nothing is changed where the new version is refused.
    """
    assert doc.supersedes is not None, "checked by the caller"
    with all_or_nothing(wallets):
        old = _find(wallets.books, source, doc.supersedes)
        _take_back(wallets, source, old)
        return _post(wallets, source, doc)


def _take_back(wallets: Wallets, source: Source, old: _Posted) -> None:
    books = wallets.books
    customer_id = source.customer.customer_id
    meter = wallets.meter(customer_id, source.entity, old.product, source.currency)
    subjects: dict[str, date] = {}
    for number, entry in old.entries:
        drawn = [(p.rule, p.amount, old.keys[p.credit_account].subject) for p in entry.postings]
        left = given_back.pieces_of(wallets, source, [(number, drawn)])
        if sum(piece.face for piece in left) < given_back.drawn_by(wallets, source, drawn) or any(
            _priced_anew(wallets, source, piece) for piece in left
        ):
            # usage that fell gave back a part of it, or it earns otherwise by now: what is left is given back
            meter.posted -= sum(piece.face for piece in left)
            given_back.return_pieces(wallets, source, old.product, entry.occurred_on, left)
            continue
        books.reverse(source, number, entry, old.keys)
        day = books.days.open_day(source, entry.effective_on)
        for p in entry.postings:
            subject = old.keys[p.credit_account].subject
            subjects[subject] = min(day, subjects.get(subject, day))
            code = BY_NUMBER[p.rule].code
            if code in _FACE_RULES:
                meter.posted -= p.amount
            if subject.startswith("grant:"):
                grant = wallets.grant(customer_id, subject.removeprefix("grant:"))
                meter.posted -= grant.give_back(code, p.amount)
                wallets.touch(grant)
    meter.rated -= old.rated
    meter.changed = True
    for subject, day in subjects.items():
        kind, _, ref = subject.partition(":")
        before = day - timedelta(days=1)
        if kind == "grant" and wallets.grant(customer_id, ref).fundings:
            books.net(source, grant_accounts(source, ref), NET_GRANT, before)
        elif kind == "usage":
            if is_taken(wallets, source, ref):
                settle(books, source, ref)
            books.net(source, overage_accounts(source, ref), NET_USAGE, before)


def _priced_anew(wallets: Wallets, source: Source, piece: Piece) -> bool:
    """Whether what credits earn may have changed since they were drawn: they share an order's price, or a part of it left."""
    if not piece.subject.startswith("grant:"):
        return False
    paid = wallets.grant(source.customer.customer_id, piece.subject.removeprefix("grant:")).paid
    return paid is not None and bool(paid.bonuses or paid.moved)


# Usage that no grant covered: what it posts is what was rated.
_FACE_RULES = ("usage.overage", "usage.billed_ahead")


def _in_order(grant: Grant, money: int, on: date) -> bool:
    """Whether all that was billed of a grant, or given back, was by a day, and covers so much more money: no date needs a look."""
    if grant.returned_on is not None and grant.returned_on > on:
        return False
    return all(funding.day <= on for funding in grant.fundings) and grant.funded() - grant.drawn - grant.broken >= money


def _billed_by(books: Books, source: Source, draws: Sequence[Draw], on: date) -> list[int]:
    """How much of each draw's money had been invoiced, and not yet earned, by the day of the usage."""
    taken: Counter[str] = Counter()
    found = []
    for draw in draws:
        grant = draw.grant.paid
        if grant is None or not grant.fundings:
            found.append(0)
            continue
        before = taken[grant.ref]
        if _in_order(grant, draw.money + before, on):
            held = draw.money + before
        else:
            credits_key, _ = grant_accounts(source, grant.ref)
            held = balance(books.history(source.customer.customer_id, credits_key), on)
        found.append(min(draw.money, max(held - before, 0)))
        taken[grant.ref] += found[-1]
    return found


def _return_expired(wallets: Wallets, source: Source, draw: Draw) -> None:
    """Before a draw: return the credits that expired since the usage happened, and what was broken of their price."""
    grant, paid = draw.grant, draw.grant.paid
    returned = max(draw.face - grant.left, 0)
    if not returned or grant.kind == "commitment":
        return
    assert grant.expires_on is not None, "only credits that expired are returned"
    books = wallets.books
    if paid is not None:
        # what a void took back of a later day had not broken either
        # what a void took back of a later day had not broken either
        money = unbroken(paid, draw, returned) if paid.broken > 0 else share(draw.money, returned, draw.face)
        stood = stands = 0
        for day, amount in broken_by_expiry(books, source, paid).items():
            stood += amount
            step = max(stood - money, 0) - stands
            stands += step
            rule = "expire.prepaid" if step > amount else "expire.prepaid_corrected"
            books.post(source, day, [Movement(rule, abs(step - amount), paid.subject, paid.subject)])
        paid.broken -= stood - stands
        wallets.touch(paid)
    if grant.kept_in_memorandum:
        movement = Movement("expire.credits_corrected", returned, grant.subject, grant.subject)
        books.post(source, grant.expires_on, [movement])
    grant.expired_face -= returned


def _record_draw(wallets: Wallets, source: Source, draw: Draw, on: date) -> None:
    """Note a draw on its grant, and settle it against other days' invoices."""
    grant, paid = draw.grant, draw.grant.paid
    day = wallets.books.days.open_day(source, on)
    ordered = paid is None or not paid.fundings or _in_order(paid, draw.money, day)
    grant.drawn_face += draw.face
    if paid is not None:
        paid.drawn += draw.money
        wallets.touch(paid)
    late = break_by_days(wallets, source, grant, day)
    wallets.touch(grant)
    if (late or not ordered) and paid is not None:
        wallets.books.net(source, grant_accounts(source, paid.ref), NET_GRANT, day)


def _give_breakage_back(wallets: Wallets, source: Source, draw: Draw, on: date) -> None:
    """Before a draw: put back breakage that it shows not to be any; where it comes late that is told by days, after it."""
    grant = draw.grant
    if (
        not grant.expected_breakage
        or grant.expired_face
        or grant.kind == "commitment"
        or is_late(wallets, source, grant, wallets.books.days.open_day(source, on))
    ):
        return
    excess = grant.broken - breakage_due(grant, grant.drawn_face + draw.face, grant.drawn + draw.money)
    if excess > 0:
        wallets.books.post(source, on, [Movement("break.prepaid_corrected", excess, grant.subject, grant.subject)])
        grant.broken -= excess
