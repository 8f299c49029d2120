"""Invoices as those know them who post to them: subjects, lines, what is billed of obligations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from sqlalchemy import text

from ledger.documents import models
from ledger.errors import Refused, WrongCurrency, WrongParty
from ledger.invoices import coupons
from ledger.invoices.taxes import Tax, default_codes
from ledger.journal.books import Books
from ledger.journal.movements import Customer, Movement, Source
from ledger.obligations import Obligations, obligation_subject, promised
from ledger.wallets.session import Wallets

OPENING = "opening"  # the subject of what was taken over of invoices from another system
BETWEEN = "between"  # the kind of a line that stands, where it is collected, for another entity's
CUSTOMER = "customer"  # the subject of a customer's balance


@dataclass(frozen=True, slots=True)
class Receivable:
    """An invoice's receivable, as payments need it: it counts from `recorded_on`, at a `rate` that is locked."""

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
class InvoiceTerms:
    """What is looked up for an invoice before anything of it is gathered.

    The taxes of lines that name none, its coupons, when it is due, and the day its receivable counts from.
    """

    tax_codes: Sequence[str]
    coupons: Mapping[str, coupons.KnownCoupon]
    due_on: date
    recorded_on: date


@dataclass(slots=True)
class Billing:
    """An invoice while its lines are decided; `billed` is what earlier lines billed, by subject, `below` what lines credit.

    `parts` are what lines that bill a contract bill of its obligations; `credited` is what `below` comes to by what it is of, and
    `covering` the lines of earlier invoices that one below zero may correct, by product and days.
    """

    wallets: Wallets
    source: Source
    doc: models.Invoice
    day: date
    terms: InvoiceTerms
    master: str | None
    obligations: Obligations
    billed: Counter[str] = field(default_factory=Counter)
    below: list[tuple[models.InvoiceLine, str, int]] = field(default_factory=list)
    parts: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    credited: Counter[str] = field(default_factory=Counter)
    covering: dict[tuple[str | None, date | None, date | None], dict[str, int]] = field(default_factory=dict)

    def credit(self, line: models.InvoiceLine, subject: str, amount: int) -> None:
        """Have a line below zero correct what it is of."""
        self.below.append((line, subject, amount))
        self.credited[subject] += amount

    @property
    def subject(self) -> str:
        """The subject of its receivable."""
        return invoice_subject(self.doc.id)


def look_up(books: Books, doc: models.Invoice) -> InvoiceTerms:
    """An invoice's terms. Raises UnknownReference, Refused where nothing says when it is due; may write what was gathered before."""
    customer = books.parties.customer(doc.customer, doc.issued_on)
    due_on = _due_on(customer, doc)
    return InvoiceTerms(
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
        (
            line.obligation is not None
            and promised(books, customer_id, obligation_subject(line.obligation)).receivable == "unconditional"
        )
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


def same_party(field: str, ref: str, found: tuple[str, str], expected: tuple[str, str]) -> None:
    """Raise WrongParty or WrongCurrency where what a field names is of another entity, or in another currency."""
    if found[0] != expected[0]:
        raise WrongParty(field, ref, f"is of entity {found[0]}, expected one of entity {expected[0]}")
    if found[1] != expected[1]:
        raise WrongCurrency(field, ref, f"is in {found[1]}, expected {expected[1]}")
