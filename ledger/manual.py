"""Manual entries: what no document of a billing system says.

With a reason and a second person's approval. They take over opening balances from another system, too: against `opening_balances`, onto
the invoices, grants and obligations that carry them on.
"""

from __future__ import annotations

from datetime import date, timedelta

from ledger.accounts.chart import CLEARING, ROLES
from ledger.accounts.house import HOUSE_REF
from ledger.amounts.money import to_minor, to_text
from ledger.approval.approve import approve
from ledger.cash import uses
from ledger.cash.money_accounts import find_of
from ledger.cash.uses import Piece
from ledger.documents import models
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.invoices.taxes import require_code
from ledger.journal.books import Books
from ledger.journal.by_date import available
from ledger.journal.movements import MONEY_ACCOUNT, AccountKey, Movement, Source
from ledger.obligations import obligation_sides
from ledger.payments.settlements import find_invoice
from ledger.wallets.grants import NET_GRANT, Funding, grant_accounts
from ledger.wallets.session import Wallets

# The subject of what a manual entry posts to an account without saying what it is about.
MANUAL = "manual"

# What a manual entry may name on an account of a role, and must exist.
_SUBJECTS = {
    "cash": ("account", "rail"),
    "due_from_entities": ("entity",),
    "due_to_entities": ("entity",),
    "accounts_receivable": ("invoice",),
    "tax_payable": ("tax",),
    "tax_withheld": ("tax",),
    "customer_credits": ("grant",),
    "deferred_revenue": ("obligation",),
    "unbilled_receivable": ("obligation",),
}
_RAILS = ("card", "ach", "wire", "check", "external")


def post_manual_entry(wallets: Wallets, doc: models.ManualEntry, document_id: int) -> int:
    """Post the lines as given. Raises Refused without a second person, or where a line would overdraw what it names."""
    books = wallets.books
    by_customer: dict[str, list[Movement]] = {}
    taken: _Taken = {}
    for index, line in enumerate(doc.lines):
        source = books.source(document_id, line.customer or HOUSE_REF, doc.entity, doc.currency, doc.date)
        try:
            movement = _movement(wallets, source, line, doc.date, taken)
        except Refused as refusal:
            raise refusal.within(f"lines.{index}") from None
        by_customer.setdefault(source.customer.ref, []).append(movement)
    if len(by_customer) > 1 and any(m.credit.startswith("grant:") for part in by_customer.values() for m in part):
        raise Refused("lines", "several customers", "expected lines of one customer where credits are taken over")
    if len(by_customer) > 1:
        source = books.source(document_id, HOUSE_REF, doc.entity, doc.currency, doc.date)
    owner = source.customer.customer_id
    approve(books, source, doc, sum(to_minor(line.amount, doc.currency) for line in doc.lines))
    for name, movements in by_customer.items():
        source = books.source(document_id, name, doc.entity, doc.currency, doc.date)
        books.post(source, doc.date, movements)
        for movement in movements:
            _use(books, source, movement, doc.date)
        _fund(wallets, source, movements, doc.date)
    return owner


# What accounts of these roles hold is the entity's as a whole, whosever each part is: a line may take it from where it is not.
_OF_THE_ENTITY = ("cash", "tax_payable", "tax_withheld")

# What the lines before took out of accounts: a later line can't take it again.
_Taken = dict[tuple[int, AccountKey], int]


def _movement(wallets: Wallets, source: Source, line: models.ManualLine, on: date, taken: _Taken) -> Movement:
    books = wallets.books
    amount = to_minor(line.amount, source.currency)
    if line.product is not None:
        books.parties.require_product(line.product)
    for side, role in (("debit", line.debit), ("credit", line.credit)):
        if ROLES[role].clearing:
            raise Refused(
                side, role, "expected no clearing account: it is empty after every entry, and takes none by hand"
            )
    debit = _subject(wallets, source, line, "debit", line.debit, line.debit_subject)
    credit = _subject(wallets, source, line, "credit", line.credit, line.credit_subject)
    if ROLES[line.debit].memorandum != ROLES[line.credit].memorandum:
        raise Refused("credit", line.credit, f"expected an account off the balance sheet, as {line.debit} is")
    if (line.debit, debit) == (line.credit, credit):
        raise Refused("credit", line.credit, "expected another account than the debit's")
    day = books.days.open_day(source, on)
    for side, role, subject in (("debit", line.debit, debit), ("credit", line.credit, credit)):
        key = AccountKey(source.entity, role, source.currency, subject)
        if subject != MANUAL and role not in _OF_THE_ENTITY and ROLES[role].side != side:
            before = taken.get((source.customer.customer_id, key), 0)
            _require_held(books, source, key, amount + before, day, f"{side}_subject")
            taken[source.customer.customer_id, key] = before + amount
    return Movement("manual", amount, debit, credit, line.product or "", roles=(line.debit, line.credit))


def _fund(wallets: Wallets, source: Source, movements: list[Movement], on: date) -> None:
    """Note on grants that money for them was taken over.

    And let liability and asset of each thing settle each other.
    """
    day = wallets.books.days.open_day(source, on)
    before = day - timedelta(days=1)
    for movement in movements:
        kind, _, ref = movement.credit.partition(":")
        if kind == "grant":
            wallets.grant(source.customer.customer_id, ref).fundings.append(Funding(day, movement.amount, on))
            wallets.books.net(source, grant_accounts(source, ref), NET_GRANT, before)
        for subject in {movement.debit, movement.credit}:
            if subject.startswith("obligation:"):
                keys, rules = obligation_sides(source, subject)
                wallets.books.net(source, keys, rules, before)


def _use(books: Books, source: Source, movement: Movement, on: date) -> None:
    """Gather what a line does to money on invoices and on the customer's balance.

    It brings it, takes it, or moves it.
    """
    assert movement.roles is not None, "a manual line names its accounts"
    places = [
        _money_place(books, source, role, subject)
        for role, subject in zip(movement.roles, (movement.debit, movement.credit), strict=True)
    ]
    pieces: list[Piece] = []
    taken, given = places
    if taken == uses.BALANCE:
        pieces = uses.standing_first(lambda day: uses.on_balance(books, source, day), movement.amount, on)
    elif taken is not None:
        pieces = uses.standing_first(
            lambda day: uses.on_invoice(books, source, taken, day), movement.amount, on, last=True
        )
    if given is None:
        uses.give_back(books, source, pieces, on)
        return
    uses.move(books, source, pieces, on, given)
    uses.bring(books, source, movement.amount - sum(piece.amount for piece in pieces), on, given)


def _money_place(books: Books, source: Source, role: str, subject: str) -> int | None:
    if role == "customer_balance":
        return uses.BALANCE
    if role == "accounts_receivable" and subject.startswith("invoice:"):
        return find_invoice(books, source, subject.removeprefix("invoice:")).invoice_id
    return None


def _subject(
    wallets: Wallets, source: Source, line: models.ManualLine, side: str, role: str, subject: str | None
) -> str:
    """What a side of a line is about, known. Raises UnknownReference, or Refused for what a role is not about."""
    field = f"{side}_subject"
    if role in CLEARING:
        raise Refused(side, role, "expected an account that may hold something: this one is cleared by documents")
    if role == "customer_balance":
        if line.customer is None:
            raise Refused("customer", "missing", "expected the customer whose balance it is")
        return "customer"
    if subject is None:
        return MANUAL
    kind, _, ref = subject.partition(":")
    allowed = _SUBJECTS.get(role, ())
    if kind not in allowed or not ref:
        expected = " or ".join(f"{name}:..." for name in allowed)
        raise Refused(field, subject, f"expected {expected or 'none'} on {role}")
    if kind not in ("account", "rail", "tax") and line.customer is None:
        raise Refused("customer", "missing", f"expected the customer whose {kind} it is")
    _REQUIRE[kind](wallets, source, line, side, subject)
    return subject


def _require_rail(_wallets: Wallets, _source: Source, _line: models.ManualLine, side: str, subject: str) -> None:
    if subject.removeprefix("rail:") not in _RAILS:
        raise Refused(f"{side}_subject", subject, f"expected rail: and one of {', '.join(_RAILS)}")


def _require_account(wallets: Wallets, source: Source, _line: models.ManualLine, side: str, subject: str) -> None:
    account = subject.removeprefix(MONEY_ACCOUNT)
    find_of(wallets.books, account, source.entity, source.currency, f"{side}_subject")


def _require_tax(wallets: Wallets, _source: Source, _line: models.ManualLine, side: str, subject: str) -> None:
    require_code(wallets.books, subject.removeprefix("tax:"), f"{side}_subject")


def _require_entity(wallets: Wallets, source: Source, _line: models.ManualLine, side: str, subject: str) -> None:
    other = subject.removeprefix("entity:")
    if wallets.books.parties.entity(other).entity == source.entity:
        raise Refused(f"{side}_subject", subject, f"expected another entity than {source.entity}")


def _require_invoice(wallets: Wallets, source: Source, _line: models.ManualLine, side: str, subject: str) -> None:
    field = f"{side}_subject"
    if find_invoice(wallets.books, source, subject.removeprefix("invoice:"), field).currency != source.currency:
        raise Refused(field, subject, f"expected an invoice in {source.currency}")


def _require_grant(wallets: Wallets, source: Source, line: models.ManualLine, side: str, subject: str) -> None:
    field = f"{side}_subject"
    grant = wallets.grant(source.customer.customer_id, subject.removeprefix("grant:"))
    if (grant.entity, grant.currency) != (source.entity, source.currency):
        raise Refused(field, subject, f"expected a grant of {source.entity} in {source.currency}")
    if side == "debit":
        raise Refused(field, subject, "expected a grant credited only: credits go back by a grant_return")
    if grant.kind != "prepaid" or grant.price - grant.funded() < to_minor(line.amount, grant.currency):
        raise Refused(field, subject, "expected a prepaid grant, and at most what is not yet billed of its price")


def _require_obligation(wallets: Wallets, source: Source, _line: models.ManualLine, side: str, subject: str) -> None:
    key = AccountKey(source.entity, "deferred_revenue", source.currency, subject)
    if not wallets.books.has_account(source.customer.customer_id, key):
        raise UnknownReference(
            f"{side}_subject", subject, "expected the id of an obligation of this customer posted before"
        )


_REQUIRE = {
    "account": _require_account,
    "rail": _require_rail,
    "tax": _require_tax,
    "entity": _require_entity,
    "invoice": _require_invoice,
    "grant": _require_grant,
    "obligation": _require_obligation,
}


def _require_held(books: Books, source: Source, key: AccountKey, amount: int, day: date, field: str) -> None:
    held = max(available(books.history(source.customer.customer_id, key), day), 0)
    if amount > held:
        raise OverApplication(
            field,
            f"{key.subject} {to_text(amount, source.currency)} {source.currency}",
            f"expected at most {to_text(held, source.currency)}, what {key.role} holds of it on {day}",
        )
