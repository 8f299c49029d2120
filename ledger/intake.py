"""Taking documents in: parsed, checked, posted and written in batches, in one transaction.

Memory is bounded by the batch, whatever the length of the input. Of a refused document nothing is left behind, whatever
it had gathered or written by then; whether the rest is posted without it is the caller's choice.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self

from sqlalchemy import Connection, text

from ledger import manual
from ledger.accounts.house import HOUSE_REF
from ledger.cash import money_accounts, transfers, uses
from ledger.corrections import credit_notes
from ledger.documents import ids, models, parse, personal
from ledger.documents.models import Document
from ledger.errors import (
    VALUE_LENGTH_MAX,
    ConflictingDocument,
    InvalidDocument,
    Problem,
    ProblemList,
    Refused,
    UnknownReference,
    shortened,
)
from ledger.invoices import coupons, taxes
from ledger.journal import entry_rows, references
from ledger.journal.books import Books, Plainly
from ledger.journal.closed_months import require_open
from ledger.journal.references import ExternalKey
from ledger.parties import approval_rules, parties
from ledger.parties.within import Within
from ledger.payments import goodwill, payments, remittances, reversals, unidentified_receipts
from ledger.usage import one_statement, reader_process, usage_documents
from ledger.usage.fast_path import Lanes
from ledger.usage.reader_process import Lines, Rows
from ledger.wallets import alerts, breakage, issue
from ledger.wallets.breakage import tell_again
from ledger.wallets.session import Wallets

# Many enough for what a batch costs to be little a document, few enough to stay in memory, whatever their size.
BATCH = 20_000
_BATCH_BYTES = 16_000_000
# Documents of a request rather than of an import: posted by one statement where they are draws with nothing to plan.
DRAWN_AT_ONCE = 200
# Beyond so many accounts and the like, what was learnt of customers is dropped and read again: memory stays bounded.
_REMEMBERED = 200_000
_TURN_SECONDS = 0.0005
_REFUSED_REMEMBERED = 100_000

PostDocument = Callable[[Wallets, Any, int], int]


@dataclass(frozen=True, slots=True)
class DocumentType:
    """A kind of document: the form it must have, and what posts it (and returns whose it is).

    `decides_first` says of which documents everything is decided before credits or meters change: they come in bulk, and what
    changed of these before them is written later.
    """

    model: type[Document]
    post: PostDocument
    decides_first: Callable[[Any], bool] = lambda _doc: False


def _always(_doc: Document) -> bool:
    return True


def alone(doc: models.Usage | models.Invoice) -> bool:
    """Whether it replaces nothing, and is no invoice over several entities."""
    lines = doc.lines if isinstance(doc, models.Invoice) else ()
    return doc.supersedes is None and all(line.entity in (None, doc.entity) for line in lines)


def _of_nothing_else(doc: models.Grant) -> bool:
    return doc.contract is None and doc.carried_from is None


TYPES: Mapping[str, DocumentType] = {
    "entity": DocumentType(models.Entity, parties.post_entity, _always),
    "customer": DocumentType(models.Customer, parties.post_customer, _always),
    "customer_change": DocumentType(models.CustomerChange, parties.post_customer_change, _always),
    "details": DocumentType(models.Details, parties.post_details, _always),
    "product": DocumentType(models.Product, parties.post_product, _always),
    "tax_code": DocumentType(models.TaxCode, taxes.post_tax_code, _always),
    "coupon": DocumentType(models.Coupon, coupons.post_coupon, _always),
    "fx_rate": DocumentType(models.FxRate, parties.post_fx_rate, _always),
    "gl_account": DocumentType(models.GlAccount, parties.post_gl_account, _always),
    "money_account": DocumentType(models.MoneyAccount, money_accounts.post_money_account, _always),
    "grant": DocumentType(models.Grant, issue.post_grant, _of_nothing_else),
    "grant_return": DocumentType(models.GrantReturn, credit_notes.post_grant_return),
    "breakage_estimate": DocumentType(models.BreakageEstimate, breakage.post_breakage_estimate),
    "wallet_alert": DocumentType(models.WalletAlert, alerts.post_wallet_alert),
    "usage": DocumentType(models.Usage, usage_documents.post_usage, alone),
    "payment": DocumentType(models.Payment, payments.post_payment, _always),
    "application": DocumentType(models.Application, payments.post_application, _always),
    "unapplication": DocumentType(models.Unapplication, reversals.post_unapplication),
    "transfer": DocumentType(models.Transfer, transfers.post_transfer, _always),
    "transfer_reversal": DocumentType(models.TransferReversal, transfers.post_transfer_reversal),
    "fee": DocumentType(models.Fee, transfers.post_fee, _always),
    "tax_remittance": DocumentType(models.TaxRemittance, remittances.post_tax_remittance),
    "customer_credit": DocumentType(models.CustomerCredit, goodwill.post_customer_credit, _always),
    "unidentified_receipt": DocumentType(
        models.UnidentifiedReceipt, unidentified_receipts.post_unidentified_receipt, _always
    ),
    "receipt_identified": DocumentType(models.ReceiptIdentified, unidentified_receipts.post_receipt_identified),
    "receipt_returned": DocumentType(models.ReceiptReturned, unidentified_receipts.post_receipt_returned),
    "manual_entry": DocumentType(models.ManualEntry, manual.post_manual_entry),
    "approval_policy": DocumentType(models.ApprovalPolicy, approval_rules.post_approval_policy),
    "approval_rule": DocumentType(models.ApprovalRule, approval_rules.post_approval_rule),
    "approval_rule_end": DocumentType(models.ApprovalRuleEnd, approval_rules.post_approval_rule_end),
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
        return f"{shortened(self.type)} {shortened(self.ref)}".strip()


@dataclass(slots=True)
class _Named:
    """The customers that documents of a batch name, and the documents, by type and id."""

    customers: set[str] = field(default_factory=set)
    documents: set[tuple[str, str]] = field(default_factory=set)

    def add(self, doc: Document) -> None:
        """Add what a document names."""
        self.customers |= {ref for name in ("customer", "payer") if isinstance(ref := getattr(doc, name, None), str)}
        for name, kinds in models.NAMED.items():
            if isinstance(ref := getattr(doc, name, None), str):
                self.documents.update((kind, ref) for kind in kinds)
        if any(getattr(doc, name, None) for name in models.RETURNING_FEES):
            self.customers.add(HOUSE_REF)
        if isinstance(doc, models.Payment):
            self.documents.update(("invoice", item.invoice) for item in doc.applications)
        if isinstance(doc, models.Application) and doc.from_invoice is not None:
            self.documents.add(("invoice", doc.from_invoice))


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
    first_line: int = 1,
    within: Within | None = None,
) -> Outcome:
    """Post documents, one JSON object a line, in the caller's transaction; blank lines are passed over.

    Everything wrong is handed to `report`, with the line as it came. The caller commits, or rolls back where it
    wants all or nothing. `refuse_late` refuses documents dated in closed months. `first_line` is the number of the first of
    them in their file. `within` are the entities that who posts may post for, where these are not all.
    """
    outcome = Outcome()
    batches = _batches(lines, first_line)
    first = next(batches, None)
    if first is None:
        return outcome
    if len(first[0]) <= DRAWN_AT_ONCE:
        items = [_parse(line, raw, types) for line, raw in zip(*first, strict=True)]
        if _own(items, within) and _draw(connection, items, posted_by, outcome):
            progress(len(items))
            return outcome
    with _Writer(connection) as writer:
        books = Books(connection, posted_by, entities=within.entities if within else None)
        intake = _Intake(books, writer, types, report, outcome, refuse_late=refuse_late, within=within)
        for (numbers, batch), rows in reader_process.read_ahead(chain([first], batches)):
            intake.post(numbers, batch, rows)
            progress(len(batch))
        intake.finish()
    return outcome


def _own(items: list[_Item], within: Within | None) -> bool:
    """Whether documents say that they are of entities that who posts may post for."""
    return within is None or all(getattr(item.doc, "entity", None) in within.entities for item in items)


def _draw(connection: Connection, items: list[_Item], posted_by: str, outcome: Outcome) -> bool:
    """Post a few documents by one statement, where they are plain draws on one wallet; returns whether they were."""
    usage = [item.doc for item in items]
    if not one_statement.could_be_plain(usage):
        return False
    entries = one_statement.draw(
        connection, usage, [item.raw.decode() for item in items], [item.hash for item in items], posted_by
    )
    if entries is None:
        return False
    outcome.posted, outcome.entries, outcome.postings = len(items), entries, entries
    return True


def _batches(lines: Iterable[bytes], first_line: int) -> Iterator[Lines]:
    """Lines that are not blank, with their numbers: so many at a time, or as many as make so many bytes."""
    numbers: list[int] = []
    batch: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, first_line):
        raw = line.strip()
        if raw:
            numbers.append(number)
            batch.append(raw)
            size += len(raw)
            if len(batch) == BATCH or size > _BATCH_BYTES:
                yield numbers, batch
                numbers, batch, size = [], [], 0
    if batch:
        yield numbers, batch


def _parse(line: int, raw: bytes, types: Mapping[str, DocumentType]) -> _Item:
    """A line as a document of its type, or with what is wrong with it."""
    if line == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    item = _Item(line, raw.strip())
    try:
        fields = parse.read_line(item.raw)
        item.type, item.ref = str(fields.get("type", "")), str(fields.get("id", ""))
        kind = types.get(item.type)
        if kind is None:
            shown = shortened(item.type) or "missing"
            raise InvalidDocument("type", shown, f"expected one of {', '.join(types)}")
        item.doc = parse.check(kind.model, fields)
        item.hash = parse.content_hash(fields)
    except ProblemList as several:
        item.problems = [Problem(p.field, p.value, p.expected, item.name, line) for p in several.problems]
    except Refused as refusal:
        if not item.type:
            item.type, item.ref = parse.named_in(item.raw)
        item.problems = [refusal.problem(item.name, line)]
    return item


class _Writer:
    """Writes what usage in bulk posted while the next batch is decided, which takes nothing from the database.

    Whoever needs the connection calls `wait` before. What went wrong is raised there.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._ready: Plainly | None = None
        self._interval = sys.getswitchinterval()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()  # waits: the connection is nobody else's until then
        sys.setswitchinterval(self._interval)

    def keep(self, plainly: Plainly) -> None:
        """Take what `start` is to write."""
        if plainly.documents:
            self._ready = plainly

    def start(self) -> None:
        """Write what was kept, beside what the caller does next."""
        if self._ready is not None:
            # the thread mostly waits for the server: what it does between is little, and should not wait long
            sys.setswitchinterval(_TURN_SECONDS)
            self._writing = self._thread.submit(self._ready.write, self._connection)
            self._ready = None

    def wait(self) -> None:
        """Return once all is written."""
        self.start()
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()


class _Intake:
    """The batches of one run as they are posted."""

    def __init__(
        self,
        books: Books,
        writer: _Writer,
        types: Mapping[str, DocumentType],
        report: Report,
        outcome: Outcome,
        *,
        refuse_late: bool,
        within: Within | None,
    ) -> None:
        self.books = books
        self.writer = writer
        self.wallets = Wallets(books)
        self.lanes = Lanes(self.wallets)
        self.types = types
        self.report = report
        self.outcome = outcome
        self.refuse_late = refuse_late
        self.within = within
        self.refused: dict[tuple[str, str], int] = {}
        # the hashes of documents by type and id: of those that are in the books, or came in with this batch
        self.known: dict[tuple[str, str], bytes] = {}
        self.fresh: dict[tuple[str, str], bytes] = {}
        # which documents have the external ids of this batch
        self.external: dict[ExternalKey, str] = {}

    def post(self, numbers: list[int], lines: list[bytes], rows: Rows) -> None:
        """Post a batch of lines, with their numbers and rows; it is written with the next, or by `finish`."""
        self._write()
        books, outcome, lanes = self.books, self.outcome, self.lanes
        in_bulk = "usage" in self.types
        items = [
            _parse(number, line, self.types) if row is None or not in_bulk else None
            for number, line, row in zip(numbers, lines, rows, strict=True)
        ]
        count = self._learn(items, rows)
        documents_numbered = iter(entry_rows.numbers(books.connection, "document_number", count) if count else ())
        self.writer.start()
        known, fresh = self.known, self.fresh
        for line, row, item_read, at in zip(lines, rows, items, numbers, strict=True):
            item = item_read
            if item is None:
                assert row is not None, "what is no row was read the long way"
                number = next(documents_numbered)
                party, ref, day, _, _, hash_ = row
                name = ("usage", ref)
                before = fresh.get(name) or known.get(name)
                if self._is_barred(name, party[1]):
                    pass  # refused the long way
                elif before is None:
                    customer_id = lanes.post(row, number)
                    if customer_id is not None:
                        fresh[name] = hash_
                        books.add_received(customer_id, number, "usage", ref, day, line, hash_)
                        outcome.posted += 1
                        continue
                elif before == hash_:
                    outcome.repeated += 1
                    continue
                item = _parse(at, line, self.types)
                self._bar(item)
            elif item.doc is not None:
                number = next(documents_numbered)
            if item.doc is not None:
                self._post(item, number)
            else:
                self._refuse(item)

    def finish(self) -> None:
        """Write what is left, and say what came of all of it."""
        self._write()
        self.writer.wait()
        self.outcome.late = self.books.late_documents
        self.outcome.entries += self.books.entries_written
        self.outcome.postings += self.books.postings_written

    def _learn(self, items: list[_Item | None], rows: Rows) -> int:
        """Read what the batch will need, many at once; returns how many documents there are to number."""
        refs: dict[str, list[str]] = {}
        users: set[str] = set()
        named, moving = _Named(), _Named()
        external: list[ExternalKey] = []
        for item, row in zip(items, rows, strict=True):
            if item is None:
                assert row is not None, "what is no row was read the long way"
                refs.setdefault("usage", []).append(row[1])
                users.add(row[0][0])
            elif item.doc is not None:
                refs.setdefault(item.type, []).append(item.ref)
                external += references.external_keys(item.doc)
                if isinstance(item.doc, models.Usage):
                    users.add(item.doc.customer)
                    continue
                (moving if item.type in models.MOVING else named).add(item.doc)
        self._hold(users, named, moving)
        # the batch before is not written yet where it was usage in bulk
        self.known = self.fresh | _known_hashes(self.books.connection, refs)
        self.fresh = {}
        self.external = references.taken(self.books.connection, external)
        self._learn_others([item for item in items if item is not None])
        self.wallets.learn(self.books.parties.known_customers(users))
        return sum(map(len, refs.values()))

    def _learn_others(self, items: list[_Item]) -> None:
        """Find out what of others a batch names, and refuse what does."""
        if self.within is not None:
            called = {(key.type, ref) for key, ref in self.external.items()}
            docs = [item.doc for item in items if item.doc is not None]
            self.within.learn(self.books.connection, docs, {*self.known, *called})
            for item in items:
                self._bar(item)

    def _bar(self, item: _Item) -> None:
        """Let a document be refused that who posts may not post, before anything of it is decided."""
        if self.within is None or item.doc is None:
            return
        try:
            self.within.require(item.doc)
        except Refused as refusal:
            item.doc, item.problems = None, [refusal.problem(item.name, item.line)]

    def _hold(self, users: Collection[str], named: _Named, moving: _Named) -> None:
        """Lock the customers of a batch, and with whom money lies that it may move, in one order.

        Whoever posts the same documents for one, or others of what these name, is done before it is asked which are there. Who moved the
        same money had all of them locked: so with whom it lies is asked again once they are, until that is known.
        """
        connection = self.books.connection
        moving.customers |= _whose(connection, moving.documents)
        named.customers |= _whose(connection, named.documents) | moving.customers
        named.customers.update(users)
        held = uses.sharing(connection, moving.customers, moving.documents)
        self.books.parties.learn_customers(named.customers | held)
        while (now := uses.sharing(connection, moving.customers, moving.documents)) != held:
            self.books.parties.learn_customers(now)
            held = now

    def _post(self, item: _Item, number: int) -> None:
        """Post a document the long way, unless it is in the books or is refused."""
        doc = item.doc
        assert doc is not None, "what is no document is refused before"
        name = (item.type, item.ref)
        before = self.fresh.get(name) or self.known.get(name)
        if before == item.hash:
            self.outcome.repeated += 1
            return
        self.writer.wait()
        self.lanes.settle()
        usage_alone = isinstance(doc, models.Usage) and doc.supersedes is None
        model = self.types[item.type].model
        fields = parse.read_line(item.raw) if model.personal else {}
        withheld = personal.withhold(fields, model)
        if before is not None and withheld and personal.repeats(self.books.connection, fields, model, before):
            self.outcome.repeated += 1
            return
        decides_first = self._begin(item.type, doc)
        try:
            if before is not None:
                raise ConflictingDocument("id", item.ref, f"this {item.type} was posted before with other content")
            ids.require_plain(self.books.connection, doc, item.raw)
            references.require_own(doc, self.external, self._is_taken)
            if self.refuse_late:
                require_open(self.books, doc)
            customer_id = self.types[item.type].post(self.wallets, doc, number)
            tell_again(self.wallets)
        except Refused as refusal:
            if self._undo(decides_first=decides_first) or not usage_alone:
                self.lanes.close()
            if before is None and self._came_meanwhile(item, fields):
                self.outcome.repeated += 1
                return
            item.problems = [_because(refusal, self.refused).problem(item.name, item.line)]
            self._refuse(item)
            return
        self.books.end()
        if isinstance(doc, models.Usage) and usage_alone:
            self.lanes.close(customer_id)
            self.lanes.open(doc, customer_id)
        else:
            self.lanes.close()
        body = item.raw.decode()
        if withheld is not None:
            item.hash, body = parse.content_hash(withheld.content), parse.canonical(withheld.content)
            personal.keep(self.books.connection, (customer_id, number), doc, withheld)
        self.fresh[name] = item.hash
        self.books.add_document(customer_id, number, item.type, item.ref, doc.dated_on, body, item.hash)
        references.keep(self.books, customer_id, number, doc)
        self.external |= dict.fromkeys(references.external_keys(doc), item.ref)
        self.outcome.posted += 1

    def _is_taken(self, kind: str, ref: str) -> bool:
        """Whether a document in the books is of others than those whom who posts may post for."""
        return self.within is not None and self.within.is_taken(kind, ref)

    def _is_barred(self, name: tuple[str, str], entity: str) -> bool:
        """Whether usage is of an entity that who posts may not post for, or has the id of what is of others."""
        return self.within is not None and (entity not in self.within.entities or self._is_taken(*name))

    def _begin(self, type_: str, doc: Document) -> bool:
        """Begin a document, so that nothing is left of it where it is refused; returns whether it decides first."""
        decides_first = self.types[type_].decides_first(doc)
        if not decides_first:
            self.books.flush()
            self.wallets.flush()
        self.books.begin()
        return decides_first

    def _undo(self, *, decides_first: bool) -> bool:
        """Leave nothing of a document that is refused; returns whether anything had to be taken back."""
        undone = self.books.undo()
        if decides_first:
            if undone:
                self.wallets.flush()
                self.wallets.forget()
        elif undone or self.wallets.changed:
            undone = True
            self.wallets.undo()
        return undone

    def _came_meanwhile(self, item: _Item, fields: dict[str, Any]) -> bool:
        """Whether a document that is refused was posted by somebody else since it was looked for: what it would do, is done."""
        connection, model = self.books.connection, self.types[item.type].model
        found = _known_hashes(connection, {item.type: [item.ref]}).get((item.type, item.ref))
        if found is None:
            return False
        return found == item.hash or bool(fields and personal.repeats(connection, fields, model, found))

    def _refuse(self, item: _Item) -> None:
        self.outcome.refused += 1
        if len(self.refused) < _REFUSED_REMEMBERED:
            self.refused.setdefault((item.type, shortened(item.ref, VALUE_LENGTH_MAX)), item.line)
        for problem in item.problems:
            self.report(problem, item.raw)

    def _write(self) -> None:
        self.writer.wait()
        self.lanes.settle()
        plainly = self.books.take_plain()
        if plainly is None:
            self.books.flush()
        else:
            self.writer.keep(plainly)
        self.wallets.flush()
        alerts.watch(self.wallets)
        if self.books.remembered > _REMEMBERED:
            self.lanes.close()
            self.books.forget()
            self.wallets.forget()


def _because(refusal: Refused, refused: Mapping[tuple[str, str], int]) -> Refused:
    """Say where the thing a document names was refused itself, so that one cause is not read as many."""
    if isinstance(refusal, UnknownReference):
        kind = refusal.field.rsplit(".", 1)[-1]
        line = refused.get((kind.removesuffix("s"), refusal.value))
        if line is not None:
            refusal.expected += f" (it was refused on line {line})"
    return refusal


def _whose(connection: Connection, named: Collection[tuple[str, str]]) -> set[str]:
    """The customers of documents, by type and id, as far as they are in the books."""
    if not named:
        return set()
    kinds, refs = zip(*sorted(named), strict=True)
    rows = connection.scalars(
        text(
            "select distinct c.ref from unnest(cast(:kinds as text[]), cast(:refs as text[])) as n(type, ref)"
            " join document_key k on k.type = n.type and k.ref = n.ref join customer c using (customer_id)"
        ),
        {"kinds": list(kinds), "refs": list(refs)},
    )
    return set(rows)


def _known_hashes(connection: Connection, refs: Mapping[str, list[str]]) -> dict[tuple[str, str], bytes]:
    """The content hashes of those documents of each type that are in the books already."""
    known: dict[tuple[str, str], bytes] = {}
    for type_, wanted in refs.items():
        rows = connection.execute(
            text(
                "select k.ref, d.hash from document_key k"
                " join document d on d.customer_id = k.customer_id and d.document_id = k.document_id"
                " where k.type = :type and k.ref = any(:refs)"
            ),
            {"type": type_, "refs": wanted},
        )
        for ref, hash_ in rows:
            known[type_, ref] = bytes(hash_)
    return known
