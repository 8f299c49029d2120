"""Contract modifications: what an obligation becomes from a day on.

Every version before stays. A modification is separate, prospective or a catch-up (606-10-25-12 and 25-13), obligation by obligation; what
it makes of them is folded with all that happened to the contract (`changes`).
"""

from __future__ import annotations

from ledger.amounts.money import to_text
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import Source
from ledger.obligations import Promised, obligation_subject
from ledger.wallets.session import Wallets
from revrec.contracts.contracts import Counted, NewObligation, add_obligation, new_obligation, refuse_overlaps
from revrec.documents.contract_changes import ContractModification, ModifiedObligation
from revrec.documents.contracts import measured
from revrec.earn.progress import add_milestones, require_reached
from revrec.terms.changes.folded import TooLittle
from revrec.terms.events import Promise
from revrec.terms.happened import curve_of, modified, price_of
from revrec.terms.plans import Plan
from revrec.terms.versions import Agreed, Standing, add_change, find_contract, standing_of


def post_modification(wallets: Wallets, doc: ContractModification, document_id: int) -> int:
    """Take a modification in. Nothing is posted by it: the next recognition runs by the new terms."""
    books = wallets.books
    contract = find_contract(books, doc.contract, doc.date)
    source = contract.source(books, document_id, doc.date)
    refuse_overlaps(list(enumerate(doc.obligations)))
    milestones: dict[str, dict[str, int]] = {}
    new: list[NewObligation] = []
    for index, given in enumerate(doc.obligations):
        item = measured(given, own_price=True)
        standing = standing_of(books, contract, item.id)
        if standing is None:
            new.append(new_obligation(books, source, f"obligations.{index}", item))
            price_of(item, index, source.currency)
        else:
            milestones[standing.subject] = _check_changed(books, source, doc, index, item, standing)
    _check_cancelled(books, contract, doc)
    promised = {item.item.id: promise_of(contract, item, 0, document_id, doc) for item in new}
    event = modified(books, source.currency, doc, document_id, promised)
    try:
        plan = Plan.of(books, contract.party, document_id, event)
    except TooLittle as little:
        raise _too_little(doc, little, source.currency) from None
    add_change(books, contract, document_id, doc.id, doc.date)
    for added in new:
        subject = obligation_subject(added.item.id)
        promise = plan.folded.versions[subject][0]
        counted = Counted(doc.date, promise.treatment, promise.reason)
        add_obligation(books, source, contract.contract_id, added, promise.terms.price, counted)
        books.remember("obligation", subject, Promised(contract.receivable, added.item.pattern))
    for subject, reached in milestones.items():
        add_milestones(books, source, subject, reached)
    plan.keep()
    return contract.customer_id


def promise_of(
    contract: Agreed, new: NewObligation, price: int, document_id: int, doc: ContractModification
) -> Promise:
    """An obligation that a document adds to a contract, as it is promised."""
    item = new.item
    return Promise(
        obligation_subject(item.id), contract.ref, item.product, curve_of(item), price, new.ssp, doc.date, document_id
    )


def _check_changed(
    books: Books, source: Source, doc: ContractModification, index: int, item: ModifiedObligation, standing: Standing
) -> dict[str, int]:
    """The milestones of a changed obligation. Raises Refused where it can't be what the document makes it."""
    field = f"obligations.{index}"
    if item.product != standing.product:
        raise Refused(f"{field}.product", item.product, f"expected {standing.product}, which {item.id} is of")
    treatment = item.treatment or doc.treatment
    if treatment == "separate":
        raise Refused(
            "treatment" if item.treatment is None else f"{field}.treatment",
            treatment,
            f"expected only new obligations; {item.id} is one of the contract already",
        )
    if treatment in ("auto", "prospective") and item.end is not None and item.end < doc.date:
        raise Refused(f"{field}.end", item.end, f"expected {doc.date}, from when the change counts, or later")
    price_of(item, index, source.currency)
    return require_reached(books, source, standing, item, index)


def _check_cancelled(books: Books, contract: Agreed, doc: ContractModification) -> None:
    for ref in doc.cancel:
        standing = standing_of(books, contract, ref)
        if standing is None:
            raise UnknownReference("cancel", ref, f"expected the id of an obligation of contract {doc.contract}")


def _too_little(doc: ContractModification, little: TooLittle, currency: str) -> Refused:
    ref = little.subject.removeprefix("obligation:")
    index = next(index for index, item in enumerate(doc.obligations) if item.id == ref)
    least, earned = to_text(little.earned - little.on_top, currency), to_text(little.earned, currency)
    taken = (
        f", and {to_text(-little.on_top, currency)} was credited, given up or taken off" if little.on_top < 0 else ""
    )
    on_top = f", less {to_text(little.on_top, currency)} of components on top" if little.on_top > 0 else ""
    return Refused(
        f"obligations.{index}.price", str(doc.obligations[index].price),
        f"expected at least {least}: {earned} is earned of it before {doc.date}{taken}{on_top}",
    )  # fmt: skip
