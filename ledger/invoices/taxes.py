"""Taxes: what a line bears of each of its tax codes, and how it is rounded.

Tax is rounded half up, as tax authorities and the accounting systems do (Xero: 15 % of 25.06, 25.61 and 25.63 is 11.44
by line and 11.45 by invoice); everything else in the books is rounded half-even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import text
from stdnum import get_cc_module

from ledger.accounts.house import HOUSE
from ledger.amounts.money import exponent, share, to_decimal, to_minor
from ledger.documents import models
from ledger.errors import InvalidDocument, Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Customer, Movement
from ledger.wallets.session import Wallets


@dataclass(frozen=True, slots=True)
class TaxCode:
    """A tax: a rate, an amount a line in the line's currency, or both; on top of the price, or included in it."""

    code: str
    rate: Decimal
    fixed: Decimal
    inclusive: bool
    compound: bool


@dataclass(frozen=True, slots=True)
class Tax:
    """What a line bears of a tax. Amounts in minor units; an untaxed customer's tax is 0, its base is kept.

    `computed` is what it comes to here, where its document gives it.
    """

    code: str
    treatment: str
    base: int
    tax: int
    included: bool
    computed: int | None = None


def tax_subject(code: str) -> str:
    """The subject of a tax code's accounts."""
    return f"tax:{code}"


def _round(exact: Fraction) -> int:
    """Half up, away from zero."""
    sign = -1 if exact < 0 else 1
    whole = (abs(exact) * 2 + 1) // 2
    return sign * int(whole)


@dataclass(slots=True)
class Rounding:
    """How the taxes of an invoice are rounded: line by line, or so that each tax's sum over the lines is rounded once."""

    by_invoice: bool
    _exact: dict[str, Fraction] = field(default_factory=dict)
    _given: dict[str, int] = field(default_factory=dict)

    def amount(self, code: str, exact: Fraction) -> int:
        """The tax of one line in minor units."""
        if not self.by_invoice:
            return _round(exact)
        total = self._exact.get(code, Fraction(0)) + exact
        before = self._given.get(code, 0)
        self._exact[code], self._given[code] = total, _round(total)
        return self._given[code] - before


def _exact_taxes(net: Fraction, codes: Sequence[TaxCode], scale: int) -> list[tuple[Fraction, Fraction]]:
    """(base, tax) of each code on a net amount in minor units, in their order."""
    found = []
    charged = Fraction(0)
    for code in codes:
        base = net + charged if code.compound else net
        tax = base * Fraction(code.rate) + Fraction(code.fixed) * scale
        found.append((base, tax))
        charged += tax
    return found


def line_taxes(
    amount: int, codes: Sequence[TaxCode], status: str, currency: str, rounding: Rounding
) -> tuple[int, list[Tax]]:
    """(net amount, taxes) of a line whose amount is before exclusive and with inclusive taxes.

    An exempt or reverse-charge customer pays the amount as it is: base only, and the treatment says which.
    """
    return _net_of(amount, _worked_out(amount, codes, status, currency, rounding))


def given_taxes(
    amount: int,
    codes: Sequence[TaxCode],
    given: Sequence[models.TaxGiven],
    status: str,
    currency: str,
    rounding: Rounding,
) -> tuple[int, list[Tax]]:
    """(net amount, taxes) of a line whose taxes its document gives, by code; what they come to here is kept beside them.

    Raises Refused for a tax of a customer who bears none.
    """
    taxes = []
    for place, (tax, by) in enumerate(zip(_worked_out(amount, codes, status, currency, rounding), given, strict=True)):
        stated = to_minor(by.amount, currency, f"taxes.{place}.amount")
        if stated and status != "taxable":
            raise Refused(
                f"taxes.{place}.amount", by.amount, f"expected 0: the customer's tax_status is {status}, and bears none"
            )
        base = to_minor(by.base, currency, f"taxes.{place}.base")
        taxes.append(replace(tax, base=base, tax=stated, computed=tax.tax))
    return _net_of(amount, taxes)


def spread(doc: models.Invoice) -> models.Invoice:
    """An invoice with what it gives of taxes as a whole given line by line: over those that bear a code, by their amounts.

    A line that names no codes bears each. Raises Refused for a tax that no line bears.
    """
    if doc.taxes is None:
        return doc
    of_lines: list[list[models.TaxGiven]] = [[] for _ in doc.lines]
    for place, tax in enumerate(doc.taxes):
        bearing = [
            index for index, line in enumerate(doc.lines)
            if line.kind != "opening" and (line.tax_codes is None or tax.code in line.tax_codes)
        ]  # fmt: skip
        amounts = [to_minor(doc.lines[index].amount, doc.currency, f"lines.{index}.amount") for index in bearing]
        parts = {
            name: _parts(
                to_minor(given, doc.currency, f"taxes.{place}.{name}"), amounts, f"taxes.{place}.{name}", given
            )
            for name, given in (("base", tax.base), ("amount", tax.amount))
        }
        for at, index in enumerate(bearing):
            base, amount = (to_decimal(parts[name][at], doc.currency) for name in ("base", "amount"))
            of_lines[index].append(models.TaxGiven.model_construct(code=tax.code, base=base, amount=amount))
    lines = [
        line.model_copy(update={"taxes": given, "tax_codes": None} if given else {"tax_codes": []})
        for line, given in zip(doc.lines, of_lines, strict=True)
    ]
    return doc.model_copy(update={"lines": lines})


def _parts(given: int, amounts: Sequence[int], field_name: str, stated: Decimal) -> list[int]:
    """What is given of a tax by the amounts it is of, cumulatively rounded. Raises Refused where they come to nothing, or to less."""
    whole = sum(amounts)
    if given * whole < 0 or (given and not whole):
        expected = "the sign of the lines that bear it" if whole else "0: the lines that bear it come to 0"
        raise Refused(field_name, stated, f"expected {expected}")
    sign = -1 if whole < 0 else 1
    found, reached = [], 0
    for amount in amounts:
        before, reached = reached, reached + sign * amount
        found.append(share(given, reached, abs(whole)) - share(given, before, abs(whole)) if whole else 0)
    return found


def _net_of(amount: int, taxes: list[Tax]) -> tuple[int, list[Tax]]:
    included = sum(tax.tax for tax in taxes if tax.included)
    if included and abs(included) >= abs(amount):
        raise InvalidDocument(
            "tax_codes", [tax.code for tax in taxes if tax.included], "expected taxes below the amount they are in"
        )
    return amount - included, taxes


def _worked_out(amount: int, codes: Sequence[TaxCode], status: str, currency: str, rounding: Rounding) -> list[Tax]:
    """What an amount bears of tax codes, in their order."""
    if status != "taxable":
        return [Tax(code.code, status, amount, 0, code.inclusive) for code in codes]
    # a line that credits gives back what the same line would have charged, fixed amounts included
    scale = (-1 if amount < 0 else 1) * 10 ** exponent(currency)
    inclusive = [code for code in codes if code.inclusive]
    net = Fraction(amount)
    if inclusive:
        # Taxes are linear in the net amount: two points give the line that `amount` lies on.
        at_zero = sum((tax for _, tax in _exact_taxes(Fraction(0), inclusive, scale)), Fraction(0))
        at_one = 1 + sum((tax for _, tax in _exact_taxes(Fraction(1), inclusive, scale)), Fraction(0))
        net = (amount - at_zero) / (at_one - at_zero)
    return [
        Tax(code.code, status, _round(base), rounding.amount(code.code, tax), code.inclusive)
        for code, (base, tax) in zip(codes, _exact_taxes(net, codes, scale), strict=True)
    ]


def tax_movements(taxes: Sequence[Tax], invoice: str) -> list[Movement]:
    """What the taxes of an invoice line move: the tax is owed to the authority, the base is noted."""
    movements = []
    for tax in taxes:
        subject = tax_subject(tax.code)
        if tax.base < 0 or tax.tax < 0:
            movements.append(Movement("credit.tax", -tax.tax, subject, invoice))
            movements.append(Movement("credit.tax_base", -tax.base, subject, subject))
        else:
            movements.append(Movement("invoice.tax", tax.tax, invoice, subject))
            movements.append(Movement("invoice.tax_base", tax.base, subject, subject))
    return movements


def find_codes(books: Books, refs: Sequence[str], field_name: str = "tax_codes") -> list[TaxCode]:
    """Tax codes by id, in the order given. Raises UnknownReference."""
    found = []
    for ref in refs:
        code: TaxCode | None = books.recall("tax_code", ref)
        if code is None:
            row: Any = books.connection.execute(
                text("select tax_code, rate, fixed, inclusive, compound from tax_code where tax_code = :ref"),
                {"ref": ref},
            ).first()
            if row is None:
                raise UnknownReference(field_name, ref, "expected the id of a tax code posted before")
            code = TaxCode(*row)
        found.append(code)
    return found


def require_code(books: Books, ref: str, field: str) -> None:
    """Raise UnknownReference of a field unless it names a tax code."""
    try:
        find_codes(books, [ref])
    except UnknownReference as refusal:
        raise refusal.renamed(field) from None


def default_codes(books: Books, customer: Customer) -> Sequence[str]:
    """The codes of a line that names none: the customer's own, else those of its country, in order of their ids."""
    if customer.tax_codes is not None:
        return customer.tax_codes
    if customer.country is None:
        return ()
    known = books.parties.country_tax_codes.get(customer.country)
    if known is None:
        books.flush()
        found = books.connection.scalars(
            text("select tax_code from tax_code where :country = any(countries) order by tax_code"),
            {"country": customer.country},
        )
        known = books.parties.country_tax_codes[customer.country] = tuple(found)
    return known


def post_tax_code(wallets: Wallets, doc: models.TaxCode, _document_id: int) -> int:
    """Take a tax code in."""
    code = TaxCode(doc.id, doc.rate or Decimal(0), doc.fixed or Decimal(0), doc.inclusive, doc.compound)
    wallets.books.add_row(
        "tax_code",
        tax_code=doc.id,
        name=doc.name,
        rate=code.rate,
        fixed=code.fixed,
        inclusive=code.inclusive,
        compound=code.compound,
        countries=doc.countries,
    )
    wallets.books.remember("tax_code", doc.id, code)
    wallets.books.parties.country_tax_codes.clear()
    return HOUSE


def require_tax_id(customer: Customer) -> None:
    """Raise InvalidDocument where a reverse-charge customer's tax id is missing or wrong for its country.

    The number's form and check digits are tested (python-stdnum); that it is registered is for VIES to say.
    """
    if customer.tax_status != "reverse_charge":
        return
    if not customer.country or not customer.tax_id:
        missing = "tax_id" if customer.country else "country"
        raise InvalidDocument(missing, "missing", "expected for a customer with tax_status reverse_charge")
    checker = get_cc_module(customer.country.lower(), "vat")
    if checker is None:
        raise InvalidDocument(
            "country", customer.country, "expected a country whose VAT numbers are known, for reverse_charge"
        )
    if not checker.is_valid(customer.tax_id):
        raise InvalidDocument("tax_id", customer.tax_id, f"expected a valid VAT number of {customer.country}")
