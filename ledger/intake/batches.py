"""The batches of a run as they are posted, document by document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.cash import payers
from ledger.documents import ids, models, parse, personal
from ledger.documents.models import Document
from ledger.errors import VALUE_LENGTH_MAX, ConflictingDocument, Problem, Refused, UnknownReference, shortened
from ledger.intake.kinds import DocumentType
from ledger.intake.lines import Item, parsed
from ledger.intake.named import Named, known_hashes, whose
from ledger.intake.writer import Writer
from ledger.journal import entry_rows, references
from ledger.journal.books import Books
from ledger.journal.closed_months import require_open
from ledger.journal.references import ExternalKey
from ledger.parties.within import Within
from ledger.usage.fast_path import Lanes
from ledger.usage.reader_process import Rows
from ledger.wallets import alerts
from ledger.wallets.breakage import tell_again
from ledger.wallets.session import Wallets

# Beyond so many accounts and the like, what was learnt of customers is dropped and read again: memory stays bounded.
_REMEMBERED = 200_000
_REFUSED_REMEMBERED = 100_000

Report = Callable[[Problem, bytes], None]


@dataclass(slots=True)
class Outcome:
    """What became of a run of documents. `repeated` were posted before with the same content."""

    posted: int = 0
    repeated: int = 0
    refused: int = 0
    late: int = 0
    entries: int = 0
    postings: int = 0


class Intake:
    """The batches of one run as they are posted."""

    def __init__(
        self,
        books: Books,
        writer: Writer,
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
        """Post a batch of lines, with their numbers and rows.

        It is written with the next, or by `finish`.
        """
        self._write()
        books, outcome, lanes = self.books, self.outcome, self.lanes
        in_bulk = "usage" in self.types
        items = [
            parsed(number, line, self.types) if row is None or not in_bulk else None
            for number, line, row in zip(numbers, lines, rows, strict=True)
        ]
        count = self._learn(items, rows)
        documents_numbered = iter(entry_rows.numbers(books.connection, "document_number", count) if count else ())
        self.writer.start()
        known, fresh = self.known, self.fresh
        for line, row, item_read, at in zip(lines, rows, items, numbers, strict=True):
            item = item_read
            if item is None:
                assert row is not None, "a line that has no row was parsed"
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
                item = parsed(at, line, self.types)
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

    def _learn(self, items: list[Item | None], rows: Rows) -> int:
        """Read what the batch will need, many at once.

        Returns how many documents there are to number.
        """
        refs: dict[str, list[str]] = {}
        users: set[str] = set()
        named, moving = Named(), Named()
        external: list[ExternalKey] = []
        for item, row in zip(items, rows, strict=True):
            if item is None:
                assert row is not None, "a line that has no row was parsed"
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
        self.known = self.fresh | known_hashes(self.books.connection, refs)
        self.fresh = {}
        self.external = references.taken(self.books.connection, external)
        self._learn_others([item for item in items if item is not None])
        self.wallets.learn(self.books.parties.known_customers(users))
        return sum(map(len, refs.values()))

    def _learn_others(self, items: list[Item]) -> None:
        """Find out what of others a batch names, and refuse what does."""
        if self.within is not None:
            called = {(key.type, ref) for key, ref in self.external.items()}
            docs = [item.doc for item in items if item.doc is not None]
            self.within.learn(self.books.connection, docs, {*self.known, *called})
            for item in items:
                self._bar(item)

    def _bar(self, item: Item) -> None:
        """Let a document be refused that who posts may not post, before anything of it is decided."""
        if self.within is None or item.doc is None:
            return
        try:
            self.within.require(item.doc)
        except Refused as refusal:
            item.doc, item.problems = None, [refusal.problem(item.name, item.line)]

    def _hold(self, users: Collection[str], named: Named, moving: Named) -> None:
        """Lock the customers of a batch, and with whom money lies that it may move, in one order.

        Whoever posts the same documents for one, or others of what these name, is done before it is asked which are there. Who moved the
        same money had all of them locked: so with whom it lies is asked again once they are, until that is known.
        """
        connection = self.books.connection
        moving.customers |= whose(connection, moving.documents)
        named.customers |= whose(connection, named.documents) | moving.customers
        named.customers.update(users)
        held = payers.sharing(connection, moving.customers, moving.documents)
        self.books.parties.learn_customers(named.customers | held)
        while (now := payers.sharing(connection, moving.customers, moving.documents)) != held:
            self.books.parties.learn_customers(now)
            held = now

    def _post(self, item: Item, number: int) -> None:
        """Post a document the long way, unless it is in the books or is refused."""
        doc = item.doc
        assert doc is not None, "a line without a document was refused"
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
        self._keep(item, doc, customer_id, number, withheld)

    def _keep(
        self, item: Item, doc: Document, customer_id: int, number: int, withheld: personal.Withheld | None
    ) -> None:
        """Keep a document that was posted, with its references and what is personal in it."""
        body = item.raw.decode()
        if withheld is not None:
            item.hash, body = parse.content_hash(withheld.content), parse.canonical(withheld.content)
            personal.keep(self.books.connection, (customer_id, number), doc, withheld)
        self.fresh[item.type, item.ref] = item.hash
        self.books.add_document(customer_id, number, item.type, item.ref, doc.dated_on, body, item.hash)
        references.keep(self.books, customer_id, number, doc)
        self.external |= dict.fromkeys(references.external_keys(doc), item.ref)
        self.outcome.posted += 1

    def _is_taken(self, kind: str, ref: str) -> bool:
        """Whether a document in the books is of others than those whom who posts may post for."""
        return self.within is not None and self.within.is_taken(kind, ref)

    def _is_barred(self, name: tuple[str, str], entity: str) -> bool:
        """Whether usage is of others than those whom who posts may post for.

        Of another entity, or by an id that is theirs.
        """
        return self.within is not None and (entity not in self.within.entities or self._is_taken(*name))

    def _begin(self, type_: str, doc: Document) -> bool:
        """Begin a document, so that nothing is left of it where it is refused.

        Returns whether it decides first.
        """
        decides_first = self.types[type_].decides_first(doc)
        if not decides_first:
            self.books.flush()
            self.wallets.flush()
        self.books.begin()
        return decides_first

    def _undo(self, *, decides_first: bool) -> bool:
        """Leave nothing of a document that is refused.

        Returns whether anything had to be taken back.
        """
        undone = self.books.undo()
        if decides_first:
            if undone:
                self.wallets.flush()
                self.wallets.forget()
        elif undone or self.wallets.changed:
            undone = True
            self.wallets.undo()
        return undone

    def _came_meanwhile(self, item: Item, fields: dict[str, Any]) -> bool:
        """Whether somebody else posted a document that is refused since it was looked for.

        What it would do, is done.
        """
        connection, model = self.books.connection, self.types[item.type].model
        found = known_hashes(connection, {item.type: [item.ref]}).get((item.type, item.ref))
        if found is None:
            return False
        return found == item.hash or bool(fields and personal.repeats(connection, fields, model, found))

    def _refuse(self, item: Item) -> None:
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
    """Say where the thing a document names was refused itself.

    So that one cause is not read as many.
    """
    if isinstance(refusal, UnknownReference):
        kind = refusal.field.rsplit(".", 1)[-1]
        line = refused.get((kind.removesuffix("s"), refusal.value))
        if line is not None:
            refusal.expected += f" (it was refused on line {line})"
    return refusal
