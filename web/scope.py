"""What a key for some entities may post, trace and find: only what is of these, as if nothing else were there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text
from werkzeug.exceptions import Forbidden

from ledger import reading
from ledger.documents import NAMED
from ledger.entries import EntryFacts
from ledger.errors import Problem, Refused, UnknownReference, shortened
from ledger.trace import EXPECTED, Step, Trace
from revrec.intake import TYPES

# Facts about parties that every entity shares; what else is of no entity needs a key for all. Who bills a customer may change it,
# and say how it is named.
_SHARED = ("customer", "customer_change", "product")

# Of one type by the field; what moves a receipt's money names the document that said whose it is.
_NAMED = {field: kinds[0] for field, kinds in NAMED.items() if field not in ("receipt", "invoice", "contract")}

# The entity that a document `d` is of: its own, or that of what it names, and of what that names in turn.
ENTITY_OF = f"""coalesce(d.body::jsonb ->> 'entity', (
    with recursive up(type, body) as (
        select d.type, d.body::jsonb
        union all
        select n.type, n.body::jsonb from up
        cross join lateral (values {", ".join(f"('{kind}', up.body ->> '{field}')" for field, kind in _NAMED.items())},
            (case when up.type like 'receipt_%' then 'unidentified_receipt' else 'receipt_identified' end, up.body ->> 'receipt')
        ) named(type, ref)
        join document_key k on (k.type, k.ref) = (named.type, named.ref)
        join document n on n.customer_id = k.customer_id and n.document_id = k.document_id
        where not up.body ? 'entity'
    )
    select coalesce(
        up.body ->> 'entity',
        (select c.entity from contract c where c.ref = up.body ->> 'contract' limit 1),
        (select i.entity from invoice i where i.ref = up.body ->> 'invoice' limit 1),
        (select o.entity from performance_obligation o where o.subject = 'obligation:' || (up.body ->> 'obligation') limit 1)
    ) as entity from up order by entity limit 1
))"""

# Whether an entry `e` moves anything of other entities.
ELSEWHERE = (
    "exists (select from posting p join account a on a.customer_id = p.customer_id"
    " and a.account_id in (p.debit_account, p.credit_account)"
    " where p.customer_id = e.customer_id and p.entry_id = e.entry_id and a.entity <> all(cast(:entities as text[])))"
)


class NamesElsewhere(Refused):
    """A document names something of other entities than a key is for: which one, by type and id."""

    def __init__(self, kind: str, document: str, field: str, value: str, expected: str) -> None:
        self.kind = kind
        self.document = document
        super().__init__(field, value, expected)

    def as_problem(self, lines: Iterable[bytes]) -> Problem:
        """As it is told of a document that names nothing: with its line among those that came."""
        number = None
        for place, line in enumerate(lines, 1):
            with suppress(ValueError, RecursionError, AttributeError):
                said = json.loads(line)
                if (said.get("type"), said.get("id")) == (self.kind, self.document):
                    number = place
                    break
        name = f"{shortened(self.kind)} {shortened(self.document)}"
        return Problem(self.field, self.value, self.expected, name, number)


def require_posted_within(connection: Connection, by: str, entities: Sequence[str]) -> None:
    """Hold what this transaction posted to some entities: raises Refused, naming the first document that is of another, or of all.

    Raises Forbidden for a change of a customer that other entities bill, too, or details of it for all.
    """
    _require_bills_of_changed(connection, by, entities)
    row: Any = connection.execute(
        text(
            f"select d.type, d.ref, {ENTITY_OF} as entity, d.body from document d where d.posted_at = now() and d.posted_by = :by"
            f" and not (d.type = any(:shared) or (d.type = 'details' and d.body::jsonb ->> 'entity' is null)) and coalesce({ENTITY_OF}, '') <> all(cast(:entities as text[])) "
            "union all "
            "select d.type, d.ref, a.entity, d.body from entry e join document d on d.document_id = e.document_id and d.customer_id in (e.customer_id, 0)"
            " join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " join account a on a.customer_id = p.customer_id and a.account_id in (p.debit_account, p.credit_account)"
            " where e.posted_at = now() and e.posted_by = :by and a.entity <> all(cast(:entities as text[])) limit 1"
        ),
        {"by": by, "entities": list(entities), "shared": list(_SHARED)},
    ).first()
    if row is not None:
        for field, ref, found in _named(connection, row.body):
            if found and not found & set(entities):  # as if it were not there
                raise NamesElsewhere(row.type, row.ref, field, ref, _nothing_of(set(entities)))
        shown = " or ".join(entities)
        raise Refused("entity", f"{row.type} {row.ref}", f"expected documents of {shown}, for which this key is")


def _require_bills_of_changed(connection: Connection, by: str, entities: Sequence[str]) -> None:
    """Hold changes of customers, and details of them for all entities, to those whom nobody else bills, or has a contract with or credits for."""
    row: Any = connection.execute(
        text(
            "select d.type, d.ref, d.body::jsonb ->> 'customer' as customer, string_agg(distinct b.entity, ', ' order by b.entity) as others "
            "from document d join (select customer_id, entity from account union select customer_id, entity from contract"
            "  union select customer_id, entity from credit_grant) b on b.customer_id = d.customer_id"
            " where d.type in ('customer_change', 'details') and d.body::jsonb ->> 'entity' is null and d.posted_at = now() and d.posted_by = :by"
            " and b.entity <> all(cast(:entities as text[])) group by d.customer_id, d.document_id order by d.document_id limit 1"
        ),
        {"by": by, "entities": list(entities)},
    ).first()
    if row is not None:
        raise Forbidden(
            f"{row.type} {row.ref}: expected a key for all entities that bill customer {row.customer}:"
            f" this one is not for {row.others}"
            + ("; details with an `entity` hold on what that entity sends alone" if row.type == "details" else "")
        )


def as_seen_within(
    connection: Connection, entities: Sequence[str] | None, problems: Sequence[Problem], lines: Sequence[bytes]
) -> Sequence[Problem]:
    """What is wrong with documents, as who has a key for some entities may be told it; `lines` are the documents as they came.

    Of what names something of other entities no more is said than of what names nothing: not what is left of it, nor that it is there.
    """
    if entities is None:
        return problems
    return [
        _as_seen(connection, set(entities), problem, line) if _in_order(line) else problem
        for problem, line in zip(problems, lines, strict=True)
    ]


def entities_named(line: bytes) -> list[str]:
    """The entities whose books a document is for, its lines too, as it says itself."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return []
    lines = said.get("lines") if isinstance(said, dict) else None
    of = [said, *(lines if isinstance(lines, list) else ())]
    return [one["entity"] for one in of if isinstance(one, dict) and isinstance(one.get("entity"), str)]


def _in_order(line: bytes) -> bool:
    """Whether a document is of the form of its type: what is wrong with that is told of it alone."""
    try:
        said = reading.read_line(line.strip())
        reading.check(TYPES[str(said.get("type"))].model, said)
    except (Refused, KeyError):
        return False
    return True


def _as_seen(connection: Connection, wanted: set[str], problem: Problem, line: bytes) -> Problem:
    entity = json.loads(line).get("entity")
    if isinstance(entity, str) and entity not in wanted:  # as of one that is not there
        return replace(
            problem, field="entity", value=shortened(entity), expected="expected the id of an entity posted before"
        )
    for field, ref, found in _named(connection, line):
        unknown = problem.field == field and problem.expected.startswith("expected the id of")
        if (found or unknown) and not found & wanted:
            return replace(problem, field=field, value=shortened(ref), expected=_nothing_of(wanted))
    return problem


def _nothing_of(wanted: set[str]) -> str:
    return f"expected the id of something of {' or '.join(sorted(wanted))} in the books"


def _named(connection: Connection, line: bytes | str) -> Iterator[tuple[str, str, set[str]]]:
    """What a document names: by which field, its id, and the entities that have it in the books."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict):
        return
    # itself, and each of its lines, applications and obligations
    parts: list[tuple[str, object]] = [("", said)]
    for name, inner in said.items():
        parts += [(f"{name}.{index}.", item) for index, item in enumerate(inner if isinstance(inner, list) else ())]
    for place, part in parts:
        for field, kinds in _NAMING.items() if isinstance(part, dict) else ():
            if isinstance(part, dict) and isinstance(ref := part.get(field), str):
                yield f"{place}{field}", ref, set().union(*(_entities_of(connection, kind, ref) for kind in kinds))


# The fields by which documents name others, and of which kinds these are.
_NAMING = {
    **NAMED,
    "obligation": ("obligation",),
    "combined_with": ("contract",),
    "supersedes": ("invoice", "usage"),
    "from_invoice": ("invoice",),
}


def seen_within(
    connection: Connection, entities: Sequence[str] | None, things: Sequence[tuple[str, str]]
) -> Sequence[tuple[str, str]]:
    """Those of several things of a name, each by its kind and id, that are of some entities alone."""
    if entities is None:
        return things
    return [thing for thing in things if (_entities_of(connection, *thing) or {""}) <= set(entities)]


def require_trace(connection: Connection, found: Trace, ref: str, entities: Sequence[str] | None) -> Trace:
    """A trace without what is of other entities. Raises UnknownReference for a thing that is of another itself."""
    if entities is None:
        return found
    wanted = set(entities)
    own = _entities_of(connection, found.kind, found.ref) | {
        line.entity for entry in found.entries for line in entry.lines
    }
    if not own or not own <= wanted:
        raise UnknownReference("ref", ref, EXPECTED)
    return replace(
        found,
        sources=_within(connection, found.sources, wanted),
        results=_within(connection, found.results, wanted),
    )


def _within(connection: Connection, steps: Sequence[Step], wanted: set[str]) -> tuple[Step, ...]:
    return tuple(
        step
        for step in steps
        if step.kind in _WITH_THE_REST or (_entities_of(connection, step.kind, step.ref) or {""}) <= wanted
    )


# Steps that go with what they were found at.
_WITH_THE_REST = ("events", "more", "sealed", "stated", "exported", "sent")


def _entities_of(connection: Connection, kind: str, ref: str) -> set[str]:
    """The entities that a traced thing is of."""
    if kind == "entry":
        rows = connection.scalars(
            text(
                "select distinct a.entity from posting p join account a on a.customer_id = p.customer_id"
                " and a.account_id in (p.debit_account, p.credit_account) where p.entry_id = :entry"
            ),
            {"entry": int(ref.replace(",", ""))},
        )
    elif kind == "obligation":
        rows = connection.scalars(
            text("select entity from performance_obligation where subject = :subject"), {"subject": f"obligation:{ref}"}
        )
    elif kind in ("export", "line"):
        rows = connection.scalars(
            text(
                "select entity from entity where :ref like '%TM-' || entity || '-%' order by length(entity) desc limit 1"
            ),
            {"ref": ref},
        )
    else:
        rows = connection.scalars(
            text(
                f"select {ENTITY_OF} from document_key k join document d using (customer_id, document_id) where k.type = :kind and k.ref = :ref"
            ),
            {"kind": kind, "ref": ref},
        )
    return {entity for entity in rows if entity is not None}


def require_entry(entry: EntryFacts, entities: Sequence[str] | None) -> None:
    """Raise UnknownReference for an entry that moves anything of other entities."""
    if entities is not None and not {line.entity for line in entry.lines} <= set(entities):
        raise UnknownReference("entry", entry.entry_id, "expected the number of an entry in the books")
