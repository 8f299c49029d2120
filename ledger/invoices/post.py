"""Receivables: invoices, each line billed to what it is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from sqlalchemy import text

from ledger.amounts.money import exact_product, round_minor, share, to_minor, to_text, within_limit
from ledger.cash import uses
from ledger.documents import models
from ledger.errors import (
    OverApplication,
    Refused,
    Unbalanced,
    UnknownReference,
    WrongCurrency,
    WrongParty,
)
from ledger.invoices import coupons
from ledger.invoices.taxes import (
    Rounding,
    Tax,
    default_codes,
    find_codes,
    given_taxes,
    line_taxes,
    spread,
    tax_movements,
)
from ledger.journal import currencies
from ledger.journal.books import AccountKey, Books, Customer, Movement, Source
from ledger.journal.line_changes import add_change
from ledger.obligations import (
    Correction,
    Obligations,
    Taking,
    earned_ahead,
    expected_back,
    obligation_keys,
    obligation_sides,
    obligation_subject,
    require_free,
)
from ledger.usage import commitments
from ledger.usage.usage_lines import NET_USAGE, bill_usage, is_taken, note, overage_accounts, settle, usage_subject
from ledger.wallets import credits_back
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, Funding, bill_grant, grant_accounts
from ledger.wallets.session import Wallets

OPENING = "opening"  # the subject of what was taken over of invoices from another system
BETWEEN = "between"  # the kind of a line that stands, where it is collected, for another entity's
CUSTOMER = "customer"  # the subject of a customer's balance


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as payments need it: its receivable counts from `recorded_on`, at a `rate` that is locked."""

    customer: str
    ref: str
    entity: str
    currency: str
    recorded_on: date
    invoice_id: int
    rate: Fraction | None = None


@dataclass(frozen=True, slots=True)
class OwnObligation:
    """The obligation an invoice line makes for itself: its accounts' subject, pattern and term."""

    subject: str
    pattern: str
    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True)
class BilledLine:
    """An invoice line as it is posted: what it is about, its amount net of taxes, and its taxes."""

    line: models.InvoiceLine
    subject: str
    net: int
    taxes: tuple[Tax, ...]
    computed: int | None = None  # what its quantity x unit price comes to, where its amount is another


def invoice_subject(ref: str) -> str:
    """The subject of an invoice's receivable account."""
    return f"invoice:{ref}"


def contract_subject(ref: str) -> str:
    """What a line is about that bills a contract as a whole."""
    return f"contract:{ref}"


def entity_subject(entity: str) -> str:
    """The subject of what one entity owes another."""
    return f"entity:{entity}"


def own_obligation(invoice: models.Invoice, line: models.InvoiceLine) -> OwnObligation | None:
    """The obligation a line makes for itself, or None: a line without a service period counts on the invoice's date."""
    if line.kind not in ("service", "one_time") or line.obligation is not None or line.contract is not None:
        return None
    subject = obligation_subject(f"{invoice.id}/{line.id}")
    if line.start is None or line.end is None:
        return OwnObligation(subject, "point_in_time", invoice.issued_on, invoice.issued_on)
    if line.pattern == "point_in_time":
        return OwnObligation(subject, "point_in_time", line.start, line.start)
    return OwnObligation(subject, line.pattern or "daily", line.start, line.end)


def bill_obligation(amount: int, unbilled: int, invoice: str, subject: str) -> list[Movement]:
    """What a line of an obligation moves: out of the contract asset up to its balance, the rest is deferred."""
    earned = min(amount, max(unbilled, 0))
    return [
        Movement("invoice.obligation_earned", earned, invoice, subject),
        Movement("invoice.obligation", amount - earned, invoice, subject),
    ]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is looked up for an invoice before anything of it is gathered.

    The taxes of lines that name none, its coupons, when it is due, and the day its receivable counts from.
    """

    tax_codes: Sequence[str]
    coupons: Mapping[str, coupons.Terms]
    due_on: date
    recorded_on: date


@dataclass(slots=True)
class _Billing:
    """An invoice while its lines are decided; `billed` is what earlier lines billed, by subject, `below` what lines credit.

    `parts` are what lines that bill a contract bill of its obligations.
    """

    wallets: Wallets
    source: Source
    doc: models.Invoice
    day: date
    terms: Terms
    master: str | None
    obligations: Obligations
    billed: Counter[str] = field(default_factory=Counter)
    below: list[tuple[models.InvoiceLine, str, int]] = field(default_factory=list)
    parts: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The subject of its receivable."""
        return invoice_subject(self.doc.id)


def look_up(books: Books, doc: models.Invoice) -> Terms:
    """An invoice's terms. Raises UnknownReference, Refused where nothing says when it is due; may write what was gathered before."""
    customer = books.customer(doc.customer, doc.issued_on)
    due_on = _due_on(customer, doc)
    return Terms(
        default_codes(books, customer),
        coupons.look_up(books, doc),
        due_on,
        _recorded_on(books, customer.customer_id, doc, due_on),
    )


def _due_on(customer: Customer, doc: models.Invoice) -> date:
    """The day an invoice is due on: as it says, else by the terms of its customer on its date."""
    if doc.due_on is not None:
        return doc.due_on
    if customer.terms is None:
        raise Refused("due_on", "missing", f"expected a day: customer {customer.ref} has no terms on {doc.issued_on}")
    return doc.issued_on + timedelta(days=customer.terms)


def _recorded_on(books: Books, customer_id: int, doc: models.Invoice, due_on: date) -> date:
    """The day an invoice's receivable counts from: its date, or where the right is unconditional only then, its due date.

    Raises Refused where only some of its lines are of contracts that say so.
    """
    unconditional = [
        (line.obligation is not None and _unconditional(books, customer_id, obligation_subject(line.obligation)))
        or (line.contract is not None and _unconditional_contract(books, customer_id, line.contract))
        for line in doc.lines
    ]
    if not any(unconditional):
        return doc.issued_on
    if not all(unconditional):
        index = unconditional.index(False)
        raise Refused(
            f"lines.{index}",
            doc.lines[index].id,
            "expected a line of a contract with receivable unconditional, as the others are: bill it on another invoice",
        )
    return due_on


def _unconditional_contract(books: Books, customer_id: int, contract: str) -> bool:
    books.flush()
    found = books.connection.scalar(
        text("select receivable from contract where customer_id = :customer_id and ref = :ref"),
        {"customer_id": customer_id, "ref": contract},
    )
    return bool(found == "unconditional")


def _unconditional(books: Books, customer_id: int, subject: str) -> bool:
    known: str | None = books.recall("receivable", subject)
    if known is None:
        known = books.connection.scalar(
            text(
                "select t.receivable from performance_obligation o join contract t"
                " on t.customer_id = o.customer_id and t.ref = o.contract "
                "where o.customer_id = :customer_id and o.subject = :subject"
            ),
            {"customer_id": customer_id, "subject": subject},
        )
        books.remember("receivable", subject, known or "issued")
    return known == "unconditional"


def post_invoice(
    wallets: Wallets,
    doc: models.Invoice,
    document_id: int,
    obligations: Obligations,
    terms: Terms | None = None,
    master: str | None = None,
) -> int:
    """Take a finalised invoice in: every line is billed to what it is for.

    One with a `master` is an entity's part of that invoice. Lines below zero correct what others bill, this invoice's own among them.
    """
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.issued_on, doc.fx_rate)
    terms = terms or look_up(books, doc)
    doc = spread(doc)
    # a late invoice counts from the first open day on
    day = books.open_day(source, terms.recorded_on)
    billing = _Billing(wallets, books.locked(source, terms.recorded_on), doc, day, terms, master, obligations)
    discounts = coupons.uses(doc, terms.coupons)
    movements: list[Movement] = []
    lines: list[BilledLine] = []
    rounding = Rounding(books.entity(doc.entity).tax_rounding == "invoice")
    for index, line in enumerate(doc.lines):
        try:
            billed, moved = _bill(billing, line, rounding)
        except Refused as refusal:
            raise refusal.within(f"lines.{index}") from None
        lines.append(billed)
        movements += moved
    total = sum(line.net + sum(tax.tax for tax in line.taxes) for line in lines)
    within_limit(total, doc.currency, "lines")
    # Everything is decided; from here on nothing is refused.
    _record(billing, lines, total)
    coupons.record(books, billing.source, discounts, day)
    books.post(billing.source, terms.recorded_on, movements)
    for line in doc.lines:
        _net(billing, line)
    _correct(billing, obligations)
    below = Movement("invoice.to_balance", max(-total, 0), billing.subject, CUSTOMER)
    books.post(billing.source, terms.recorded_on, [below])
    if below.amount and billing.master is None:
        _leave_below(billing, below.amount)
    of = [line.subject for line in lines if line.line.obligation is not None and line.net > 0]
    of += [subject for parts in billing.parts.values() for subject, _ in parts]
    obligations.billed(wallets, source.customer.customer_id, document_id, of)
    # it is found by its document, which is written after what it posts
    known = Invoice(
        source.customer.ref, doc.id, doc.entity, doc.currency, terms.recorded_on, document_id, billing.source.rate
    )
    books.remember("invoice", doc.id, known)
    return source.customer.customer_id


def _leave_below(billing: _Billing, amount: int) -> None:
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


def _correct(billing: _Billing, obligations: Obligations) -> None:
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


def _taken_back(billing: _Billing, taking: Taking, subject: str, amount: int, expected: int) -> list[Movement]:
    """What taking an amount back of an obligation moves, against this invoice's receivable."""
    held, rest, release = taking.out_of(subject, amount, expected)
    return [
        *release,
        Movement("credit.deferred", held, subject, billing.subject),
        Movement("credit.unbilled", rest, subject, billing.subject),
    ]


def _bill(billing: _Billing, line: models.InvoiceLine, rounding: Rounding) -> tuple[BilledLine, list[Movement]]:
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
        books.require_product(line.product)
    subject, moved = _BILL[line.kind](billing, line, net)
    billing.billed[subject] += net
    return BilledLine(line, subject, net, tuple(taxes), computed), [*moved, *tax_movements(taxes, billing.subject)]


def _record(billing: _Billing, lines: list[BilledLine], total: int) -> None:
    """Gather an invoice's facts, and note on grants what it bills of them."""
    wallets, source, doc = billing.wallets, billing.source, billing.doc
    books, customer_id = wallets.books, source.customer.customer_id
    for billed in lines:
        if billed.line.grant is not None:
            grant = wallets.grant(customer_id, billed.line.grant)
            if billed.line.kind == "shortfall":
                grant.expired_face += min(billed.net, max(grant.left, 0))
                wallets.touch(grant)
            else:
                credits_back.bill_again(wallets, source, grant, billed.net, billing.day, billed.line.id)
                grant.fundings.append(Funding(billing.day, billed.net, billing.terms.recorded_on))
        _add_line(books, source, doc, billed)
        for subject, amount in billing.parts.get(billed.line.id, ()):
            books.add_row(
                "invoice_line_part", customer_id=customer_id, invoice_id=source.document_id, line=billed.line.id, subject=subject,
                amount_minor=amount,
            )  # fmt: skip
    receivable = AccountKey(doc.entity, "accounts_receivable", doc.currency, billing.subject)
    books.add_row(
        "invoice",
        customer_id=customer_id,
        invoice_id=source.document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        issued_on=doc.issued_on,
        due_on=billing.terms.due_on,
        total_minor=total,
        receivable_account=books.account(customer_id, receivable),
        supersedes=doc.supersedes,
        rate=None if source.rate is None else currencies.as_decimal(source.rate),
        number=None if billing.master else _next_number(books, doc.entity),
        master=billing.master,
        recorded_on=None if billing.terms.recorded_on == doc.issued_on else billing.terms.recorded_on,
    )


def _next_number(books: Books, entity: str) -> int | None:
    """The next invoice number of an entity that numbers its invoices, taken in this transaction."""
    if books.entity(entity).invoice_prefix is None:
        return None
    number: int = books.connection.scalar(
        text(
            "insert into invoice_counter (entity, last_number) values (:entity, 1) on conflict (entity) do update "
            "set last_number = invoice_counter.last_number + 1 returning last_number"
        ),
        {"entity": entity},
    )
    return number


def _net(billing: _Billing, line: models.InvoiceLine) -> None:
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


def _bill_prepaid(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    assert line.grant is not None, "a prepaid line names its grant"
    source = billing.source
    grant = billing.wallets.grant(source.customer.customer_id, line.grant)
    _same_party("grant", grant.ref, (grant.entity, grant.currency), (source.entity, source.currency))
    before = billing.billed[grant.subject]
    books = billing.wallets.books
    return grant.subject, bill_grant(books, source, grant, billing.day, amount, before, billing.subject)


def _bill_usage(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
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


def _bill_opening(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    if line.tax_codes:
        raise Refused("tax_codes", line.tax_codes[0], "expected none: what is taken over includes its taxes")
    return OPENING, [Movement("invoice.opening", amount, billing.subject, OPENING)]


def _bill_between(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    """A line of another entity's: what it bills there, taxes included, is owed to that entity."""
    assert line.entity is not None, "a line of another entity's names it"
    subject = entity_subject(line.entity)
    if amount < 0:
        return subject, [Movement("credit.between", -amount, subject, billing.subject)]
    return subject, [Movement("invoice.between", amount, billing.subject, subject)]


def _bill_shortfall(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    """A shortfall is revenue, for nothing more is owed, and the commitment is met by it.

    Raises Refused before the commitment's last day, OverApplication beyond what is left of it.
    """
    assert line.grant is not None, "a shortfall line names its commitment"
    source = billing.source
    grant = billing.wallets.grant(source.customer.customer_id, line.grant)
    _same_party("grant", grant.ref, (grant.entity, grant.currency), (source.entity, source.currency))
    if grant.expires_on is not None and billing.doc.issued_on < grant.expires_on and grant.kind == "commitment":
        raise Refused("grant", grant.ref, f"expected the commitment's last day, {grant.expires_on}, to be over")
    return grant.subject, commitments.bill_shortfall(
        billing.wallets.books, source, grant, billing.day, amount, billing.billed[grant.subject], billing.subject,
        line.product or "",
    )  # fmt: skip


def _bill_whole(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
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


def _bill_service(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
    if line.contract is not None:
        return _bill_whole(billing, line, amount) if amount else (contract_subject(line.contract), [])
    own = own_obligation(billing.doc, line)
    if own is None:
        return _bill_contract(billing, line, amount)
    require_free(billing.wallets.books, billing.source.customer, "id", own.subject.removeprefix("obligation:"))
    if amount < 0:
        return _credit_line(billing, line, own, -amount)
    return own.subject, bill_obligation(amount, 0, billing.subject, own.subject)


def _credit_line(billing: _Billing, line: models.InvoiceLine, own: OwnObligation, amount: int) -> _Moved:
    """A line below zero corrects the line whose period covers its own; where there is none it is an obligation of its own."""
    subject = _covering(billing, line, amount)
    if subject is None:
        return own.subject, [Movement("credit.unbilled", amount, own.subject, billing.subject)]
    billing.below.append((line, subject, amount))
    return subject, []


_COVERING = """
    select l.subject, l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x where x.customer_id = l.customer_id
                                                 and x.invoice_id = l.invoice_id and x.line = l.line), 0)::bigint as left_minor
    from invoice_line l join invoice i using (customer_id, invoice_id)
    where l.customer_id = :customer_id and l.own_obligation and l.amount_minor > 0 and l.product = :product and i.entity = :entity
      and i.currency = :currency and l.starts_on <= :starts_on and l.ends_on >= :ends_on and i.issued_on <= :issued_on
    order by l.starts_on desc, i.issued_on desc, i.ref desc, l.line desc"""


def _covering(billing: _Billing, line: models.InvoiceLine, amount: int) -> str | None:
    """The line that one below zero corrects: the latest of the product whose period covers its own, of earlier invoices first."""
    books, source = billing.wallets.books, billing.source
    books.flush()
    before: Counter[str] = Counter()
    for _, subject, taken in billing.below:
        before[subject] += taken
    rows = books.connection.execute(
        text(_COVERING),
        {
            "customer_id": source.customer.customer_id, "product": line.product, "entity": source.entity,
            "currency": source.currency, "starts_on": line.start, "ends_on": line.end, "issued_on": billing.doc.issued_on,
        },
    )  # fmt: skip
    for row in rows:
        if row.left_minor - before[row.subject] >= amount:
            return str(row.subject)
    for other in billing.doc.lines:
        if (
            other.kind == "service" and other.amount > 0 and other.product == line.product and other.entity == line.entity
            and other.start is not None and other.end is not None and line.start is not None and line.end is not None
            and other.start <= line.start and other.end >= line.end
        ):  # fmt: skip
            subject = obligation_subject(f"{billing.doc.id}/{other.id}")
            if to_minor(other.amount, source.currency) - before[subject] >= amount:
                return subject
    return None


def _bill_contract(billing: _Billing, line: models.InvoiceLine, amount: int) -> _Moved:
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
        billing.below.append((line, subject, -amount))
        return subject, []
    left = earned_ahead(books, source, subject, billing.day) - billing.billed[subject]
    return subject, bill_obligation(amount, left, billing.subject, subject)


def _require_billed(billing: _Billing, subject: str, amount: int) -> None:
    """Raise OverApplication for more taken back than was billed of an obligation, or is expected back of its usage."""
    books, source = billing.wallets.books, billing.source
    expected = expected_back(books, source, subject, billing.day)
    here = sum(
        to_minor(other.amount, source.currency)
        for other in billing.doc.lines
        if other.obligation is not None and obligation_subject(other.obligation) == subject and other.amount > 0
    )
    before = sum(taken for _, of, taken in billing.below if of == subject)
    used = _billed_of_usage(billing, subject) if billed_of(books, source.customer.customer_id, subject) == 0 else 0
    most = max(billed_of(books, source.customer.customer_id, subject) + here - before, expected, used - before)
    if amount > most:
        raise OverApplication(
            "amount",
            f"-{to_text(amount, source.currency)} {source.currency}",
            f"expected at most {to_text(most, source.currency)} taken back, what was billed of {subject}",
        )


def _billed_of_usage(billing: _Billing, subject: str) -> int:
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


def billed_of(books: Books, customer_id: int, subject: str) -> int:
    """What invoices bill of an obligation, less what was credited of it."""
    books.flush()
    found = books.connection.scalar(
        text(
            "select coalesce(sum(l.amount_minor - coalesce((select sum(x.amount_minor) from line_change x"
            "  where x.customer_id = l.customer_id and x.invoice_id = l.invoice_id and x.line = l.line and x.subject = l.subject), 0)), 0)"
            " from obligation_bill l where l.customer_id = :customer_id and l.subject = :subject and l.amount_minor > 0"
        ),
        {"customer_id": customer_id, "subject": subject},
    )
    return int(found or 0)


def _worked_out(billing: _Billing, line: models.InvoiceLine, amount: int) -> int | None:
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
    tolerance = billing.wallets.books.entity(source.entity).amount_tolerance
    if abs(abs(amount) - found) > tolerance:
        less = f" less {line.discount}" if line.discount is not None else ""
        within = f", or within {to_text(tolerance, currency)} of it" if tolerance else ""
        raise Unbalanced(
            "amount",
            f"{line.amount} {currency}",
            f"expected {to_text(found, currency)}: {line.quantity} x {line.unit_price}{less}{within}",
        )
    return -found if amount < 0 else found


def _add_line(books: Books, source: Source, doc: models.Invoice, billed: BilledLine) -> None:
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


def _same_party(field: str, ref: str, found: tuple[str, str], expected: tuple[str, str]) -> None:
    if found[0] != expected[0]:
        raise WrongParty(field, ref, f"is of entity {found[0]}, expected one of entity {expected[0]}")
    if found[1] != expected[1]:
        raise WrongCurrency(field, ref, f"is in {found[1]}, expected {expected[1]}")
