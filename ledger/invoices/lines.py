"""Invoice lines: each billed to what it is for, and what then settles."""

from __future__ import annotations

from ledger.amounts.money import exact_product, round_minor, to_minor, to_text
from ledger.documents import models
from ledger.errors import Refused, Unbalanced
from ledger.invoices.forms import BETWEEN, BilledLine, Billing, own_obligation
from ledger.invoices.line_kinds import BILL, usage_discount
from ledger.invoices.taxes import Rounding, find_codes, given_taxes, line_taxes, tax_movements
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.obligations import obligation_keys, obligation_sides, obligation_subject
from ledger.usage import commitments
from ledger.usage.usage_lines import NET_USAGE, is_taken, note, overage_accounts
from ledger.usage.usage_taken import settle
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, grant_accounts


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
    subject, moved = BILL[line.kind](billing, line, net)
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
