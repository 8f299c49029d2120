"""Contracts: identified, priced, and their price allocated to their obligations.

Each obligation is given its accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from ledger.amounts.money import allocate, to_decimal, to_minor, to_text, within_limit
from ledger.errors import InvalidDocument, Unbalanced, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import AccountKey, Source
from ledger.obligations import Promised, obligation_keys, obligation_subject, require_free
from ledger.wallets.session import Wallets
from revrec.contracts.combination import combine
from revrec.documents.contracts import Contract, ContractObligation, measured
from revrec.earn.progress import add_milestones, worths
from revrec.price import financing
from revrec.stand_alone_prices import Catalogue, range_of


def prices(doc: Contract, catalogue: Catalogue) -> list[int]:
    """Each obligation's share of the transaction price, in minor units.

    Prices given one by one stand as given; one price for the contract is allocated by relative stand-alone selling
    price (606-10-32-31). Usage has prices of its own and no share. Raises where prices contradict each other, or a
    stand-alone price is missing.
    """
    fixed = [(index, item) for index, item in enumerate(doc.obligations) if item.pattern != "usage"]
    shares = [0] * len(doc.obligations)
    for (index, _), amount in zip(fixed, _fixed_prices(doc, fixed, catalogue), strict=True):
        shares[index] = amount
    return shares


_Numbered = Sequence[tuple[int, ContractObligation]]


def _fixed_prices(doc: Contract, obligations: _Numbered, catalogue: Catalogue) -> list[int]:
    own = [item.price for _, item in obligations]
    if doc.price is None:
        for index, item in obligations:
            if item.price is None:
                raise InvalidDocument(
                    f"obligations.{index}.price", "missing", "expected a price here, or one price for the contract"
                )
        return [to_minor(price, doc.currency, "price") for price in own if price is not None]
    total = to_minor(doc.price, doc.currency, "price")
    if all(price is not None for price in own):
        if doc.bundles:
            raise InvalidDocument(
                "bundles", f"{len(doc.bundles)}", "expected none where every obligation has its price"
            )
        given = [to_minor(price, doc.currency, "price") for price in own if price is not None]
        if sum(given) != total:
            raise Unbalanced(
                "price", doc.price, f"expected {to_text(sum(given), doc.currency)}, what obligations sum to"
            )
        return given
    return _allocated(doc, total, obligations, catalogue)


def _allocated(doc: Contract, total: int, obligations: _Numbered, catalogue: Catalogue) -> list[int]:
    """One price, allocated over obligations.

    Bundles take their own, the residual what stand-alone prices leave, the others the rest by these. A discount that is not a bundle's is
    everybody's (606-10-32-36).
    """
    currency = doc.currency
    shares: dict[str, int] = {}
    by_ref = {item.id: (index, item) for index, item in obligations}
    for number, bundle in enumerate(doc.bundles):
        for place, ref in enumerate(bundle.obligations):
            if ref not in by_ref or by_ref[ref][1].residual:
                raise UnknownReference(
                    f"bundles.{number}.obligations.{place}",
                    ref,
                    "expected an obligation of the contract with a stand-alone price",
                )
        price = to_minor(bundle.price, currency, f"bundles.{number}.price")
        weights = _stand_alone_prices([by_ref[ref] for ref in bundle.obligations], currency, catalogue)
        if price > sum(weights):
            raise InvalidDocument(
                f"bundles.{number}.price",
                bundle.price,
                f"expected at most {to_text(sum(weights), currency)}, sold one by one",
            )
        shares |= dict(zip(bundle.obligations, allocate(price, weights), strict=True))
    left = total - sum(shares.values())
    others = [(index, item) for index, item in obligations if item.id not in shares and not item.residual]
    weights = _stand_alone_prices(others, currency, catalogue)
    residual = next(((index, item) for index, item in obligations if item.residual), None)
    if residual is not None:
        index, item = residual
        rest = left - sum(weights)
        _require_inrange_of(rest, index, item, currency, catalogue)
        shares |= {item.id: rest} | {other.id: weight for (_, other), weight in zip(others, weights, strict=True)}
    elif others:
        if left <= 0:
            raise InvalidDocument(
                "price", doc.price or "", f"expected more than bundles take of it, {to_text(total - left, currency)}"
            )
        shares |= dict(zip((other.id for _, other in others), allocate(left, weights), strict=True))
    elif left:
        raise Unbalanced("price", doc.price or "", f"expected {to_text(total - left, currency)}, what bundles sum to")
    return [shares[item.id] for _, item in obligations]


def _require_inrange_of(amount: int, index: int, item: ContractObligation, currency: str, catalogue: Catalogue) -> None:
    """Raise where what is left for a residual obligation is no price to sell it for.

    606-10-32-35, 55-269.
    """
    low, high = range_of(index, item, currency, catalogue) or (1, None)
    if amount < low or (high is not None and amount > high):
        to = (
            f"{to_text(low, currency)} or more"
            if high is None
            else f"{to_text(low, currency)} to {to_text(high, currency)}"
        )
        raise InvalidDocument(
            f"obligations.{index}.residual",
            f"{to_text(amount, currency)} {currency}",
            f"expected {to}: what is left is no price of it; give it an estimated ssp instead",
        )


def _stand_alone_prices(obligations: _Numbered, currency: str, catalogue: Catalogue) -> list[int]:
    found = []
    for index, item in obligations:
        if item.price is not None:
            raise InvalidDocument(
                f"obligations.{index}.price", item.price, "expected a price on each obligation, or on none"
            )
        if item.ssp is None:
            raise InvalidDocument(
                f"obligations.{index}.ssp",
                "missing",
                f"expected a stand-alone selling price to allocate the price by, here or in the catalogue for {item.product}",
            )
        ssp = to_minor(item.ssp, currency, f"obligations.{index}.ssp")
        bounds = range_of(index, item, currency, catalogue)
        if bounds is not None and not bounds[0] <= ssp <= bounds[1]:
            raise InvalidDocument(
                f"obligations.{index}.ssp",
                item.ssp,
                f"expected {to_text(bounds[0], currency)} to {to_text(bounds[1], currency)}, its range",
            )
        found.append(ssp)
    return found


def _with_catalogue_prices(doc: Contract, catalogue: Catalogue) -> Contract:
    """The contract with the catalogue's stand-alone prices where it gives none and needs them."""
    if doc.price is None and doc.combined_with is None:
        return doc
    found = []
    for item in doc.obligations:
        known = None
        if (
            item.ssp is None
            and not item.residual
            and item.pattern != "usage"
            and (item.price is None or doc.combined_with)
        ):
            known = catalogue.find(item.product, item.quantity)
        ssp = None if known is None else to_decimal(known.price, doc.currency)
        found.append(item if ssp is None else item.model_copy(update={"ssp": ssp}))
    return doc.model_copy(update={"obligations": found})


_OVER_TIME = ("daily", "monthly", "monthly_prorated", "usage")


def refuse_overlaps(obligations: _Numbered) -> None:
    """Raise InvalidDocument where a product is promised twice over the same days.

    What is given counts once.
    """
    found: dict[str, list[tuple[date, date, int, ContractObligation]]] = {}
    for index, item in obligations:
        if item.pattern in _OVER_TIME:
            found.setdefault(item.product, []).append((item.start, item.end or date.max, index, item))
    for product, terms in found.items():
        terms.sort(key=lambda term: term[:3])
        for (_, ends, _, before), (starts, _, index, item) in pairwise(terms):
            if starts <= ends:
                raise InvalidDocument(
                    f"obligations.{index}.start", starts,
                    f"expected a day after {ends}: {before.id} promises {product} until then, and {item.id} promises it again; "
                    "make them one obligation, or sell what differs as a product of its own",
                )  # fmt: skip


def post_contract(wallets: Wallets, doc: Contract, document_id: int) -> int:
    """Take a contract in. Nothing is posted by it: revenue is, as its obligations are satisfied."""
    books = wallets.books
    source = books.source(document_id, doc.customer, doc.entity, doc.currency, doc.signed_on)
    customer_id = source.customer.customer_id
    catalogue = Catalogue(books, doc.currency, doc.signed_on)
    refuse_overlaps(list(enumerate(doc.obligations)))
    own_price = doc.price is None
    doc = doc.model_copy(update={"obligations": [measured(item, own_price=own_price) for item in doc.obligations]})
    doc = _with_catalogue_prices(doc, catalogue)
    shares = prices(doc, catalogue)
    combined = combine(books, doc, document_id, shares)
    shares = combined.shares
    financed = financing.discounted(doc, shares)
    shares = [share if loan is None else loan.price for share, loan in zip(shares, financed, strict=True)]
    within_limit(sum(shares), doc.currency, "obligations")
    new = [new_obligation(books, source, f"obligations.{index}", item) for index, item in enumerate(doc.obligations)]
    books.add_row(
        "contract",
        customer_id=customer_id,
        contract_id=document_id,
        ref=doc.id,
        entity=doc.entity,
        currency=doc.currency,
        signed_on=doc.signed_on,
        price_minor=sum(shares),
        receivable=doc.receivable,
        package=combined.package,
        combined_because=doc.combined_because,
    )
    if doc.draw_order is not None:
        wallets.set_draw_order(customer_id, doc.id, doc.draw_order)
    for obligation, price, loan in zip(new, shares, financed, strict=True):
        add_obligation(books, source, document_id, obligation, price)
        subject = obligation_subject(obligation.item.id)
        books.remember("obligation", subject, Promised(doc.receivable, obligation.item.pattern))
        if loan is not None:
            financing.keep(books, source, subject, loan)
    combined.keep(books)
    return customer_id


@dataclass(frozen=True, slots=True)
class NewObligation:
    """An obligation that nothing stands against, with its accounts.

    Contract liability, contract asset, revenue. `ssp` is its stand-alone price and `milestones` what each is worth, in minor units.
    """

    item: ContractObligation
    keys: tuple[AccountKey, AccountKey, AccountKey]
    ssp: int | None
    milestones: dict[str, int]


def new_obligation(books: Books, source: Source, field: str, item: ContractObligation) -> NewObligation:
    """An obligation as a document gives it in a field. Raises where its product is unknown or its id is taken."""
    books.parties.require_product(item.product, f"{field}.product")
    keys = obligation_keys(source.entity, source.currency, obligation_subject(item.id), item.product)
    require_free(books, source.customer, f"{field}.id", item.id)
    ssp = None if item.ssp is None else to_minor(item.ssp, source.currency, f"{field}.ssp")
    return NewObligation(item, keys, ssp, worths(item, source.currency, field))


@dataclass(frozen=True, slots=True)
class Counted:
    """How an obligation that came later counts, from which day, and why; which one it renews."""

    on: date
    treatment: str
    reason: str
    renews: str | None = None


def add_obligation(
    books: Books, source: Source, contract_id: int, new: NewObligation, price: int, counted: Counted | None = None
) -> None:
    """Gather an obligation of a contract.

    `counted` says how one that a later document adds does.
    """
    item = new.item
    customer_id = source.customer.customer_id
    deferred, unbilled, revenue = (books.account(customer_id, key) for key in new.keys)
    ends_on = item.start if item.pattern == "point_in_time" else item.end
    books.add_row(
        "obligation",
        customer_id=customer_id,
        contract_id=contract_id,
        ref=item.id,
        product=item.product,
        price_minor=price,
        ssp_minor=new.ssp,
        pattern=item.pattern,
        starts_on=item.start,
        ends_on=ends_on,
        quantity=item.quantity,
        added_on=None if counted is None else counted.on,
        document_id=source.document_id,
        treatment=None if counted is None else counted.treatment,
        reason=None if counted is None else counted.reason,
        renews=None if counted is None else counted.renews,
        deferred_account=deferred,
        unbilled_account=unbilled,
        revenue_account=revenue,
    )
    add_milestones(books, source, obligation_subject(item.id), new.milestones)
