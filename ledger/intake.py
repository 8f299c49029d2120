"""Taking documents in: parsed, checked, posted and written in batches, in one transaction.

Memory is bounded by the batch, whatever the length of the input. A document is decided before it changes
anything, so a refused one leaves nothing behind; whether the rest is posted without it is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, text

from ledger import (
    alerts,
    corrections,
    coupons,
    documents,
    draws,
    journal,
    manual,
    masters,
    parties,
    payments,
    reading,
    settlements,
    taxes,
    usage,
    wallets,
)
from ledger.books import Books
from ledger.documents import Document
from ledger.errors import ClosedPeriod, ConflictingDocument, InvalidDocument, Problem, Refused, UnknownReference
from ledger.reading import ProblemList
from ledger.wallets import Wallets

BATCH = 5_000
# Documents of a request rather than of an import: posted by one statement where they are draws with nothing to plan.
DRAWN_AT_ONCE = 200
# Beyond so many accounts and the like, what was learnt of customers is dropped and read again: memory stays bounded.
_REMEMBERED = 200_000
_REFUSED_REMEMBERED = 100_000

PostDocument = Callable[[Wallets, Any, int], int]


@dataclass(frozen=True, slots=True)
class DocumentType:
    """A kind of document: the form it must have, and what posts it (and returns whose it is)."""

    model: type[Document]
    post: PostDocument


TYPES: Mapping[str, DocumentType] = {
    "entity": DocumentType(documents.Entity, parties.post_entity),
    "customer": DocumentType(documents.Customer, parties.post_customer),
    "product": DocumentType(documents.Product, parties.post_product),
    "tax_code": DocumentType(documents.TaxCode, taxes.post_tax_code),
    "coupon": DocumentType(documents.Coupon, coupons.post_coupon),
    "fx_rate": DocumentType(documents.FxRate, parties.post_fx_rate),
    "gl_account": DocumentType(documents.GlAccount, parties.post_gl_account),
    "grant": DocumentType(documents.Grant, wallets.post_grant),
    "grant_return": DocumentType(documents.GrantReturn, corrections.post_grant_return),
    "wallet_alert": DocumentType(documents.WalletAlert, alerts.post_wallet_alert),
    "usage": DocumentType(documents.Usage, usage.post_usage),
    "invoice": DocumentType(documents.Invoice, masters.post_invoice),
    "payment": DocumentType(documents.Payment, payments.post_payment),
    "application": DocumentType(documents.Application, payments.post_application),
    "invoice_void": DocumentType(documents.InvoiceVoid, corrections.post_void),
    "credit_note": DocumentType(documents.CreditNote, corrections.post_credit_note),
    "manual_entry": DocumentType(documents.ManualEntry, manual.post_manual_entry),
    "recovery": DocumentType(documents.Recovery, settlements.post_recovery),
}


@dataclass(slots=True)
class Outcome:
    """What became of a run of documents. `repeated` were posted before with the same content."""

    posted: int = 0
    repeated: int = 0
    refused: int = 0
    late: int = 0
    entries: int = 0
    postings: int = 0


@dataclass(slots=True)
class _Item:
    line: int
    raw: bytes
    problems: list[Problem] = field(default_factory=list)
    type: str = ""
    ref: str = ""
    doc: Document | None = None
    hash: bytes = b""

    @property
    def name(self) -> str:
        return f"{self.type} {self.ref}".strip()


Report = Callable[[Problem, bytes], None]


def post_lines(
    connection: Connection,
    lines: Iterable[bytes],
    types: Mapping[str, DocumentType],
    posted_by: str,
    report: Report,
    progress: Callable[[int], None] = lambda _count: None,
    *,
    refuse_late: bool = False,
) -> Outcome:
    """Post documents, one JSON object a line, in the caller's transaction; blank lines are passed over.

    Everything wrong is handed to `report`, with the line as it came. The caller commits, or rolls back where it
    wants all or nothing. `refuse_late` refuses documents dated in closed months.
    """
    outcome = Outcome()
    batches = ([_parse(line, raw, types) for line, raw in batch] for batch in _batches(lines))
    first = next(batches, [])
    if len(first) <= DRAWN_AT_ONCE and _draw(connection, first, posted_by, outcome):
        progress(len(first))
        return outcome
    books = Books(connection, posted_by)
    ledger_wallets = Wallets(books)
    refused: dict[tuple[str, str], int] = {}
    for items in chain([first], batches):
        _post_batch(books, ledger_wallets, items, types, outcome, refused, report, refuse_late=refuse_late)
        books.flush()
        ledger_wallets.flush()
        alerts.watch(ledger_wallets)
        if books.remembered > _REMEMBERED:
            books.forget()
            ledger_wallets.forget()
        progress(len(items))
    outcome.late = books.late_documents
    outcome.entries += books.entries_written
    outcome.postings += books.postings_written
    return outcome


def _draw(connection: Connection, items: list[_Item], posted_by: str, outcome: Outcome) -> bool:
    """Post a few documents by one statement, where they are plain draws on one wallet; returns whether they were."""
    usage = [item.doc for item in items]
    if not draws.could_be_plain(usage):
        return False
    entries = draws.draw(
        connection, usage, [item.raw.decode() for item in items], [item.hash for item in items], posted_by
    )
    if entries is None:
        return False
    outcome.posted, outcome.entries, outcome.postings = len(items), entries, entries
    return True


def _batches(lines: Iterable[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    numbered = ((number, raw) for number, raw in enumerate(lines, 1) if raw.strip())
    while batch := list(islice(numbered, BATCH)):
        yield batch


def _parse(line: int, raw: bytes, types: Mapping[str, DocumentType]) -> _Item:
    """A line as a document of its type, or with what is wrong with it."""
    if line == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    item = _Item(line, raw.strip())
    try:
        fields = reading.read_line(item.raw)
        item.type, item.ref = str(fields.get("type", "")), str(fields.get("id", ""))
        kind = types.get(item.type)
        if kind is None:
            shown = item.type or "missing"
            raise InvalidDocument("type", shown, f"expected one of {', '.join(types)}")
        item.doc = reading.check(kind.model, fields)
        item.hash = reading.content_hash(fields)
    except ProblemList as several:
        item.problems = [Problem(p.field, p.value, p.expected, item.name, line) for p in several.problems]
    except Refused as refusal:
        item.problems = [refusal.problem(item.name, line)]
    return item


def _post_batch(
    books: Books,
    ledger_wallets: Wallets,
    items: list[_Item],
    types: Mapping[str, DocumentType],
    outcome: Outcome,
    refused: dict[tuple[str, str], int],
    report: Report,
    *,
    refuse_late: bool,
) -> None:
    good = [item for item in items if item.doc is not None]
    known = _known_hashes(books.connection, good)
    books.learn_customers({item.doc.customer for item in good if isinstance(item.doc, documents.Party)})
    used = {item.doc.customer for item in good if isinstance(item.doc, documents.Usage)}
    ledger_wallets.learn(books.known_customers(used))
    numbers = journal.numbers(books.connection, "document_number", len(good)) if good else []
    numbered = iter(numbers)
    for item in items:
        if item.doc is not None:
            number = next(numbered)
            before = known.get((item.type, item.ref))
            if before == item.hash:
                outcome.repeated += 1
                continue
            try:
                if before is not None:
                    raise ConflictingDocument("id", item.ref, f"this {item.type} was posted before with other content")
                if refuse_late:
                    _require_open(books, item.doc)
                customer_id = types[item.type].post(ledger_wallets, item.doc, number)
            except Refused as refusal:
                item.problems = [_because(refusal, refused).problem(item.name, item.line)]
            else:
                known[item.type, item.ref] = item.hash
                body = item.raw.decode()
                books.add_document(customer_id, number, item.type, item.ref, item.doc.dated_on, body, item.hash)
                outcome.posted += 1
                continue
        outcome.refused += 1
        if len(refused) < _REFUSED_REMEMBERED:
            refused.setdefault((item.type, item.ref), item.line)
        for problem in item.problems:
            report(problem, item.raw)


def _require_open(books: Books, doc: Document) -> None:
    """Raise ClosedPeriod for a document dated in a closed month of its entity."""
    if not isinstance(doc, documents.Party) or doc.dated_on is None:
        return
    first_open = books.first_open_day(doc.entity)
    if doc.dated_on < first_open:
        closed = first_open - timedelta(days=1)
        raise ClosedPeriod(doc.dated_by, doc.dated_on, f"the books of {doc.entity} are closed through {closed}")


def _because(refusal: Refused, refused: Mapping[tuple[str, str], int]) -> Refused:
    """Say where the thing a document names was refused itself, so that one cause is not read as many."""
    if isinstance(refusal, UnknownReference):
        kind = refusal.field.rsplit(".", 1)[-1]
        line = refused.get((kind.removesuffix("s"), refusal.value))
        if line is not None:
            refusal.expected += f" (it was refused on line {line})"
    return refusal


def _known_hashes(connection: Connection, items: list[_Item]) -> dict[tuple[str, str], bytes]:
    """The content hashes of those documents that are in the books already."""
    if not items:
        return {}
    rows = connection.execute(
        text(
            "select k.type, k.ref, d.hash from unnest(cast(:types as text[]), cast(:refs as text[])) wanted (type, ref) "
            "join document_key k on k.type = wanted.type and k.ref = wanted.ref "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
        ),
        {"types": [item.type for item in items], "refs": [item.ref for item in items]},
    )
    return {(row.type, row.ref): bytes(row.hash) for row in rows}
