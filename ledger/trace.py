"""Tracing: from any number to the documents it comes from, and to what became of it.

A thing is linked to others by its document (which made entries) and by subject (an entry touches the account of a
grant, an invoice, an obligation; some document made that grant, invoice or obligation).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE
from ledger.amounts.money import to_text
from ledger.documents import personal
from ledger.errors import Refused, UnknownReference
from ledger.invoices import stated_amounts
from ledger.journal import references
from ledger.journal.entries import EntryFacts, entry_json, is_number, read_entries, read_entry
from ledger.usage.allotment import Billed, billed_by_invoice, bills_of_usage

STEPS_MAX = 200


@dataclass(frozen=True, slots=True)
class Step:
    """A thing on the way: `ref` can be traced in turn; `depth` says how many steps away it is."""

    kind: str
    ref: str
    text: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """A thing, its own entries, what it comes from and what it led to."""

    kind: str
    ref: str
    title: str
    entries: tuple[EntryFacts, ...] = ()
    sources: tuple[Step, ...] = ()
    results: tuple[Step, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The trace as JSON: amounts as decimal strings."""
        return {
            "kind": self.kind,
            "ref": self.ref,
            "title": self.title,
            "document": self.body,
            "entries": [entry_json(entry) for entry in self.entries],
            "comes_from": [_step_json(step) for step in self.sources],
            "led_to": [_step_json(step) for step in self.results],
        }


def _step_json(step: Step) -> dict[str, Any]:
    return {"kind": step.kind, "ref": step.ref, "text": step.text, "depth": step.depth}


# What things a name may be of, each by its kind and id, are all that who asks may see.
Seen = Callable[[Sequence[tuple[str, str]]], Sequence[tuple[str, str]]]
EXPECTED = (
    "expected an entry's number, a document such as invoice:INV-1, an obligation, or what a document is called"
    " elsewhere: stripe:ch_1 or its reference"
)


def trace(
    connection: Connection, ref: str, seen: Seen = lambda things: things, entities: Collection[str] | None = None
) -> Trace:
    """Trace an entry's number (48218), a document (invoice:INV-1, or INV-1), an obligation, or what a document is called elsewhere.

    What is nobody's id here is looked for among external ids (stripe:ch_1, or ch_1) and references (reference:PO-17, or PO-17).
    Of obligations, whose ids are a customer's own, those of some entities alone are found where these are given. Raises UnknownReference,
    or Refused where it is of several things that are `seen`.
    """
    kind, _, rest = ref.partition(":")
    if kind == "obligation" and rest:
        return _trace_obligation(connection, rest, entities)
    number = _number(rest)
    if kind == "entry" and number is not None:
        return _trace_entry(connection, number)
    if rest and connection.scalar(
        text("select count(*) from document_key where type = :type and ref = :ref"), {"type": kind, "ref": rest}
    ):
        return _trace_document(connection, kind, rest)
    of_id = seen([(type_, ref) for type_ in _types_of(connection, ref)])
    found = of_id or seen(_called(connection, ref))
    if not found:
        raise UnknownReference("ref", ref, EXPECTED)
    if len(found) > 1:
        choices = ", ".join(f"{kind}:{name}" for kind, name in found[:STEPS_MAX])
        said = "documents have this id" if of_id else "things are called so"
        raise Refused("ref", ref, f"several {said}; expected one of {choices}")
    ((kind, name),) = found
    return _trace_entry(connection, int(name)) if kind == "entry" else _trace_document(connection, kind, name)


def _types_of(connection: Connection, ref: str) -> list[str]:
    rows = connection.execute(text("select type from document_key where ref = :ref order by type"), {"ref": ref})
    return list(rows.scalars())


def _called(connection: Connection, ref: str) -> list[tuple[str, str]]:
    """The entry of a number, and the documents that are called so elsewhere."""
    entries = connection.scalars(text("select entry_id from entry where entry_id = :number"), {"number": _number(ref)})
    return [*(("entry", str(entry)) for entry in entries), *references.called(connection, ref)]


def _number(written: str) -> int | None:
    """The number of an entry as people write it, 48,218; None for what is none."""
    plain = written.replace(",", "")
    return int(plain) if is_number(plain) else None


def _document(connection: Connection, kind: str, ref: str) -> Any:
    return connection.execute(
        text(
            "select d.customer_id, d.document_id, d.type, d.ref, d.dated_on, d.body, d.posted_at, d.posted_by "
            "from document_key k join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "where k.type = :type and k.ref = :ref"
        ),
        {"type": kind, "ref": ref},
    ).first()


def _trace_entry(connection: Connection, entry_id: int) -> Trace:
    entry = read_entry(connection, entry_id)
    kind, _, ref = entry.document.partition(":")
    sources = [_document_step(connection, kind, ref, 0)]
    sources += _named_by(connection, kind, ref, depth=1)
    subjects = {line.subject for line in entry.lines}
    customer_id = connection.scalar(text("select customer_id from customer where ref = :ref"), {"ref": entry.customer})
    seen = {(step.kind, step.ref) for step in sources}
    for subject in sorted(subjects):
        for step in _makers(connection, customer_id, subject, depth=1):
            if (step.kind, step.ref) not in seen:
                sources.append(step)
                seen.add((step.kind, step.ref))
    if kind == "invoice":
        row = _document(connection, kind, ref)
        sources += _usage_steps(billed_by_invoice(connection, row.customer_id, row.document_id), "usage", depth=1)
    results = []
    if entry.reverses:
        sources.append(Step("entry", str(entry.reverses), "which it reverses", 1))
    if entry.reversed_by:
        results.append(Step("entry", str(entry.reversed_by), "reverses it", 0))
    results += _billed_and_paid(connection, entry)
    results += _sealed(connection, entry_id)
    title = f"entry {entry.entry_id:,} of {entry.effective_on}: {entry.amounts()}"
    return Trace("entry", str(entry_id), title, (entry,), tuple(sources), tuple(results))


def _sealed(connection: Connection, entry_id: int) -> list[Step]:
    """The seal that an entry is under."""
    rows = connection.execute(
        text(
            "select seal_id, last_entry - first_entry + 1 as entries, sealed_at from seal"
            " where :entry between first_entry and last_entry order by seal_id"
        ),
        {"entry": entry_id},
    )
    return [
        Step(
            "sealed", f"block {row.seal_id}", f"at {row.sealed_at:%Y-%m-%d %H:%M} UTC, with {row.entries - 1:,} others"
        )
        for row in rows
    ]


def _billed_and_paid(connection: Connection, entry: EntryFacts) -> list[Step]:
    """Where an entry's usage was billed, and where its invoices were paid."""
    kind, _, ref = entry.document.partition(":")
    later: list[EntryFacts] = []
    back: set[str] = set()
    if kind == "usage":
        row = _document(connection, kind, ref)
        bills = bills_of_usage(connection, row.customer_id, row.document_id)
        invoices = {bill.line.invoice_id for bill in bills}
        back = {f"invoice:{bill.line.invoice}" for bill in bills if bill.line.taken_back}
        subjects = {line.subject for line in entry.lines if line.subject.startswith("usage:")}
        for subject in sorted(subjects):
            later += _moving(connection, entry, subject, _BILLS_USAGE, list(invoices))
    for subject in sorted({line.subject for line in entry.lines if line.subject.startswith("invoice:")}):
        later += _moving(connection, entry, subject, ["payment.applied"])
    return [
        Step(
            "entry",
            str(e.entry_id),
            f"{e.effective_on} {e.document}: {e.amounts()}{', taken back since' * (e.document in back)}",
        )
        for e in dict.fromkeys(later)
    ]


_BILLS_USAGE = ["invoice.usage", "invoice.usage_ahead"]


def _moving(
    connection: Connection, entry: EntryFacts, subject: str, codes: list[str], documents: list[int] | None = None
) -> list[EntryFacts]:
    """Entries that move a subject by some rules; of some documents, or from an entry's day on."""
    return read_entries(
        connection,
        "e.customer_id = (select customer_id from customer where ref = :customer) and e.entry_id <> :entry_id and "
        + ("e.effective_on >= :on" if documents is None else "e.document_id = any(:documents) and e.reverses is null")
        + " and exists (select from journal_line l where l.customer_id = e.customer_id and l.entry_id = e.entry_id "
        "and l.subject = :subject and l.rule = any(:codes))",
        {
            "customer": entry.customer, "entry_id": entry.entry_id, "subject": subject, "codes": codes, "on": entry.effective_on,
            "documents": documents,
        },
    )  # fmt: skip


def _trace_document(connection: Connection, kind: str, ref: str) -> Trace:
    row = _document(connection, kind, ref)
    body = personal.shown(connection, row.customer_id, row.document_id, json.loads(row.body))
    entries = read_entries(connection, "e.document_id = :document_id", {"document_id": row.document_id})
    made = _made_subjects(connection, kind, ref, row)
    dated = f" of {row.dated_on}" if row.dated_on else ""
    called = "".join(f", {words}" for words in references.said(body))
    title = f"{kind} {ref}{dated}{called}, posted {row.posted_at:%Y-%m-%d %H:%M:%S} UTC by {row.posted_by}"
    results = [_entry_step(entry, 0) for entry in entries]
    if kind == "invoice":
        parts = connection.scalars(
            text("select ref from invoice where customer_id = :customer_id and master = :ref order by invoice_id"),
            {"customer_id": row.customer_id, "ref": ref},
        )
        results += [_document_step(connection, "invoice", part, 0) for part in list(parts)]
    if kind == "contract":
        results += _changes(connection, row.customer_id, row.document_id, made)
    if kind == "customer":
        results += customer_changes(connection, row.customer_id)
    results += _later_entries(connection, row.customer_id, row.document_id, made)
    if kind == "invoice":
        results += _money_on(connection, row)
    if kind == "money_account":
        results += [
            Step("entry", str(e.entry_id), f"{e.effective_on} {e.document}: {e.amounts()}", 1)
            for e in _on_cash(connection, ref)
        ]
    results += _about(connection, kind, ref)
    sources = _named_by(connection, kind, ref, depth=0)
    if kind == "invoice":
        sources += _usage_steps(billed_by_invoice(connection, row.customer_id, row.document_id), "usage")
    if kind in ("invoice", "credit_note"):
        sources += [
            Step(
                "stated", f"line {one.line}",
                f"{one.what} {to_text(one.stated, one.currency)} {one.currency}, {to_text(one.computed, one.currency)} worked out", 0,
            )
            for one in stated_amounts.of_document(connection, row.customer_id, row.document_id)
        ]  # fmt: skip
    if kind == "usage":
        results += _usage_steps(bills_of_usage(connection, row.customer_id, row.document_id), "invoice")
        results += [Step("usage", one, "supersedes it") for one in _superseding(connection, row)]
    if kind == "approval_rule":
        results += _stood_for(connection, ref)
    return Trace(kind, ref, title, tuple(entries), tuple(sources), tuple(results), body)


def _trace_obligation(connection: Connection, ref: str, entities: Collection[str] | None) -> Trace:
    subject = f"obligation:{ref}"
    row = connection.execute(
        text(
            "select * from performance_obligation where subject = :subject"
            " and (cast(:entities as text[]) is null or entity = any(:entities)) order by customer_id limit 1"
        ),
        {"subject": subject, "entities": None if entities is None else list(entities)},
    ).first()
    if row is None:
        raise UnknownReference("obligation", ref, "expected the id of an obligation in the books")
    entries = _on_subjects(connection, row.customer_id, [subject])
    title = f"obligation {ref}: {row.product}, {row.pattern}, {row.starts_on} to {row.ends_on}"
    changes = _changes(connection, row.customer_id, 0, [subject])
    made = [step for step in changes if step.kind != "contract"]
    return Trace(
        "obligation",
        ref,
        title,
        (),
        (_maker(connection, row),),
        (*made, *(_entry_step(e, 0) for e in entries)),
    )


def _changes(connection: Connection, customer_id: int, document_id: int, subjects: Sequence[str]) -> list[Step]:
    """The documents that changed what obligations earn by when, by their dates, whether they post anything or not."""
    rows = connection.execute(
        text(
            "select distinct d.type, d.ref, d.dated_on, d.document_id, d.body from obligation_terms v"
            " join document d on d.customer_id in (v.customer_id, 0) and d.document_id = v.document_id"
            " where v.customer_id = :customer_id and v.subject = any(:subjects) and d.document_id <> :document_id"
            " order by d.dated_on, d.document_id"
        ),
        {"customer_id": customer_id, "subjects": list(subjects), "document_id": document_id},
    )
    return [Step(row.type, row.ref, _describe(row), 0) for row in rows if row.type != "invoice"]


def customer_changes(connection: Connection, customer_id: int) -> list[Step]:
    """The documents that changed a customer, by their dates, and of one day as they arrived."""
    rows = connection.execute(
        text(
            "select type, ref, dated_on, body from document where customer_id = :customer_id and type = 'customer_change'"
            " order by dated_on, document_id"
        ),
        {"customer_id": customer_id},
    )
    return [Step(row.type, row.ref, _describe(row)) for row in rows]


def _entry_step(entry: EntryFacts, depth: int) -> Step:
    return Step("entry", str(entry.entry_id), f"{entry.effective_on} {entry.amounts()}", depth)


def _document_step(connection: Connection, kind: str, ref: str, depth: int) -> Step:
    row = _document(connection, kind, ref)
    return Step(kind, ref, _describe(row), depth)


def _describe(row: Any) -> str:
    body = json.loads(row.body)
    words = [str(row.dated_on)] if row.dated_on else []
    if row.type == "usage" and body.get("amount") is not None:
        words.append(f"{body['product']} for {body['amount']} {body['currency']}")
    elif row.type == "usage":
        words.append(f"{body['quantity']} {body['product']} at {body['unit_price']} {body['currency']}")
    elif row.type == "customer_change":
        words += [_changed(field, value) for field, value in body.items() if field not in _OF_CHANGE]
    elif "amount" in body:
        words.append(" ".join(filter(None, [body["amount"], body.get("currency")])))
    elif row.type == "invoice":
        lines = body["lines"]
        due = f", due {body['due_on']}" if body.get("due_on") else ""
        words.append(f"{len(lines)} line{'s' if len(lines) > 1 else ''}{due}")
    elif "name" in body:
        words.append(str(body["name"]))
    if body.get("approved_by"):
        words.append(f"approved by {body['approved_by']}")
    words += references.said(body)
    return ", ".join(words)


# What of a change of a customer says which one it is of whom.
_OF_CHANGE = ("type", "id", "customer", "date")


def _changed(field: str, value: object) -> str:
    """What a change says of a field; of contacts only that they did, as they may be erased."""
    if field == personal.COMMITMENT:
        return "contacts"
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"{field.replace('_', ' ')}: {'none' if shown in (None, '') else shown}"


def _named_by(connection: Connection, kind: str, ref: str, depth: int) -> list[Step]:
    """What a document itself names: the events behind usage, the grants, obligations and invoices it is about."""
    row = _document(connection, kind, ref)
    body = json.loads(row.body)
    steps = []
    if body.get("events"):
        steps.append(Step("events", body["events"], "what the usage was metered from", depth))
    for line in body.get("lines", ()):
        if line.get("grant"):
            steps.append(_document_step(connection, "grant", line["grant"], depth))
        if line.get("obligation"):
            steps += _makers(connection, row.customer_id, f"obligation:{line['obligation']}", depth)
    for key in ("master", "supersedes"):
        if body.get(key):
            steps.append(_document_step(connection, kind, body[key], depth))
    named = [item["invoice"] for item in body.get("applications", ())] + [
        body[key] for key in ("invoice",) if key in body
    ]
    steps += [_document_step(connection, "invoice", invoice, depth) for invoice in named]
    if kind == BESIDE:
        of_type, _, of_ref = body["of"].partition(":")
        steps.append(_document_step(connection, of_type, of_ref, depth))
    # a flag of such a name, as an estimate has, names nothing
    names = names_of(kind).items()
    steps += [_document_step(connection, of, body[key], depth) for key, of in names if isinstance(body.get(key), str)]
    known = {(step.kind, step.ref) for step in steps}
    steps += [step for step in _money_behind(connection, row, body, depth) if (step.kind, step.ref) not in known]
    standing = connection.scalar(
        text("select rule from approval_by_rule where customer_id = :customer_id and document_id = :document_id"),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    if standing is not None:
        told = _describe(_document(connection, "approval_rule", standing))
        steps.append(Step("approval_rule", standing, f"stood for a second person: {told}", depth))
    return steps


def _money_behind(connection: Connection, row: Any, body: dict[str, Any], depth: int) -> list[Step]:
    """The documents whose money one took off the balance, to pay it out or put it onto an invoice."""
    if row.type == "refund" and body.get("customer"):
        return _money_of(connection, row, depth)
    return _money_put(connection, row.type, row.ref, depth) if row.type == "application" else []


def _money_of(connection: Connection, refund: Any, depth: int) -> list[Step]:
    """The documents whose money a refund of a balance paid out, with how much of each."""
    rows = connection.execute(
        text(
            "select m.type, m.ref, m.dated_on, m.body, u.currency, -sum(u.amount_minor)::bigint as amount from money_use u"
            " join document m on m.document_id = u.money_id where u.customer_id = :customer_id and u.document_id = :document_id"
            " group by m.type, m.ref, m.dated_on, m.body, m.document_id, u.currency order by min(u.use_id)"
        ),
        {"customer_id": refund.customer_id, "document_id": refund.document_id},
    )
    return [_of_it(row, depth) for row in rows]


def _money_put(connection: Connection, kind: str, ref: str, depth: int) -> list[Step]:
    """The documents whose money a document put onto invoices, those of others too, with how much of each."""
    rows = connection.execute(
        text(
            "select m.type, m.ref, m.dated_on, m.body, u.currency, sum(u.amount_minor)::bigint as amount from document_key k"
            " join money_use u on u.customer_id = k.customer_id and u.document_id = k.document_id and u.invoice_id <> 0 and u.amount_minor > 0"
            " join document m on m.document_id = u.money_id"
            f" where (k.type, k.ref) in ((:type, :ref), ('{BESIDE}', :type || ':' || :ref))"
            " group by m.type, m.ref, m.dated_on, m.body, m.document_id, u.currency order by min(u.use_id)"
        ),
        {"type": kind, "ref": ref},
    )
    return [_of_it(row, depth) for row in rows]


def _money_on(connection: Connection, invoice: Any) -> list[Step]:
    """The documents whose money lies on an invoice, put there by another document, with how much of each."""
    rows = connection.execute(
        text(
            "select m.type, m.ref, m.dated_on, m.body, u.currency, sum(u.amount_minor)::bigint as amount from money_use u"
            " join document m on m.document_id = u.money_id where u.customer_id = :customer_id and u.invoice_id = :invoice_id"
            " group by m.type, m.ref, m.dated_on, m.body, m.document_id, u.currency"
            " having sum(u.amount_minor) > 0 and not bool_and(u.document_id = u.money_id) order by min(u.use_id)"
        ),
        {"customer_id": invoice.customer_id, "invoice_id": invoice.document_id},
    )
    return [_of_it(row, 1) for row in rows]


def _of_it(row: Any, depth: int) -> Step:
    return Step(row.type, row.ref, f"{_describe(row)}: {to_text(row.amount, row.currency)} {row.currency} of it", depth)


def _paid_out(connection: Connection, kind: str, ref: str) -> list[Step]:
    """The refunds of a balance that paid out money of a document, and the applications that took it off there."""
    rows = connection.execute(
        text(
            "select d.type, d.ref, d.dated_on, d.body, u.currency, -sum(u.amount_minor) filter (where d.type = 'refund'"
            "  or u.amount_minor < 0)::bigint as amount from document_key k"
            " join money_use u on u.money_id = k.document_id"
            " join document d on d.customer_id = u.customer_id and d.document_id = u.document_id"
            "  and (d.type = 'refund' and d.body::json ->> 'customer' is not null"
            "   or d.type = 'application' and d.body::json ->> 'payment' is null) where k.type = :type and k.ref = :ref"
            " group by d.type, d.ref, d.dated_on, d.body, d.document_id, u.currency order by d.dated_on, d.document_id"
        ),
        {"type": kind, "ref": ref},
    )
    return [_of_it(row, 0) for row in rows]


def names_of(kind: str) -> dict[str, str]:
    """The types of the documents that fields of a kind of document name, by field."""
    own = _NAMES_OF.get(kind, {})
    return own | _NAMES | own


# The types of the documents that these fields name; and of some types.
_NAMES_OF = {
    "customer_change": {"customer": "customer"},
    **{kind: {"receipt": "receipt_identified"} for kind in ("refund", "dispute", "payment_reversal")},
}
_NAMES = {
    "account": "money_account", "from_account": "money_account", "to_account": "money_account", "fee_account": "money_account",
    "transfer": "transfer", "receipt": "unidentified_receipt", "takes_back": "customer_credit", "parent": "customer",
    "payer": "customer", "payment": "payment", "application": "application", "refund": "refund", "opening": "dispute",
    "credit_note": "credit_note", "write_off": "write_off", "recovery": "recovery", "rule": "approval_rule",
    "cost": "contract_cost", "from_invoice": "invoice",
}  # fmt: skip


# The types of the documents that make subjects of these kinds, one each.
_MADE_BY = {
    "invoice": "invoice",
    "account": "money_account",
    "receipt": "unidentified_receipt",
    "credit": "customer_credit",
}


def _makers(connection: Connection, customer_id: int | None, subject: str, depth: int) -> list[Step]:
    """The documents that made a subject of a customer's: a grant with the invoices that bill it, an invoice, an obligation."""
    kind, _, ref = subject.partition(":")
    if kind in _MADE_BY:
        return [_document_step(connection, _MADE_BY[kind], ref, depth)]
    if kind == "grant":
        invoices = connection.execute(
            text(
                "select distinct i.ref from invoice_line l join invoice i using (customer_id, invoice_id) "
                "where l.subject = :subject order by i.ref"
            ),
            {"subject": subject},
        )
        billed_by = [_document_step(connection, "invoice", invoice, depth + 1) for invoice in invoices.scalars()]
        return [_document_step(connection, "grant", ref, depth), *billed_by]
    if kind == "obligation":
        rows = connection.execute(
            text(
                "select contract, invoice from performance_obligation where subject = :subject and customer_id = :customer_id"
            ),
            {"subject": subject, "customer_id": customer_id},
        )
        return [_maker(connection, row, depth) for row in rows]
    return []


def _maker(connection: Connection, obligation: Any, depth: int = 0) -> Step:
    """The contract or invoice that promises an obligation."""
    if obligation.contract is not None:
        return _document_step(connection, "contract", obligation.contract, depth)
    return _document_step(connection, "invoice", obligation.invoice, depth)


def _made_subjects(connection: Connection, kind: str, ref: str, row: Any) -> list[str]:
    """The subjects whose accounts a document opened."""
    if kind == "grant":
        own = [f"grant:{ref}"]
    elif kind == "invoice":  # and the grants it bills, so that the draws on them show
        body = json.loads(row.body)
        own = [f"invoice:{ref}", *(f"grant:{line['grant']}" for line in body["lines"] if line.get("grant"))]
    elif kind == "contract":
        own = []
    else:
        return []
    obligations = connection.execute(
        text(
            "select subject from performance_obligation where customer_id = :customer_id "
            "and (contract = :contract or invoice = :invoice)"
        ),
        {
            "customer_id": row.customer_id,
            "contract": ref if kind == "contract" else None,
            "invoice": ref if kind == "invoice" else None,
        },
    )
    return [*own, *obligations.scalars()]


def _on_subjects(connection: Connection, customer_id: int, subjects: Sequence[str]) -> list[EntryFacts]:
    return read_entries(
        connection,
        "e.customer_id = :customer_id and e.entry_id in ("
        " select p.entry_id from account a join posting p on p.customer_id = a.customer_id"
        " and (p.debit_account = a.account_id or p.credit_account = a.account_id)"
        " where a.customer_id = :customer_id and a.subject = any(:subjects))",
        {"customer_id": customer_id, "subjects": list(subjects)},
    )


def _later_entries(connection: Connection, customer_id: int, document_id: int, subjects: Iterable[str]) -> list[Step]:
    """Entries of other documents on what this one made: draws on a grant, payments and revenue of an invoice."""
    made = list(subjects)
    if not made:
        return []
    own = set(
        connection.execute(
            text("select entry_id from entry where document_id = :document_id"), {"document_id": document_id}
        ).scalars()
    )
    return [
        Step("entry", str(e.entry_id), f"{e.effective_on} {e.document}: {e.amounts()}", 1)
        for e in _on_subjects(connection, customer_id, made)
        if e.entry_id not in own
    ]


def _on_cash(connection: Connection, account: str) -> list[EntryFacts]:
    """The first entries that move the cash of an account of money, whosever they are."""
    return read_entries(
        connection,
        "(e.customer_id, e.entry_id) in (select p.customer_id, p.entry_id from account a join posting p"
        " on p.customer_id = a.customer_id and (p.debit_account = a.account_id or p.credit_account = a.account_id)"
        " where a.role = 'cash' and a.subject = :subject)",
        {"subject": f"account:{account}"},
        order="e.occurred_on, e.entry_id",
    )


# Which documents undo one or go on with it, and the field in which they name it.
_ABOUT = {
    "transfer": ("transfer", ["transfer_reversal"]), "unidentified_receipt": ("receipt", ["receipt_identified", "receipt_returned"]),
    "customer_credit": ("takes_back", ["customer_credit"]), "application": ("application", ["unapplication"]),
    "payment": ("payment", ["application", "unapplication", "payment_reversal", "refund", "dispute"]),
    "dispute": ("opening", ["dispute"]), "refund": ("refund", ["refund_reversal"]), "credit_note": ("credit_note", ["credit_note_void"]),
    "write_off": ("write_off", ["recovery"]), "recovery": ("recovery", ["refund", "dispute", "payment_reversal"]),
    "receipt_identified": ("receipt", ["refund", "dispute", "payment_reversal"]),
}  # fmt: skip


def _about(connection: Connection, kind: str, ref: str) -> list[Step]:
    """The documents that undo one, or go on with it, and what the house keeps beside it."""
    named, types = _ABOUT.get(kind, ("", []))
    rows = connection.execute(
        text(
            "select d.type, d.ref, d.dated_on, d.body from document_key k join document d using (customer_id, document_id)"
            " where k.type = any(:types) and d.body::json ->> :named = :ref order by d.dated_on, d.document_id"
        ),
        {"types": types, "named": named, "ref": ref},
    )
    found = [Step(row.type, row.ref, _describe(row), 0) for row in rows] + _paid_out(connection, kind, ref)
    beside = _document(connection, BESIDE, f"{kind}:{ref}")
    return [*found, Step(BESIDE, beside.ref, "what it moves of others", 0)] if beside else found


def _stood_for(connection: Connection, rule: str) -> list[Step]:
    """What ended an approved rule, and the documents that it stood for a second person of."""
    rows = connection.execute(
        text(
            "(select d.type, d.ref, d.dated_on, d.body from document_key k join document d using (customer_id, document_id)"
            " where k.type = 'approval_rule_end' and d.body::json ->> 'rule' = :rule order by d.document_id) union all "
            "(select d.type, d.ref, d.dated_on, d.body from approval_by_rule a join document d using (customer_id, document_id)"
            " where a.rule = :rule order by d.document_id limit :most)"
        ),
        {"rule": rule, "most": STEPS_MAX},
    )
    return [Step(row.type, row.ref, _describe(row), 0) for row in rows]


def _superseding(connection: Connection, row: Any) -> list[str]:
    """The usage that took a usage document's place."""
    rows = connection.scalars(
        text(
            "select d.ref from superseded_usage s join document d on d.customer_id = s.customer_id"
            " and d.document_id = s.superseded_by where s.customer_id = :customer_id and s.document_id = :document_id"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    return list(rows)


def _usage_steps(billed: Sequence[Billed], kind: str, depth: int = 0) -> list[Step]:
    """Usage on the lines of an invoice as steps to the usage, or to the invoices that bill it."""
    steps = []
    shown: Counter[str] = Counter()
    for one in billed:
        line = one.line
        shown[line.line] += 1
        if kind == "usage" and shown[line.line] > STEPS_MAX:
            continue
        amount = f"{to_text(one.amount, one.currency)} {one.currency} on line {line.line}"
        if kind == "usage":
            steps.append(Step("usage", one.used.ref, f"{one.used.used_on}, {amount}", depth))
        else:
            back = ", taken back since" if line.taken_back else ""
            steps.append(Step("invoice", line.invoice, f"{line.issued_on}, {amount}{back}", depth))
    if rest := sum(max(count - STEPS_MAX, 0) for count in shown.values()) if kind == "usage" else 0:
        steps.append(
            Step("more", "", f"{rest:,} more usage documents: tickmark invoice {line.invoice} --unfold", depth)
        )
    return steps
