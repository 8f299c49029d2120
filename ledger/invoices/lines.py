"""Invoice lines: what each bills, and of what; what corrects another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from ledger.amounts.money import exact_product, round_minor, share, to_minor, to_text
from ledger.cash import uses
from ledger.documents import models
from ledger.errors import OverApplication, Refused, Unbalanced, UnknownReference
from ledger.invoices.forms import (
    BETWEEN,
    OPENING,
    BilledLine,
    Billing,
    OwnObligation,
    bill_obligation,
    billed_of,
    contract_subject,
    entity_subject,
    own_obligation,
    same_party,
)
from ledger.invoices.taxes import Rounding, find_codes, given_taxes, line_taxes, tax_movements
from ledger.journal.books import Books
from ledger.journal.line_changes import add_change
from ledger.journal.movements import Movement, Source
from ledger.obligations import (
    Correction,
    Obligations,
    Taking,
    earned_ahead,
    expected_back,
    obligation_keys,
    obligation_sides,
    obligation_subject,
    promised,
    require_free,
)
from ledger.usage import commitments, shortfall_bills
from ledger.usage.usage_lines import NET_USAGE, bill_usage, is_taken, note, overage_accounts, usage_subject
from ledger.usage.usage_taken import settle
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, bill_grant, grant_accounts


def leave_below(billing: Billing, amount: int) -> None:
    """Gather whose money it is that an invoice below zero leaves: what lies on the invoices that its lines correct, else its own."""
    books, source = billing.wallets.books, billing.source
    books.flush()
    on = billing.terms.recorded_on
    corrected = books.connection.execute(
        text(
            "select x.invoice_id, sum(x.amount)::bigint as amount from ("
            " select invoice_id, amount_minor as amount from line_change where customer_id = :customer_id"
            "  and document_id = :document_id and kind = 'proration' and undoes = 0"
            " union all select invoice_id, -tax_minor from line_tax where customer_id = :customer_id and document_id = :document_id"
            ") x where x.invoice_id <> :document_id group by 1 having sum(x.amount) > 0 order by 1 desc"
        ),
        {"customer_id": source.customer.customer_id, "document_id": source.document_id},
    ).all()
    left = amount
    for row in corrected:
        left -= uses.leave_of(books, source, row.invoice_id, min(left, row.amount), on)
    uses.bring(books, source, left, on, origin_id=corrected[0].invoice_id if corrected else 0)


def correct_lines(billing: Billing, obligations: Obligations) -> None:
    """Post what lines below zero take back of what was billed, by this invoice's other lines too."""
    if not billing.below:
        return
    books, source, customer_id = billing.wallets.books, billing.source, billing.source.customer.customer_id
    of: list[tuple[Prorated, models.InvoiceLine]] = []
    left: Counter[str] = Counter()
    before: Counter[tuple[int, str]] = Counter()
    for line, subject, amount in billing.below:
        parts = prorated(books, customer_id, subject, amount, source.document_id, before)
        of += [(part, line) for part in parts]
        left[subject] += amount - sum(part.amount for part in parts)
        before.update({(part.invoice_id, part.line): part.amount for part in parts})
    on = billing.terms.recorded_on
    decided = obligations.decide(
        billing.wallets, customer_id, source.document_id,
        [
            Correction(source.document_id, billing.doc.id, "proration", part.invoice_id, part.line, part.subject, part.amount, on,
                       line.start, line.end)
            for part, line in of
        ],
    )  # fmt: skip
    taking = Taking(books, source, billing.day)
    movements: list[Movement] = []
    whole: Counter[tuple[int, str, str]] = Counter()
    for number, (part, line) in enumerate(of):
        whole[part.invoice_id, part.line, part.subject] += part.amount
        period = {"starts_on": line.start, "ends_on": line.end, "part": number}
        add_change(
            books, source, part.invoice_id, part.line, "proration", part.amount, part.product, part.subject, period
        )
    for key, amount in whole.items():
        movements += _taken_back(billing, taking, key[2], amount, decided.share(*key).expected)
    for subject, amount in left.items():  # what is expected back of usage, which no line of an obligation billed
        movements += _taken_back(billing, taking, subject, amount, amount)
    books.post(source, on, movements)
    for subject in dict.fromkeys(subject for _, subject, _ in billing.below):
        books.net(source, *obligation_sides(source, subject), billing.day)
    decided.keep()


def _taken_back(billing: Billing, taking: Taking, subject: str, amount: int, expected: int) -> list[Movement]:
    """What taking an amount back of an obligation moves, against this invoice's receivable."""
    held, rest, release = taking.out_of(subject, amount, expected)
    return [
        *release,
        Movement("credit.deferred", held, subject, billing.subject),
        Movement("credit.unbilled", rest, subject, billing.subject),
    ]


def bill_line(billing: Billing, line: models.InvoiceLine, rounding: Rounding) -> tuple[BilledLine, list[Movement]]:
    """A line as it is posted, and what it moves."""
    source = billing.source
    amount = to_minor(line.amount, source.currency)
    computed = _worked_out(billing, line, amount)
    books = billing.wallets.books
    if line.taxes is not None:
        codes = find_codes(books, [tax.code for tax in line.taxes], "taxes")
    elif line.kind in ("opening", BETWEEN):
        codes = find_codes(books, line.tax_codes or ())
    else:
        codes = find_codes(books, billing.terms.tax_codes if line.tax_codes is None else line.tax_codes)
    if amount == 0 and line.kind == "usage" and line.discount is not None and any(code.inclusive for code in codes):
        raise Refused(
            "tax_codes", line.tax_codes or "by default", "expected taxes on top of usage of which all is discounted"
        )
    status = source.customer.tax_status
    if line.taxes is None:
        net, taxes = line_taxes(amount, codes, status, source.currency, rounding)
    else:
        net, taxes = given_taxes(amount, codes, line.taxes, status, source.currency, rounding)
    if line.product is not None:
        books.parties.require_product(line.product)
    subject, moved = _BILL[line.kind](billing, line, net)
    billing.billed[subject] += net
    return BilledLine(line, subject, net, tuple(taxes), computed), [*moved, *tax_movements(taxes, billing.subject)]


def net_lines(billing: Billing, line: models.InvoiceLine) -> None:
    """Let what a line bills settle what later days hold of the other side."""
    wallets, source, day = billing.wallets, billing.source, billing.day
    if line.kind == "usage" and line.product:
        if is_taken(wallets, source, line.product):
            settle(wallets.books, source, line.product)
        elif line.discount is not None:
            note(wallets, source, line.product)
        wallets.books.net(source, overage_accounts(source, line.product), NET_USAGE, day)
        commitments.settle_billed(wallets, source, line.product, day)
    elif line.kind == "prepaid" and line.grant and wallets.grant(source.customer.customer_id, line.grant).drawn:
        wallets.books.net(source, grant_accounts(source, line.grant), NET_GRANT, day)
        break_of_billed(wallets, source, wallets.grant(source.customer.customer_id, line.grant), day)
    elif line.kind == "shortfall" and line.grant:
        grant = wallets.grant(source.customer.customer_id, line.grant)
        commitments.settle(wallets, source, grant, day)
    elif line.obligation is not None or line.contract is not None:
        parts = billing.parts.get(line.id) or [(obligation_subject(line.obligation or ""), 0)]
        for subject, _ in parts:
            wallets.books.net(source, *obligation_sides(source, subject), day)


# What a line is about, and what its net amount moves.
_Moved = tuple[str, list[Movement]]


def _bill_prepaid(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    assert line.grant is not None, "a prepaid line names its grant"
    source = billing.source
    grant = billing.wallets.grant(source.customer.customer_id, line.grant)
    same_party("grant", grant.ref, (grant.entity, grant.currency), (source.entity, source.currency))
    before = billing.billed[grant.subject]
    books = billing.wallets.books
    return grant.subject, bill_grant(books, source, grant, billing.day, amount, before, billing.subject)


def _bill_usage(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    assert line.product is not None, "a usage line names its product"
    subject = usage_subject(line.product)
    before = billing.billed[subject]
    books = billing.wallets.books
    discount = usage_discount(line, amount, billing.source.currency)
    for key in overage_accounts(billing.source, line.product) if discount else ():
        books.account(billing.source.customer.customer_id, key)  # usage that comes later looks there
    moved = bill_usage(books, billing.source, line.product, billing.day, amount, before, billing.subject, discount)
    if sum(movement.amount for movement in moved) != amount + discount:
        note(billing.wallets, billing.source, line.product)  # a part waits for the use
    billing.billed[subject] += discount
    return subject, moved


def usage_discount(line: models.InvoiceLine, net: int, currency: str) -> int:
    """What a usage line's discount takes off the price of what was used, net of the taxes that are in it."""
    if line.kind != "usage" or line.discount is None:
        return 0
    discount = to_minor(line.discount, currency, "discount")
    amount = to_minor(line.amount, currency)
    return share(discount, net, amount) if amount else discount


def _bill_opening(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    if line.tax_codes:
        raise Refused("tax_codes", line.tax_codes[0], "expected none: what is taken over includes its taxes")
    return OPENING, [Movement("invoice.opening", amount, billing.subject, OPENING)]


def _bill_between(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    """A line of another entity's: what it bills there, taxes included, is owed to that entity."""
    assert line.entity is not None, "a line of another entity's names it"
    subject = entity_subject(line.entity)
    if amount < 0:
        return subject, [Movement("credit.between", -amount, subject, billing.subject)]
    return subject, [Movement("invoice.between", amount, billing.subject, subject)]


def _bill_shortfall(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    """A shortfall is revenue, for nothing more is owed, and the commitment is met by it.

    Raises Refused before the commitment's last day, OverApplication beyond what is left of it.
    """
    assert line.grant is not None, "a shortfall line names its commitment"
    source = billing.source
    grant = billing.wallets.grant(source.customer.customer_id, line.grant)
    same_party("grant", grant.ref, (grant.entity, grant.currency), (source.entity, source.currency))
    if grant.expires_on is not None and billing.doc.issued_on < grant.expires_on and grant.kind == "commitment":
        raise Refused("grant", grant.ref, f"expected the commitment's last day, {grant.expires_on}, to be over")
    return grant.subject, shortfall_bills.bill_shortfall(
        billing.wallets.books, source, grant, billing.day, amount, billing.billed[grant.subject], billing.subject,
        line.product or "",
    )  # fmt: skip


def _bill_whole(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    """A line that bills a contract as a whole: its obligations, by the prices allocated to them."""
    assert line.contract is not None, "checked by the caller"
    parts = billing.obligations.of_contract(
        billing.wallets, billing.source, line.contract, billing.doc.issued_on, amount
    )
    movements: list[Movement] = []
    for subject, part in parts:
        left = earned_ahead(billing.wallets.books, billing.source, subject, billing.day) - billing.billed[subject]
        movements += bill_obligation(part, left, billing.subject, subject)
        billing.billed[subject] += part
    billing.parts[line.id] = parts
    return contract_subject(line.contract), movements


def _bill_service(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    if line.contract is not None:
        return _bill_whole(billing, line, amount) if amount else (contract_subject(line.contract), [])
    own = own_obligation(billing.doc, line)
    if own is None:
        return _bill_contract(billing, line, amount)
    require_free(billing.wallets.books, billing.source.customer, "id", own.subject.removeprefix("obligation:"))
    if amount < 0:
        return _credit_line(billing, line, own, -amount)
    return own.subject, bill_obligation(amount, 0, billing.subject, own.subject)


def _credit_line(billing: Billing, line: models.InvoiceLine, own: OwnObligation, amount: int) -> _Moved:
    """A line below zero corrects the line whose period covers its own; where there is none it is an obligation of its own."""
    subject = _covering(billing, line, amount)
    if subject is None:
        return own.subject, [Movement("credit.unbilled", amount, own.subject, billing.subject)]
    billing.credit(line, subject, amount)
    return subject, []


_COVERING = """
    select l.subject, l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x where x.customer_id = l.customer_id
                                                 and x.invoice_id = l.invoice_id and x.line = l.line), 0)::bigint as left_minor
    from invoice_line l join invoice i using (customer_id, invoice_id)
    where l.customer_id = :customer_id and l.own_obligation and l.amount_minor > 0 and l.product = :product and i.entity = :entity
      and i.currency = :currency and l.starts_on <= :starts_on and l.ends_on >= :ends_on and i.issued_on <= :issued_on
    order by l.starts_on desc, i.issued_on desc, i.ref desc, l.line desc"""


def _covering(billing: Billing, line: models.InvoiceLine, amount: int) -> str | None:
    """The line that one below zero corrects: the latest of the product whose period covers its own, of earlier invoices first."""
    place = (line.product, line.start, line.end)
    if place not in billing.covering:
        billing.covering[place] = _left_of_others(billing, line) | _left_of_own(billing, line)
    candidates = billing.covering[place]
    for subject, left in candidates.items():
        if left - billing.credited[subject] >= amount:
            return subject
    return None


def _left_of_others(billing: Billing, line: models.InvoiceLine) -> dict[str, int]:
    books, source = billing.wallets.books, billing.source
    books.flush()
    rows = books.connection.execute(
        text(_COVERING),
        {
            "customer_id": source.customer.customer_id, "product": line.product, "entity": source.entity,
            "currency": source.currency, "starts_on": line.start, "ends_on": line.end, "issued_on": billing.doc.issued_on,
        },
    )  # fmt: skip
    return {row.subject: row.left_minor for row in rows}


def _left_of_own(billing: Billing, line: models.InvoiceLine) -> dict[str, int]:
    return {
        obligation_subject(f"{billing.doc.id}/{other.id}"): to_minor(other.amount, billing.source.currency)
        for other in billing.doc.lines
        if other.kind == "service" and other.amount > 0 and other.product == line.product and other.entity == line.entity
        and other.start is not None and other.end is not None and line.start is not None and line.end is not None
        and other.start <= line.start and other.end >= line.end
    }  # fmt: skip


def _bill_contract(billing: Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    """A line of an obligation that stands already: a contract's, or where it credits, another invoice's."""
    assert line.obligation is not None, "a line without an obligation of its own names one"
    books, source = billing.wallets.books, billing.source
    subject = obligation_subject(line.obligation)
    (deferred, _), _ = obligation_sides(source, subject)
    if not books.has_account(source.customer.customer_id, deferred):
        raise UnknownReference(
            "obligation",
            line.obligation,
            f"expected the id of an obligation of {source.customer.ref} with {source.entity} in {source.currency}",
        )
    product = books.product_of(source.customer.customer_id, source.entity, source.currency, subject)
    if line.product not in (None, product):
        raise Refused(
            "product", line.product, f"expected {product}, what obligation {line.obligation} promises, or none"
        )
    if amount < 0:
        _require_billed(billing, subject, -amount)
        billing.credit(line, subject, -amount)
        return subject, []
    if amount and promised(books, source.customer.customer_id, subject).pattern == "usage":
        raise Refused(
            "obligation",
            line.obligation,
            "expected one that is earned by its own terms: what is earned by usage is billed by a line of kind usage",
        )
    left = earned_ahead(books, source, subject, billing.day) - billing.billed[subject]
    return subject, bill_obligation(amount, left, billing.subject, subject)


def _require_billed(billing: Billing, subject: str, amount: int) -> None:
    """Raise OverApplication for more taken back than was billed of an obligation, or is expected back of its usage."""
    books, source = billing.wallets.books, billing.source
    expected = expected_back(books, source, subject, billing.day)
    here = sum(
        to_minor(other.amount, source.currency)
        for other in billing.doc.lines
        if other.obligation is not None and other.amount > 0 and obligation_subject(other.obligation) == subject
    )
    before = billing.credited[subject]
    used = _billed_of_usage(billing, subject) if billed_of(books, source.customer.customer_id, subject) == 0 else 0
    most = max(billed_of(books, source.customer.customer_id, subject) + here - before, expected, used - before)
    if amount > most:
        raise OverApplication(
            "amount",
            f"-{to_text(amount, source.currency)} {source.currency}",
            f"expected at most {to_text(most, source.currency)} taken back, what was billed of {subject}",
        )


def _billed_of_usage(billing: Billing, subject: str) -> int:
    """What is billed of the usage an obligation is about, in earlier invoices and this one: a rebate gives back of it."""
    source = billing.source
    billed = billing.wallets.books.connection.execute(
        text(
            "select o.product, coalesce((select sum(l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x"
            "  where x.customer_id = l.customer_id and x.invoice_id = l.invoice_id and x.line = l.line), 0))"
            " from invoice_line l join invoice i using (customer_id, invoice_id) where l.customer_id = o.customer_id"
            " and l.subject = 'usage:' || o.product and i.entity = o.entity and i.currency = o.currency), 0)::bigint"
            " + coalesce((select sum(l.amount_minor) from invoice_line l where l.customer_id = o.customer_id"
            "  and l.subject = o.subject and l.amount_minor < 0), 0)::bigint as amount"
            " from performance_obligation o where o.customer_id = :customer_id and o.subject = :subject and o.pattern = 'usage'"
        ),
        {"customer_id": source.customer.customer_id, "subject": subject},
    ).first()
    if billed is None:
        return 0
    here = [line.amount for line in billing.doc.lines if line.kind == "usage" and line.product == billed.product]
    return int(billed.amount) + sum(to_minor(amount, source.currency) for amount in here)


_BILL = {
    "prepaid": _bill_prepaid,
    "usage": _bill_usage,
    "shortfall": _bill_shortfall,
    "opening": _bill_opening,
    "service": _bill_service,
    "one_time": _bill_service,
    BETWEEN: _bill_between,
}


@dataclass(frozen=True, slots=True)
class Prorated:
    """What an invoice credits of a line of another one that billed an obligation."""

    invoice_id: int
    line: str
    product: str | None
    subject: str
    amount: int


def prorated(
    books: Books, customer_id: int, subject: str, amount: int, last: int, before: Mapping[tuple[int, str], int]
) -> list[Prorated]:
    """Which lines of invoices an amount credited of an obligation is of: the latest first, those of the invoice that credits `last`.

    `before` is what of lines was credited just before.
    """
    books.flush()
    rows = books.connection.execute(
        text(
            "select l.invoice_id, l.line, l.product, l.amount_minor - coalesce((select sum(x.amount_minor)"
            " from line_change x where x.customer_id = l.customer_id and x.invoice_id = l.invoice_id"
            "  and x.line = l.line and x.subject = l.subject), 0)::bigint as left_minor"
            " from obligation_bill l left join invoice i using (customer_id, invoice_id) "
            "where l.customer_id = :customer_id and l.subject = :subject and l.amount_minor > 0 "
            "order by l.invoice_id = :last, i.issued_on desc, i.ref desc, l.line"
        ),
        {"customer_id": customer_id, "subject": subject, "last": last},
    ).all()
    found = []
    for row in rows:
        part = min(amount, row.left_minor - before.get((row.invoice_id, row.line), 0))
        if part > 0:
            found.append(Prorated(row.invoice_id, row.line, row.product, subject, part))
            amount -= part
    return found


def prorated_by(books: Books, customer_id: int, document_id: int) -> list[Prorated]:
    """What an invoice credited of lines of others, as far as it was not taken back."""
    rows = books.connection.execute(
        text(
            "select x.invoice_id, x.line, max(x.product) as product, x.subject, sum(x.amount_minor)::bigint as amount from line_change x "
            "where x.customer_id = :customer_id and x.kind = 'proration' and :document_id in (x.document_id, x.undoes) "
            "group by 1, 2, 4 having sum(x.amount_minor) > 0 order by 1, 2"
        ),
        {"customer_id": customer_id, "document_id": document_id},
    )
    return [Prorated(*row) for row in rows]


def _worked_out(billing: Billing, line: models.InvoiceLine, amount: int) -> int | None:
    """What a line's quantity x unit price, less its discount, comes to where its amount is another; None where it is that.

    Raises Unbalanced where they differ by more than the entity's tolerance.
    """
    if line.quantity is None or line.unit_price is None:
        return None
    source = billing.source
    currency = source.currency
    discount = 0 if line.discount is None else to_minor(line.discount, currency, "discount")
    found = round_minor(exact_product(line.quantity, line.unit_price), currency) - discount
    if abs(amount) == found:
        return None
    tolerance = billing.wallets.books.parties.entity(source.entity).amount_tolerance
    if abs(abs(amount) - found) > tolerance:
        less = f" less {line.discount}" if line.discount is not None else ""
        within = f", or within {to_text(tolerance, currency)} of it" if tolerance else ""
        raise Unbalanced(
            "amount",
            f"{line.amount} {currency}",
            f"expected {to_text(found, currency)}: {line.quantity} x {line.unit_price}{less}{within}",
        )
    return -found if amount < 0 else found


def add_line(books: Books, source: Source, doc: models.Invoice, billed: BilledLine) -> None:
    """Gather a line's facts and taxes; an obligation of its own gets its accounts."""
    line = billed.line
    customer_id = source.customer.customer_id
    own = own_obligation(doc, line)
    if own is not None and (billed.subject != own.subject or not billed.net):
        own = None  # it corrects another's, or is for nothing
    accounts: tuple[int | None, ...] = (None, None, None)
    if own is not None:
        assert line.product is not None, "a line with an obligation of its own names its product"
        keys = obligation_keys(doc.entity, doc.currency, own.subject, line.product)
        accounts = tuple(books.account(customer_id, key) for key in keys)
    books.add_row(
        "invoice_line",
        customer_id=customer_id,
        invoice_id=source.document_id,
        line=line.id,
        kind=line.kind,
        amount_minor=billed.net,
        product=line.product if line.obligation is None else None,
        subject=billed.subject,
        own_obligation=own is not None,
        pattern=own.pattern if own else None,
        starts_on=own.starts_on if own else line.start,
        ends_on=own.ends_on if own else line.end,
        deferred_account=accounts[0],
        unbilled_account=accounts[1],
        revenue_account=accounts[2],
        discount_minor=usage_discount(line, billed.net, doc.currency),
        computed_minor=billed.computed,
    )
    for position, tax in enumerate(billed.taxes, 1):
        books.add_row(
            "line_tax",
            customer_id=customer_id,
            document_id=source.document_id,
            line=line.id,
            position=position,
            invoice_id=source.document_id,
            tax_code=tax.code,
            treatment=tax.treatment,
            included=tax.included,
            base_minor=tax.base,
            tax_minor=tax.tax,
            computed_minor=tax.computed,
            undoes=0,
        )
