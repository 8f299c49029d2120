"""Documents of a key for some entities: what is another's is refused before anything is decided, and told as what is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import orjson
from sqlalchemy import Connection, text

from ledger.documents import parse
from ledger.documents.models import Document
from ledger.errors import ConflictingDocument, Problem, Refused, UnknownReference
from revrec.kinds import TYPES
from web.access.naming import Name, Thing, entities_of, entities_said, is_open, named

# What of a customer holds for all entities, where it says none.
OF_CUSTOMERS = ("customer_change", "details")


class Poster:
    """Who posts for some entities alone, as intake asks: see `ledger.parties.within.Within`."""

    def __init__(self, entities: Iterable[str], by: str) -> None:
        self._entities = frozenset(entities)
        self._by = by
        self._found: Mapping[Thing, set[str]] = {}
        self._taken: set[Thing] = set()

    @property
    def entities(self) -> frozenset[str]:
        """The entities that it posts for."""
        return self._entities

    def learn(self, connection: Connection, docs: Sequence[Document], known: Collection[tuple[str, str]]) -> None:
        """Find out whose that is which documents name, and whose documents are in the books by type and id."""
        documents = {Thing(*name) for name in known}
        self._found = entities_of(
            connection, documents | {thing for doc in docs for name in named(doc) for thing in name.things}
        )
        self._taken = {thing for thing in documents if not self._is_own(thing)}
        of_customers = [thing.ref for thing in documents if thing.kind in OF_CUSTOMERS and thing not in self._found]
        if of_customers:
            self._taken |= _of_others_customers(connection, of_customers, self._entities, self._by)

    def _is_own(self, thing: Thing) -> bool:
        """Whether a document in the books is of its entities, or of none: what all of them share."""
        if thing.kind == "entity":
            return thing.ref in self._entities
        found = self._found.get(thing)
        return found is None or is_open(thing.kind, found, self._entities)

    def is_taken(self, kind: str, ref: str) -> bool:
        """Whether a document that was `known` is of others."""
        return Thing(kind, ref) in self._taken

    def require(self, doc: Document) -> None:
        """Raise Refused for a document of others, or that names what is, or has the id of one: before anything of it is decided."""
        if (stray := _not_own(doc, self._entities)) is not None:
            raise stray
        for name in named(doc):
            if name.is_there(self._found) and not name.is_open(self._found, self._entities):
                raise _nothing(name, self._entities)
        if self.is_taken(doc.type, doc.id):
            raise ConflictingDocument("id", doc.id, f"expected an id that no other {doc.type} has: this one is taken")


def _of_others_customers(connection: Connection, refs: Sequence[str], entities: Collection[str], by: str) -> set[Thing]:
    """Of changes and details of customers in the books, those that such a key could not post."""
    rows = connection.execute(
        text(
            "select d.type, d.ref from document_key k join document d using (customer_id, document_id)"
            f" where d.type = any(:types) and d.ref = any(:refs) and not {MAY_CHANGE.format('d.customer_id')}"
        ),
        {"types": list(OF_CUSTOMERS), "refs": list(refs), "entities": list(entities), "by": by},
    )
    return {Thing(row.type, row.ref) for row in rows}


# Whether a key may say for all entities what the customer of the number `{}` is: nobody else bills it, and it does, or posted it.
MAY_CHANGE = """(select count(*) filter (where b.entity <> all(cast(:entities as text[]))) = 0 and (count(*) > 0 or exists (
    select from document m where m.customer_id = {0} and m.type = 'customer' and m.posted_by = :by))
    from (select entity from account a where a.customer_id = {0} union select entity from contract t where t.customer_id = {0}
          union select entity from credit_grant g where g.customer_id = {0}) b)"""


def _not_own(doc: Document, wanted: Collection[str]) -> Refused | None:
    """What is wrong with a document that is another entity, or says that it is about one."""
    if doc.type == "entity" and doc.id not in wanted:
        return Refused("id", doc.id, f"expected documents of {' or '.join(sorted(wanted))}, for which this key is")
    for field, value, entity in entities_said(doc):
        if entity not in wanted:
            return UnknownReference(field, value, "expected the id of an entity posted before")
    return None


def _nothing(name: Name, wanted: Collection[str]) -> Refused:
    shown = " or ".join(sorted(wanted))
    return UnknownReference(name.field, name.value, f"expected the id of something of {shown} in the books")


def as_seen_within(
    connection: Connection,
    entities: Sequence[str] | None,
    problems: Sequence[Problem],
    lines: Sequence[bytes],
    sent: Iterable[bytes],
) -> Sequence[Problem]:
    """What is wrong with documents, as who has a key for some entities may be told it: of each its line as it came, and all that were `sent`.

    Whatever is wrong with what names something of others, or nothing, the same is said of it: that nothing is there.
    """
    if entities is None:
        return problems
    docs = [_read(line) for line in lines]
    names = [list(named(doc)) if doc is not None else [] for doc in docs]
    found = entities_of(connection, {thing for some in names for name in some for thing in name.things})
    nowhere = {name.ref for some in names for name in some if not name.is_there(found)}
    made = _made(sent, nowhere) if nowhere else set()
    return [
        problem if doc is None else _as_seen(problem, doc, some, found, frozenset(entities), made)
        for problem, doc, some in zip(problems, docs, names, strict=True)
    ]


def _as_seen(
    problem: Problem,
    doc: Document,
    names: Sequence[Name],
    found: Mapping[Thing, set[str]],
    wanted: frozenset[str],
    made: set[str],
) -> Problem:
    """What is told of a document; what came with it, and was refused itself, is there as it was sent."""
    refusal = _not_own(doc, wanted)
    for name in names if refusal is None else ():
        if not name.is_open(found, wanted) and (name.is_there(found) or name.ref not in made):
            refusal = _nothing(name, wanted)
            break
    return problem if refusal is None else refusal.problem(problem.document, problem.line)


def _read(line: bytes) -> Document | None:
    """A line as a document; None for one that is not of the form of its type: what is wrong with that is told of it alone."""
    try:
        said = parse.read_line(line.strip())
        return parse.check(TYPES[str(said.get("type"))].model, said)
    except (Refused, KeyError):
        return None


def _made(sent: Iterable[bytes], wanted: Collection[str]) -> set[str]:
    """Which of some ids documents make that were sent together: their own, and those of their parts and of obligations of their lines."""
    return {ref for line in sent for ref in _ids(line) if ref in wanted}


def _ids(line: bytes) -> Iterator[str]:
    try:
        said = orjson.loads(line) if len(line) <= parse.LINE_BYTES_MAX else None
    except orjson.JSONDecodeError:
        return
    if not isinstance(said, dict) or not isinstance(own := said.get("id"), str):
        return
    yield own
    for value in said.values():
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, dict) and isinstance(ref := part.get("id"), str):
                yield from (ref, f"{own}/{ref}")
