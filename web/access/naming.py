"""What documents name, and of which entities that is: the entities of a document are its own, and those whose accounts it moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from pydantic import BaseModel
from sqlalchemy import Connection, text

from ledger.documents.models import NAMED


class Thing(NamedTuple):
    """A document, or an obligation, by its kind and id; the ids of obligations are a customer's own, where one is said."""

    kind: str
    ref: str
    customer: str = ""


class Name(NamedTuple):
    """Something that a document names: by which field, as it stands there, and what it can be, each by its kind and id."""

    field: str
    value: str
    things: tuple[Thing, ...]

    @property
    def ref(self) -> str:
        """The id by which it is named."""
        return self.things[0].ref

    def is_there(self, found: Mapping[Thing, Collection[str]]) -> bool:
        """Whether anything of the name is in the books, of whatever entity."""
        return any(thing in found for thing in self.things)

    def is_open(self, found: Mapping[Thing, Collection[str]], wanted: Collection[str]) -> bool:
        """Whether something of the name is there for who may see some entities alone."""
        return any(is_open(thing.kind, found.get(thing, ()), wanted) for thing in self.things)


# Of one type by the field; what moves a receipt's money names the document that said whose it is.
_OF_ONE = {field: kinds[0] for field, kinds in NAMED.items() if field not in ("receipt", "invoice", "contract")}

# The entity that a document `d` is of: its own, or that of what it names, and of what that names in turn.
ENTITY_OF = f"""coalesce(d.body::jsonb ->> 'entity', (
    with recursive up(type, body) as (
        select d.type, d.body::jsonb
        union all
        select n.type, n.body::jsonb from up
        cross join lateral (values {", ".join(f"('{kind}', up.body ->> '{field}')" for field, kind in _OF_ONE.items())},
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
        (select o.entity from performance_obligation o where o.customer_id = d.customer_id and o.subject = 'obligation:' || (up.body ->> 'obligation') limit 1)
    ) as entity from up order by entity limit 1
))"""

# The fields by which documents name others, beside those that intake locks what they name of, and of which kinds these are.
NAMING: Mapping[str, tuple[str, ...]] = {
    **NAMED,
    "obligation": ("obligation",), "combined_with": ("contract",), "from_invoice": ("invoice",), "carried_from": ("grant",),
    "opening": ("dispute",),
    **dict.fromkeys(("account", "from_account", "to_account", "fee_account"), ("money_account",)),
}  # fmt: skip
# These name what a line of a manual entry is about, with its kind before it, and by what kinds of documents that is made.
_SUBJECTS = ("debit_subject", "credit_subject")
_MADE_BY = {"account": "money_account", "invoice": "invoice", "grant": "grant", "obligation": "obligation"}


def named(doc: BaseModel, place: str = "", kind: str = "", customer: str = "") -> Iterator[Name]:
    """What a document names, its lines, applications and other parts too, in the order of its fields.

    The contract of a grant is no more than the name of an order.
    """
    kind, customer = kind or getattr(doc, "type", ""), getattr(doc, "customer", None) or customer
    for field in type(doc).model_fields:
        value = getattr(doc, field)
        if isinstance(value, str):
            for of, ref in _named_by(field, value, kind):
                yield Name(
                    place + field, value, tuple(Thing(one, ref, customer if one == "obligation" else "") for one in of)
                )
        for index, part in enumerate(value if isinstance(value, list) else ()):
            if isinstance(part, BaseModel):
                yield from named(part, f"{place}{field}.{index}.", kind, customer)


def _named_by(field: str, value: str, kind: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a field of a kind of document names: the kinds that it can be of, and the id."""
    if field == "supersedes":
        yield (kind,), value
    elif field in NAMING and (kind, field) != ("grant", "contract"):
        yield NAMING[field], value
    elif field in _SUBJECTS:
        about, _, ref = value.partition(":")
        if about in _MADE_BY:
            yield (_MADE_BY[about],), ref


def entities_said(doc: BaseModel, place: str = "") -> Iterator[tuple[str, str, str]]:
    """The entities that a document says it is about, its parts too: by which field, as it stands there, and its id."""
    for field in type(doc).model_fields:
        value = getattr(doc, field)
        if field == "entity" and isinstance(value, str):
            yield place + field, value, value
        elif field in _SUBJECTS and isinstance(value, str) and value.startswith("entity:"):
            yield place + field, value, value.removeprefix("entity:")
        for index, part in enumerate(value if isinstance(value, list) else ()):
            if isinstance(part, BaseModel):
                yield from entities_said(part, f"{place}{field}.{index}.")


# Whether a document by the number `{}` moves anything of other entities than some: then it is not theirs alone, and not there for them.
MOVES_ELSEWHERE = (
    "exists (select from entry e join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
    " join account a on a.customer_id = p.customer_id and a.account_id in (p.debit_account, p.credit_account)"
    " where e.document_id = {} and a.entity <> all(cast(:entities as text[])))"
)

# Of documents by type and id; usage moves its own entity alone, and there may be much of it.
_OF_DOCUMENTS = f"""
    with wanted as (
        select k.type, k.ref, d.customer_id, d.document_id, d.body from
        (select distinct * from unnest(cast(:kinds as text[]), cast(:refs as text[])) u (type, ref)) n
        join document_key k on k.type = n.type and k.ref = n.ref join document d using (customer_id, document_id)
    )
    select d.type, d.ref, {ENTITY_OF} as entity from wanted d
    union
    select d.type, d.ref, jsonb_path_query(d.body::jsonb, 'lax $.lines[*].entity') #>> '{{}}' from wanted d where d.type = 'invoice'
    union
    select d.type, d.ref, a.entity from wanted d join entry e on e.document_id = d.document_id
    join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id
    join account a on a.customer_id = p.customer_id and a.account_id in (p.debit_account, p.credit_account)
    where d.type <> 'usage'
"""
_OF_OBLIGATIONS = (
    "select 'obligation' as type, substr(o.subject, 12) as ref, c.ref as customer, o.entity"
    " from performance_obligation o join customer c using (customer_id) where o.subject = any(cast(:subjects as text[]))"
)


def entities_of(connection: Connection, things: Collection[Thing]) -> dict[Thing, set[str]]:
    """The entities that documents and obligations are of, as far as they are in the books and are of any.

    Those of an obligation of no one customer are of all that have its id.
    """
    found: dict[Thing, set[str]] = defaultdict(set)
    asked = sorted(things)
    documents = {"kinds": [thing.kind for thing in asked], "refs": [thing.ref for thing in asked]}
    subjects = {"subjects": [f"obligation:{thing.ref}" for thing in asked if thing.kind == "obligation"]}
    for query, values in ((_OF_DOCUMENTS, documents), (_OF_OBLIGATIONS, subjects)):
        for row in connection.execute(text(query), values) if any(values.values()) else ():
            if row.entity is not None:
                for customer in {"", getattr(row, "customer", "")}:
                    found[Thing(row.type, row.ref, customer)].add(row.entity)
    return dict(found)


def is_open(kind: str, found: Collection[str], wanted: Collection[str]) -> bool:
    """Whether a thing of some entities is there for who may see `wanted` alone: all of it is of these, or one of several of its name."""
    return bool(set(found) & set(wanted)) and (kind == "obligation" or set(found) <= set(wanted))
