"""Contracts that go on for another term, and contracts that end: renewals and terminations.

A renewal is a contract of its own for what it promises: nothing promised before changes by it (606-10-25-12), unless an option
to renew was a material right, which the contract then holds as an obligation (55-42). A termination is a modification: what
is promised no longer leaves the price, and a penalty is part of the price of what is still given, so that it is earned over the
notice period, or at once where nothing is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import cast

from ledger.amounts.money import to_minor, within_limit
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.obligations import Promised, obligation_subject
from ledger.wallets.session import Wallets
from revrec.contracts.contracts import Counted, NewObligation, add_obligation, new_obligation, refuse_overlaps
from revrec.documents.contract_changes import ContractRenewal, ContractTermination, Renewal
from revrec.documents.contracts import ContractObligation, ContractPattern
from revrec.terms.events import Promise
from revrec.terms.happened import curve_of, last_day, renewed, terminated
from revrec.terms.plans import Plan
from revrec.terms.versions import Agreed, add_change, all_standing, find_contract, standing_of


def post_renewal(wallets: Wallets, doc: ContractRenewal, document_id: int) -> int:
    """Take a renewal in: each renewed obligation for another term, an obligation of its own.

    Raises UnknownReference for an obligation the contract has not, Refused for one that is cancelled or whose term is not over
    when the new one starts.
    """
    books = wallets.books
    contract = find_contract(books, doc.contract, doc.date)
    source = contract.source(books, document_id, doc.date)
    items = [_renewed(books, contract, renewal, index, doc.date) for index, renewal in enumerate(doc.obligations)]
    refuse_overlaps([(index, item) for index, (item, _) in enumerate(items)])
    new = [
        (new_obligation(books, source, f"obligations.{index}", item), price)
        for index, (item, price) in enumerate(items)
    ]
    promised = [
        (_promise(contract, obligation, price, document_id, doc.date), renewal.renews)
        for (obligation, price), renewal in zip(new, doc.obligations, strict=True)
    ]
    plan = Plan.of(books, contract.party, document_id, renewed(doc, document_id, contract.currency, promised))
    add_change(books, contract, document_id, doc.id, doc.date)
    for (obligation, _), renewal in zip(new, doc.obligations, strict=True):
        version = plan.folded.versions[obligation_subject(obligation.item.id)][0]
        counted = Counted(doc.date, "separate", version.reason, renewal.renews)
        add_obligation(books, source, contract.contract_id, obligation, version.terms.price, counted)
        known = Promised(contract.receivable, obligation.item.pattern)
        books.remember("obligation", obligation_subject(obligation.item.id), known)
    plan.keep()
    return contract.customer_id


def _promise(contract: Agreed, new: NewObligation, price: int, document_id: int, on: date) -> Promise:
    curve = curve_of(new.item)
    subject = obligation_subject(new.item.id)
    return Promise(subject, contract.ref, new.item.product, curve, price, new.ssp, on, document_id)


def _renewed(books: Books, contract: Agreed, renewal: Renewal, index: int, on: date) -> tuple[ContractObligation, int]:
    """A renewed obligation and its price, by its terms on a day."""
    field = f"obligations.{index}"
    standing = standing_of(books, contract, renewal.renews, on)
    if standing is None:
        raise UnknownReference(
            f"{field}.renews", renewal.renews, f"expected the id of an obligation of contract {contract.ref}"
        )
    if standing.ended:
        raise Refused(
            f"{field}.renews",
            renewal.renews,
            "expected an obligation that ran its term: it is cancelled; promise it anew",
        )
    if standing.ends_on is None or standing.pattern in ("point_in_time", "progress"):
        raise Refused(f"{field}.renews", renewal.renews, "expected an obligation with a term, by time or by usage")
    start = renewal.start or standing.ends_on + timedelta(days=1)
    if start <= standing.ends_on:
        raise Refused(
            f"{field}.start", start, f"expected a day after {standing.ends_on}, when the term before ends; a running term is "
            "extended by a contract_modification"
        )  # fmt: skip
    if renewal.end < start:
        raise Refused(f"{field}.end", renewal.end, f"expected {start}, when it starts, or later")
    price = 0 if standing.pattern == "usage" else standing.price
    if renewal.price is not None:
        if standing.pattern == "usage":
            raise Refused(f"{field}.price", renewal.price, "expected none for pattern usage: usage has its prices")
        price = within_limit(
            to_minor(renewal.price, contract.currency, f"{field}.price"), contract.currency, f"{field}.price"
        )
    item = ContractObligation.model_construct(
        id=renewal.id, product=standing.product, price=renewal.price, ssp=renewal.ssp, ssp_range=None, residual=False,
        start=start, end=renewal.end, pattern=cast("ContractPattern", standing.pattern), quantity=standing.quantity, milestones=None,
    )  # fmt: skip
    return item, price


def post_termination(wallets: Wallets, doc: ContractTermination, document_id: int) -> int:
    """Take a termination in.

    What goes on until the contract ends is earned until then, the rest is no longer promised. Raises Refused where everything has ended
    already, or for what is earned by progress and would go on: nobody knows how far.
    """
    books = wallets.books
    contract = find_contract(books, doc.contract, doc.date)
    source = contract.source(books, document_id, doc.date)
    ends = last_day(doc)
    if not any(standing.goes_on_after(ends) for standing in all_standing(books.connection, contract, doc.date)):
        raise Refused(
            "contract", doc.contract, f"expected one of which something goes on after {ends}: all of it ends by then"
        )
    penalty = None
    if doc.penalty is not None:
        at_once = ends < doc.date
        item = ContractObligation.model_construct(
            id=doc.penalty.id, product=doc.penalty.product, price=doc.penalty.amount, ssp=None, ssp_range=None, residual=False,
            start=doc.date, end=None if at_once else ends, pattern="point_in_time" if at_once else "daily", quantity=None,
            milestones=None,
        )  # fmt: skip
        penalty = new_obligation(books, source, "penalty", item)
        price = to_minor(doc.penalty.amount, contract.currency, "penalty.amount")
        within_limit(price, contract.currency, "penalty.amount")
        why = "earned at once: nothing more is given" if at_once else f"earned over what is still given, to {ends}"
        counted = Counted(doc.date, "penalty", f"for leaving, part of the price; {why} (606-10-25-13(a))")
    leaving = None
    if penalty is not None:
        promise = _promise(contract, penalty, price, document_id, doc.date)
        leaving = replace(promise, treatment="penalty", reason=counted.reason)
    plan = Plan.of(books, contract.party, document_id, terminated(doc, document_id, leaving))
    add_change(books, contract, document_id, doc.id, doc.date)
    if penalty is not None:
        add_obligation(books, source, contract.contract_id, penalty, price, counted)
        known = Promised(contract.receivable, penalty.item.pattern)
        books.remember("obligation", obligation_subject(penalty.item.id), known)
    plan.keep()
    return contract.customer_id
