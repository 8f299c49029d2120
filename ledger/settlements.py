"""Money that does not come or does not stay: refunds, disputes, write-offs and recoveries.

What goes back for service already given is shown on its own beside revenue, or as bad debt; what goes back for service
not yet given leaves the contract liability. What of it was given by the day before, the terms of what was billed say
(`obligations`), never what recognition has booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text

from ledger import billed, credits_back, documents, redraws, usage_lines
from ledger.approval import require_second
from ledger.billed import BilledInvoice, Line
from ledger.books import AccountKey, Books, Movement, Source
from ledger.corrections import charged, lowered_by
from ledger.errors import OverApplication, Refused, UnknownReference
from ledger.expiry import expired_by
from ledger.grants import Funding
from ledger.money import to_minor, to_text
from ledger.obligations import Correction, Decided, Obligations, Taking
from ledger.positions import available
from ledger.receivables import BETWEEN, entity_subject, invoice_subject
from ledger.taxes import tax_subject
from ledger.wallets import Wallets

_CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class _Payment:
    """A payment found by its id: what is left of it to give back, and which invoices it settled by how much."""

    source: Source
    ref: str
    rail: str
    paid_on: date
    left: int
    settled: tuple[tuple[str, int], ...]


def _find_payment(wallets: Wallets, document_id: int, ref: str, on: date) -> _Payment:
    books = wallets.books
    books.flush()
    row: Any = books.connection.execute(
        text(
            "select d.customer_id, d.document_id, d.body::json as body, c.ref as customer from document_key k "
            "join document d on d.customer_id = k.customer_id and d.document_id = k.document_id "
            "join customer c on c.customer_id = d.customer_id where k.type = 'payment' and k.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if row is None:
        raise UnknownReference("payment", ref, "expected the id of a payment posted before")
    body = row.body
    source = books.source(document_id, row.customer, body["entity"], body["currency"], on, brings_in=False)
    settled = books.connection.execute(
        text(
            "select substr(a.subject, 9) as invoice, sum(p.amount)::bigint as amount from entry e "
            "join posting p using (customer_id, entry_id) join rule r on r.number = p.rule "
            "join account a on a.customer_id = p.customer_id and a.account_id = p.credit_account "
            "where e.customer_id = :customer_id and e.document_id = :document_id and r.code = 'payment.applied' "
            "group by 1 order by min(e.entry_id)"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    back = books.connection.scalars(
        text(
            "select body::json ->> 'amount' from document where customer_id = :customer_id "
            "and body::json ->> 'payment' = :ref "
            "and (type = 'refund' or (type = 'dispute' and body::json ->> 'status' = 'lost'))"
        ),
        {"customer_id": row.customer_id, "ref": ref},
    )
    moved = books.connection.execute(
        text(
            "select body::json ->> 'from_invoice' as source, body::json ->> 'invoice' as target,"
            " body::json ->> 'amount' as amount from document where customer_id = :customer_id "
            "and type = 'application' and body::json ->> 'from_invoice' is not null order by document_id"
        ),
        {"customer_id": row.customer_id},
    )
    reached = {s.invoice: int(s.amount) for s in settled}
    for move in moved:
        part = min(reached.get(move.source, 0), to_minor(documents.decimal_of(move.amount), body["currency"]))
        if part:
            reached[move.source] -= part
            reached[move.target] = reached.get(move.target, 0) + part
    for given in _given_back(books, row.customer_id, ref):
        reached[given.invoice] = max(reached.get(given.invoice, 0) - given.amount, 0)
    returned = sum(to_minor(documents.decimal_of(amount), body["currency"]) for amount in back)
    paid = to_minor(documents.decimal_of(body["amount"]), body["currency"])
    return _Payment(
        source,
        ref,
        body["rail"],
        date.fromisoformat(body["date"]),
        paid - returned,
        tuple((ref, amount) for ref, amount in reached.items() if amount),
    )


def require_at_most(amount: int, most: int, currency: str, what: str) -> None:
    """Raise OverApplication for an amount beyond what there is."""
    if amount > most:
        raise OverApplication(
            "amount",
            f"{to_text(amount, currency)} {currency}",
            f"expected at most {to_text(max(most, 0), currency)}, {what}",
        )


def require_not_before(on: date, earliest: date, what: str) -> None:
    """Raise Refused for a date before the first that can be."""
    if on < earliest:
        raise Refused("date", on, f"expected {earliest}, {what}, or later")


def _given_back(books: Books, customer_id: int, payment: str) -> Sequence[Any]:
    """What refunds and lost disputes of a payment gave back of each invoice it settled, with taxes."""
    return books.connection.execute(
        text(
            "with back as (select document_id from document where customer_id = :customer_id and type in ('refund', 'dispute')"
            "  and body::json ->> 'payment' = :payment) "
            "select i.ref as invoice, sum(x.amount)::bigint as amount from ("
            " select invoice_id, document_id, undoes, amount_minor as amount from line_change"
            "  where customer_id = :customer_id and kind in ('refund', 'dispute')"
            " union all select invoice_id, document_id, undoes, -tax_minor from line_tax where customer_id = :customer_id"
            ") x join invoice i on i.customer_id = :customer_id and i.invoice_id = x.invoice_id "
            "where coalesce(nullif(x.undoes, 0), x.document_id) in (select document_id from back) group by 1"
        ),
        {"customer_id": customer_id, "payment": payment},
    ).all()


def _by_line(books: Books, invoice: BilledInvoice, amount: int, on: date) -> dict[str, int]:
    """A gross amount of an invoice by the lines it is of: by what was left of them on a day, as far as that is there still."""
    lines = charged(invoice.lines)
    later = billed.taken_later(books, invoice, on)
    by_then = billed.shares(amount, [line.gross + later[line.line] for line in lines]) if later.total() else []
    if not by_then or any(part > line.gross for line, part in zip(lines, by_then, strict=True)):
        by_then = billed.shares(amount, [line.gross for line in lines])
    return {line.line: part for line, part in zip(lines, by_then, strict=True)}


def _of_parts(
    wallets: Wallets, document_id: int, invoice: BilledInvoice, by_line: Mapping[str, int]
) -> list[tuple[BilledInvoice, dict[str, int]]]:
    """The parts of an invoice that other entities keep, each with what of the amounts is of its lines."""
    if not any(line.kind == BETWEEN for line in invoice.lines):
        return []
    found = []
    for part in billed.parts(wallets, document_id, invoice):
        own = {line.line for line in part.lines}
        found.append((part, {line: amount for line, amount in by_line.items() if line in own}))
    return found


def _given(
    wallets: Wallets,
    document_id: int,
    by: str,
    on: date,
    kind: str,
    of: Sequence[tuple[BilledInvoice, Mapping[str, int]]],
    obligations: Obligations,
) -> Decided:
    """How what is given up or back of invoices' lines, gross, is made up where they bill obligations: all of a document at once."""
    corrections = []
    for invoice, by_line in of:
        for line in charged(invoice.lines):
            if billed.is_of_terms(line) and by_line[line.line]:
                net, _ = lowered_by(by_line[line.line], line)
                corrections += [
                    # not before its receivable counts, as a credit note of it
                    Correction(
                        document_id,
                        by,
                        kind,
                        invoice.invoice_id,
                        line.line,
                        subject,
                        part,
                        max(on, invoice.recorded_on),
                    )
                    for subject, part in billed.by_obligation(line, net)
                ]
    customer_id = of[0][0].source.customer.customer_id if of else 0
    return obligations.decide(wallets, customer_id, document_id, corrections)


def _post_parts(
    wallets: Wallets,
    parts: Sequence[tuple[BilledInvoice, dict[str, int]]],
    on: date,
    kind: str,
    to: str,
    decided: Decided,
) -> None:
    """Post what other entities bear of money given back: each claims less of the entity that collects."""
    books = wallets.books
    for part, by_line in parts:
        assert part.collector is not None, "a part has an entity that collects it"
        day = books.open_day(part.source, on)
        movements = _give_back(wallets, part, by_line, on, kind, to, decided)
        movements.append(Movement(_BORNE[kind], sum(by_line.values()), to, entity_subject(part.collector)))
        books.post(part.source, on, movements)
        _net(wallets, [part], day)


# The rule by which what another entity bears leaves its claim on the one that collects.
_BORNE = {"refund": "between.refunded", "dispute": "between.disputed"}


def _give_back(
    wallets: Wallets,
    invoice: BilledInvoice,
    by_line: Mapping[str, int],
    on: date,
    kind: str,
    to: str,
    decided: Decided,
) -> list[Movement]:
    """What giving back gross amounts of an invoice's lines moves, by `refund` or `dispute`, to cash or disputed funds."""
    books, source = wallets.books, invoice.source
    movements: list[Movement] = []
    taking = Taking(books, source, books.open_day(source, on))
    for line in charged(invoice.lines):
        gross = by_line[line.line]
        if line.kind == BETWEEN:
            movements.append(Movement(f"{kind}.between", gross, line.subject, to))
            billed.record(books, source, invoice, line, kind, gross)
            continue
        net, taxes = lowered_by(gross, line)
        if billed.is_of_terms(line):
            for subject, _ in billed.by_obligation(line, net):
                share_ = decided.share(invoice.invoice_id, line.line, subject)
                held, rest, release = taking.out_of(subject, share_.expected + share_.rest, share_.expected)
                earned = Movement(f"{kind}.earned", share_.earned, subject, to, rate=invoice.rate)
                movements += [
                    *release,
                    earned,  # at the invoice's rate, whatever the money was worth when it came in
                    Movement(f"{kind}.deferred", held, subject, to),
                    Movement(f"{kind}.unbilled", rest, subject, to),
                ]
        else:
            movements += _of_usage(wallets, invoice, line, net, on, kind, to, taking.released)
        movements += [
            *(Movement(f"{kind}.tax", part.amount, tax_subject(part.tax.code), to) for part in taxes),
            *billed.base_movements(taxes),
        ]
        billed.record(books, source, invoice, line, kind, net)
        billed.record_taxes(books, source, invoice, line, taxes)
    return movements


def _of_usage(
    wallets: Wallets, invoice: BilledInvoice, line: Line, net: int, on: date, kind: str, to: str, before: Counter[str]
) -> list[Movement]:
    """What giving back, or giving up, a part of a line of prepaid credits or usage moves.

    Unused credits go with it; of usage, what was to be given back anyway, then what was billed ahead. The rest was used.
    """
    books, source = wallets.books, invoice.source
    day = books.open_day(source, on)
    earned_rule = "write_off.bad_debt" if kind == "write_off" else f"{kind}.earned"
    rate = None if kind == "write_off" else invoice.rate
    if line.kind == "prepaid":
        grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
        expired_by(wallets, source, grant, on)
        freed = redraws.free(wallets, source, grant, net + before[line.subject], on)
        wallets.freed += [(source, item) for item in freed]
        taken = credits_back.split(books, source, grant, net, day, before[line.subject])
        before[line.subject] += taken.unused
        # what unused credits were expected to break for goes with them
        back = taken.broken if grant.proportional else 0
        unused = taken.unused + back
        grant.broken -= back
        credits_back.take_unused(wallets, source, grant, credits_back.Taken(unused, 0, 0), day, kind, line.line)
        if unused:
            grant.fundings.append(Funding(day, -unused, on))
        return [
            Movement("break.returned", back, line.subject, line.subject),
            Movement(earned_rule, net - unused, line.subject, to, rate=rate),
            Movement(f"{kind}.credits", unused, line.subject, to),
        ]
    if line.kind != "usage" or line.product is None:  # an opening, or a shortfall: what it is of was earned
        return [Movement(earned_rule, net, line.subject, to, rate=rate)]
    of_usage = usage_lines.take(books, source, line.product, net, day, before)
    movements = [
        Movement(earned_rule, of_usage.used, line.subject, to, rate=rate),
        Movement(f"{kind}.deferred", of_usage.ahead, line.subject, to),
    ]
    for obligation, part in of_usage.rebates:
        movements.append(Movement("refund_liability.released", part, obligation, obligation))
        movements.append(Movement(f"{kind}.rebate", part, obligation, to))
    return movements


def post_refund(wallets: Wallets, doc: documents.Refund, document_id: int, obligations: Obligations) -> int:
    """Pay money back: for the invoice named; else from the customer's balance, then for what the payment settled."""
    payment = _find_payment(wallets, document_id, doc.payment, doc.date)
    books, source = wallets.books, payment.source
    amount = to_minor(doc.amount, source.currency)
    require_not_before(doc.date, payment.paid_on, f"when payment {doc.payment} came in")
    require_at_most(amount, payment.left, source.currency, f"what is left of payment {doc.payment}")
    day = books.open_day(source, doc.date)
    rail = f"rail:{payment.rail}"
    from_balance = 0
    settled = payment.settled
    if doc.invoice is not None:
        settled = tuple(item for item in settled if item[0] == doc.invoice)
        if not settled:
            left = ", ".join(f"{to_text(part, source.currency)} of {of}" for of, part in payment.settled) or "nothing"
            raise Refused(
                "invoice", doc.invoice,
                f"expected an invoice of which payment {doc.payment} settles something that did not go back: it settles {left}",
            )  # fmt: skip
        # what a credit note of it left with the customer goes back first
        from_balance = min(
            amount, _unapplied(books, source, day), _left_by_credits(books, source, doc.invoice, doc.date)
        )
    else:
        from_balance = min(amount, _unapplied(books, source, day))
    if amount > from_balance:
        billed.stand_together(books, source.customer.customer_id, [ref for ref, _ in settled])
        day = books.open_day(source, doc.date)
    plan = _plan(wallets, document_id, settled, amount - from_balance, source.currency)
    movements = [Movement("refund.balance", from_balance, _CUSTOMER, rail)]
    split = [(invoice, _by_line(books, invoice, part, doc.date)) for invoice, part in plan]
    others = [item for invoice, by_line in split for item in _of_parts(wallets, document_id, invoice, by_line)]
    decided = _given(wallets, document_id, doc.id, doc.date, "refund", [*split, *others], obligations)
    for invoice, by_line in split:
        movements += _give_back(wallets, invoice, by_line, doc.date, "refund", rail, decided)
    books.post(source, doc.date, movements)
    _net(wallets, [invoice for invoice, _ in plan], day)
    _post_parts(wallets, others, doc.date, "refund", rail, decided)
    decided.keep()
    return source.customer.customer_id


def _unapplied(books: Books, source: Source, day: date) -> int:
    key = AccountKey(source.entity, "customer_balance", source.currency, _CUSTOMER)
    return max(available(books.history(source.customer.customer_id, key), day), 0)


def _left_by_credits(books: Books, source: Source, invoice: str, on: date) -> int:
    """What credit notes of an invoice, by a day, left on the customer's balance, less what refunds took of it since."""
    found = books.connection.scalar(
        text(
            "with notes as (select d.customer_id, d.document_id from document d where d.customer_id = :customer_id"
            "  and d.type = 'credit_note' and d.dated_on <= :on and d.body::json ->> 'invoice' = :invoice),"
            " refunds as (select d.customer_id, d.document_id from document d where d.customer_id = :customer_id"
            "  and d.type = 'refund' and d.body::json ->> 'invoice' = :invoice) "
            "select coalesce(sum(case when r.code = 'refund.balance' then -p.amount else p.amount end), 0)::bigint"
            " from (select *, true as note from notes union all select *, false from refunds) x "
            "join entry e on e.customer_id = x.customer_id and e.document_id = x.document_id "
            "join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id join rule r on r.number = p.rule "
            "where case when x.note then r.code like 'credit.%\\_to\\_balance' else r.code = 'refund.balance' end"
        ),
        {"customer_id": source.customer.customer_id, "invoice": invoice, "on": on},
    )
    return max(int(found or 0), 0)


def _plan(
    wallets: Wallets, document_id: int, settled: tuple[tuple[str, int], ...], amount: int, currency: str
) -> list[tuple[BilledInvoice, int]]:
    """How much goes back of which invoice, in the order in which the payment settled them."""
    plan = []
    left = amount
    for ref, paid in settled:
        if left == 0:
            break
        invoice = billed.find(wallets, document_id, ref)
        part = min(left, paid, invoice.gross)
        if part:
            plan.append((invoice, part))
            left -= part
    require_at_most(amount, amount - left, currency, "what is left of what the payment settled")
    return plan


def post_dispute(wallets: Wallets, doc: documents.Dispute, document_id: int, obligations: Obligations) -> int:
    """A chargeback opened, won or lost; while it is open the money is disputed funds and the schedule runs on."""
    payment = _find_payment(wallets, document_id, doc.payment, doc.date)
    books, source = wallets.books, payment.source
    amount = to_minor(doc.amount, source.currency)
    require_not_before(doc.date, payment.paid_on, f"when payment {doc.payment} came in")
    if doc.status == "lost":
        billed.stand_together(books, source.customer.customer_id, [ref for ref, _ in payment.settled])
    day = books.open_day(source, doc.date)
    subject, rail = f"payment:{doc.payment}", f"rail:{payment.rail}"
    key = AccountKey(source.entity, "disputed_funds", source.currency, subject)
    disputed = max(available(books.history(source.customer.customer_id, key), day), 0)
    fee = 0 if doc.fee is None else to_minor(doc.fee, source.currency, "fee")
    invoices: list[BilledInvoice] = []
    others: list[tuple[BilledInvoice, dict[str, int]]] = []
    decided: Decided | None = None
    movements = [Movement("payment.fee", fee, rail, rail)]
    if doc.status == "opened":
        require_at_most(amount, payment.left - disputed, source.currency, f"what is left of payment {doc.payment}")
        movements.append(Movement("dispute.opened", amount, subject, rail))
    else:
        if not disputed:
            raise Refused(
                "payment",
                doc.payment,
                f"expected one of which something is disputed on {day}{_disputes(books, source, doc)}",
            )
        require_at_most(amount, disputed, source.currency, f"what of payment {doc.payment} is disputed on {day}")
        if doc.status == "won":
            movements.append(Movement("dispute.won", amount, rail, subject))
        else:
            lost, invoices, others, decided = _lost(wallets, payment, doc, document_id, amount, day, obligations)
            movements += lost
    books.post(source, doc.date, movements)
    _net(wallets, invoices, day)
    if decided is not None:
        _post_parts(wallets, others, doc.date, "dispute", subject, decided)
        decided.keep()
    return source.customer.customer_id


def _disputes(books: Books, source: Source, doc: documents.Dispute) -> str:
    """What became of a payment's disputes by now, as words to follow that nothing is disputed."""
    rows = books.connection.execute(
        text(
            "select ref, dated_on, body::json ->> 'status' as status from document where customer_id = :customer_id"
            " and type = 'dispute' and body::json ->> 'payment' = :payment order by dated_on, document_id"
        ),
        {"customer_id": source.customer.customer_id, "payment": doc.payment},
    ).all()
    told = ", ".join(f"{row.ref} was {row.status} on {row.dated_on}" for row in rows)
    return f": {told}" if told else ", opened before"


def _lost(
    wallets: Wallets,
    payment: _Payment,
    doc: documents.Dispute,
    document_id: int,
    amount: int,
    day: date,
    obligations: Obligations,
) -> tuple[list[Movement], list[BilledInvoice], list[tuple[BilledInvoice, dict[str, int]]], Decided]:
    """What a lost dispute moves: what the payment settled, then what of it was unapplied; and what other entities bear."""
    books, source = wallets.books, payment.source
    subject = f"payment:{doc.payment}"
    invoices = [billed.find(wallets, document_id, ref) for ref, _ in payment.settled]
    reach = sum(min(paid, invoice.gross) for (_, paid), invoice in zip(payment.settled, invoices, strict=True))
    of_invoices = min(amount, reach)
    from_balance = amount - of_invoices
    require_at_most(from_balance, _unapplied(books, source, day), source.currency, "what the customer has unapplied")
    plan = _plan(wallets, document_id, payment.settled, of_invoices, source.currency)
    movements = [Movement("dispute.balance", from_balance, _CUSTOMER, subject)]
    split = [(invoice, _by_line(books, invoice, part, doc.date)) for invoice, part in plan]
    others = [item for invoice, by_line in split for item in _of_parts(wallets, document_id, invoice, by_line)]
    decided = _given(wallets, document_id, doc.id, doc.date, "dispute", [*split, *others], obligations)
    for invoice, by_line in split:
        movements += _give_back(wallets, invoice, by_line, doc.date, "dispute", subject, decided)
    return movements, [invoice for invoice, _ in plan], others, decided


def _net(wallets: Wallets, invoices: Sequence[BilledInvoice], day: date) -> None:
    for invoice in invoices:
        for line in charged(invoice.lines):
            if line.kind == "usage" and line.product is not None:
                usage_lines.settle_taken(wallets, invoice.source, line.product, lowers=True)
        billed.net_sides(wallets.books, invoice.source, charged(invoice.lines), day)
    freed, wallets.freed = wallets.freed, []
    for source, item in freed:
        redraws.draw_again(wallets, source, [item])


def post_write_off(wallets: Wallets, doc: documents.WriteOff, document_id: int, obligations: Obligations) -> int:
    """Give up what is due of an invoice, or a part: of what it covers first what is to come, the rest is bad debt."""
    invoice = billed.find(wallets, document_id, doc.invoice)
    books, source = wallets.books, invoice.source
    require_second(books, doc.approved_by)
    require_not_before(doc.date, invoice.recorded_on, f"when invoice {doc.invoice} counts from")
    day = books.open_day(source, doc.date)
    due = billed.due(books, invoice, day)
    amount = due if doc.amount is None else to_minor(doc.amount, source.currency)
    if due == 0:
        raise Refused("invoice", doc.invoice, f"expected something due of it on {day}")
    require_at_most(amount, due, source.currency, f"what is due of invoice {doc.invoice} on {day}")
    by_line = _by_line(books, invoice, amount, doc.date)
    others = _of_parts(wallets, document_id, invoice, by_line)
    of = [(invoice, by_line), *others]
    decided = _given(wallets, document_id, doc.id, doc.date, "write_off", of, obligations)
    _write_off(wallets, invoice, by_line, doc.date, decided)
    for part, of_part in others:
        assert part.collector is not None, "a part has an entity that collects it"
        claim = entity_subject(part.collector)
        reopened = Movement("between.reopened", sum(of_part.values()), invoice_subject(part.ref), claim)
        books.post(part.source, doc.date, [reopened])
        _write_off(wallets, part, of_part, doc.date, decided)
    decided.keep()
    return source.customer.customer_id


def _write_off(
    wallets: Wallets, invoice: BilledInvoice, by_line: Mapping[str, int], on: date, decided: Decided
) -> None:
    """Give up gross amounts of an invoice's lines."""
    books, source = wallets.books, invoice.source
    day = books.open_day(source, on)
    to = invoice_subject(invoice.ref)
    movements: list[Movement] = []
    taking = Taking(books, source, day)
    for line in charged(invoice.lines):
        gross = by_line[line.line]
        if line.kind == BETWEEN:
            movements.append(Movement("write_off.between", gross, line.subject, to))
            billed.record(books, source, invoice, line, "write_off", gross)
            continue
        net, taxes = lowered_by(gross, line)
        if billed.is_of_terms(line):
            for subject, _ in billed.by_obligation(line, net):
                share_ = decided.share(invoice.invoice_id, line.line, subject)
                held, rest, release = taking.out_of(subject, share_.expected + share_.rest, share_.expected)
                movements += [
                    *release,
                    Movement("write_off.deferred", held, subject, to),
                    Movement("write_off.unbilled", rest, subject, to),
                    Movement("write_off.bad_debt", share_.earned, subject, to),
                ]
        else:
            movements += _of_usage(wallets, invoice, line, net, on, "write_off", to, taking.released)
        movements += [
            *(Movement("write_off.tax", part.amount, tax_subject(part.tax.code), to) for part in taxes),
            *billed.base_movements(taxes),
        ]
        billed.record(books, source, invoice, line, "write_off", net)
        billed.record_taxes(books, source, invoice, line, taxes)
    books.post(source, on, movements)
    _net(wallets, [invoice], day)
