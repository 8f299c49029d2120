"""Entries: what they come from, what they led to, and those on a subject's accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from ledger.journal.entries import EntryFacts, read_entries, read_entry
from ledger.trace.documents import document_of, document_step
from ledger.trace.names import makers, named_by
from ledger.trace.steps import Step, Trace, Tracing
from ledger.trace.usage import usage_steps
from ledger.usage.allotment import billed_by_invoice, bills_of_usage


def trace_entry(tracing: Tracing, entry_id: int) -> Trace:
    """An entry, with what its usage was billed by, its invoices paid, and its seal."""
    connection = tracing.connection
    entry = read_entry(connection, entry_id)
    kind, _, ref = entry.document.partition(":")
    sources = [document_step(connection, kind, ref, 0)]
    sources += named_by(tracing, kind, ref, depth=1)
    subjects = {line.subject for line in entry.lines}
    customer_id = connection.scalar(text("select customer_id from customer where ref = :ref"), {"ref": entry.customer})
    seen = {(step.kind, step.ref) for step in sources}
    for subject in sorted(subjects):
        for step in makers(tracing, customer_id, subject, depth=1):
            if (step.kind, step.ref) not in seen:
                sources.append(step)
                seen.add((step.kind, step.ref))
    if kind == "invoice":
        row = document_of(connection, kind, ref)
        sources += usage_steps(billed_by_invoice(connection, row.customer_id, row.document_id), "usage", depth=1)
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
        row = document_of(connection, kind, ref)
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


def entry_step(entry: EntryFacts, depth: int) -> Step:
    """An entry as a step."""
    return Step("entry", str(entry.entry_id), f"{entry.effective_on} {entry.amounts()}", depth)


def on_subjects(connection: Connection, customer_id: int, subjects: Sequence[str]) -> list[EntryFacts]:
    """The entries that move accounts of some subjects of a customer."""
    return read_entries(
        connection,
        "e.customer_id = :customer_id and e.entry_id in ("
        " select p.entry_id from account a join posting p on p.customer_id = a.customer_id"
        " and (p.debit_account = a.account_id or p.credit_account = a.account_id)"
        " where a.customer_id = :customer_id and a.subject = any(:subjects))",
        {"customer_id": customer_id, "subjects": list(subjects)},
    )


def later_entries(connection: Connection, customer_id: int, document_id: int, subjects: Iterable[str]) -> list[Step]:
    """Entries of other documents on what this one made.

    Draws on a grant, payments and revenue of an invoice.
    """
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
        for e in on_subjects(connection, customer_id, made)
        if e.entry_id not in own
    ]


def on_cash(connection: Connection, account: str) -> list[EntryFacts]:
    """The first entries that move the cash of an account of money, whosever they are."""
    return read_entries(
        connection,
        "(e.customer_id, e.entry_id) in (select p.customer_id, p.entry_id from account a join posting p"
        " on p.customer_id = a.customer_id and (p.debit_account = a.account_id or p.credit_account = a.account_id)"
        " where a.role = 'cash' and a.subject = :subject)",
        {"subject": f"account:{account}"},
        order="e.occurred_on, e.entry_id",
    )
