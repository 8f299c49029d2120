"""What a recovery moves, and later ones with it: taxes, obligations, usage, and lines of neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import text

from ledger.amounts.money import share
from ledger.corrections.recoveries.bad_debt import RecoveredPiece, bad_debt_of
from ledger.corrections.recoveries.by_line import Recovery, WrittenOff, recoveries_of, split_over_lines, written_off
from ledger.corrections.recoveries.changes import Change
from ledger.invoices.forms import invoice_subject
from ledger.invoices.taxes import tax_subject
from ledger.journal.books import Books
from ledger.journal.line_changes import add_change
from ledger.journal.movements import Movement, Source
from ledger.obligations import Correction, Obligations, Taking, earned_ahead, obligation_sides
from ledger.usage import usage_lines, usage_taken
from ledger.wallets import credits_back
from ledger.wallets.breakage import break_of_billed
from ledger.wallets.grants import NET_GRANT, grant_accounts
from ledger.wallets.session import Wallets


def recover(
    wallets: Wallets,
    source: Source,
    row: Any,
    change: Change,
    obligations: Obligations,
) -> None:
    """Post what a document makes of what was recovered: of all recoveries in the order of their days, bad debt first."""
    books, document_id = wallets.books, source.document_id
    books.recovers[document_id] = (change.came_on, change.of)
    movements, of_tax = _taxes(books, source, row, change)
    lines = written_off(books, row.customer_id, row.document_id)
    recoveries = [
        *recoveries_of(books, source, row, lines),
        Recovery(document_id, change.on, change.rail, change.amount - of_tax, [0] * len(lines), change.rate, change.of),
    ]
    lost = split_over_lines(wallets, source, change, row, lines, recoveries, obligations)
    _recover_usage(wallets, source, change, lines, recoveries)
    _recover_plain(wallets, source, row, change, lines, lost, recoveries)
    (recovery,) = (item for item in recoveries if item.document_id == document_id)
    back = [(line, part) for line, part in zip(lines, recovery.parts, strict=True) if part]
    later = [item for item in recoveries if item is not recovery]
    moved = _move_later(books, source, row.document_id, lines, later)
    taking = Taking(books, source, books.days.open_day(source, change.on))
    decided = obligations.decide(wallets, row.customer_id, document_id, [
        Correction(document_id, change.by, "recovery", line.invoice_id, line.line, line.subject, part, change.on, undoes=row.document_id)
        # all of its lines: a recovery of a later day may be of others now
        for line, part in zip(lines, recovery.parts, strict=True) if line.of_terms
    ])  # fmt: skip
    for number, (line, part) in enumerate(back):
        if line.of_terms:
            share_ = decided.share(line.invoice_id, line.line, line.subject, undoing=row.document_id)
            movements.append(change.moved("bad_debt", share_.earned, line.subject))
            movements += _deferred_again(taking, change, line.subject, part - share_.earned)
        more = {"undoes": row.document_id, "part": number}
        add_change(books, source, line.invoice_id, line.line, "recovery", -part, line.product, line.subject, more)
    change.post(books, source, movements)
    _net_sides(wallets, source, lines, [line for line, _ in back], moved, taking.day)
    decided.keep()


def _net_sides(
    wallets: Wallets,
    source: Source,
    lines: Sequence[WrittenOff],
    back: Sequence[WrittenOff],
    moved: Sequence[tuple[str, date]],
    day: date,
) -> None:
    """Let what lines are about show one side each: those that have something `back`, all grants, and obligations that later ones moved."""
    books = wallets.books
    for line in back:
        if line.of_terms:
            books.net(source, *obligation_sides(source, line.subject), day)
    for line in lines:
        if line.subject.startswith("grant:"):
            grant = wallets.grant(source.customer.customer_id, line.subject.removeprefix("grant:"))
            break_of_billed(wallets, source, grant, day)
            # what was used of a bill that was voided since is to be billed: the money is for it first
            books.net(source, grant_accounts(source, grant.ref), NET_GRANT, day - timedelta(days=1))
    for subject, on in moved:
        books.net(source, *obligation_sides(source, subject), books.days.open_day(source, on))


def _taxes(books: Books, source: Source, row: Any, change: Change) -> tuple[list[Movement], int]:
    """What of the taxes that the write-off claimed back is owed again; below zero what is not, as the money came back."""
    before, written = change.reached.recovered, change.reached.written
    now = before + change.amount
    taxes = books.connection.execute(
        text(
            "select tax_code, line, position, treatment, included, -base_minor as base, -tax_minor as tax from line_tax "
            "where customer_id = :customer_id and document_id = :document_id order by line, position"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    ).all()
    movements: list[Movement] = []
    owed_again = 0
    for tax in taxes:
        part = share(tax.tax, now, written) - share(tax.tax, before, written)
        base = share(tax.base, now, written) - share(tax.base, before, written)
        owed_again += part
        subject = tax_subject(tax.tax_code)
        movements += [
            change.moved("tax", part, subject),
            Movement(
                f"recovery.tax_base{'' if base >= 0 else '_returned'}", abs(base), subject, subject, rate=change.rate
            ),
        ]
        books.add_row(
            "line_tax",
            customer_id=row.customer_id, document_id=source.document_id, line=tax.line, position=tax.position,
            invoice_id=row.invoice_id, tax_code=tax.tax_code, treatment=tax.treatment, included=tax.included,
            base_minor=base, tax_minor=part, undoes=change.of,
        )  # fmt: skip
    return movements, owed_again


def _move_later(
    books: Books, source: Source, write_off: int, lines: Sequence[WrittenOff], recoveries: Sequence[Recovery]
) -> list[tuple[str, date]]:
    """Take later recoveries over to other lines, where an earlier one came after them; returns which obligations moved, and when."""
    moved = []
    for item in recoveries:
        movements = []
        of = replace(source, document_id=item.document_id)
        for line, stood, part in zip(lines, item.stands, item.parts, strict=True):
            more = part - stood
            if not more:
                continue
            if line.of_terms:
                movements += item.moved("deferred", "elsewhere", more, line.subject)
                moved.append((line.subject, item.on))
            change = {"undoes": write_off, "part": item.rows}
            add_change(books, of, line.invoice_id, line.line, "recovery", -more, line.product, line.subject, change)
            item.rows += 1
        books.post(source, item.on, movements)
    return moved


def _recover_usage(
    wallets: Wallets, source: Source, change: Change, lines: Sequence[WrittenOff], recoveries: Sequence[Recovery]
) -> None:
    """Post what recoveries are of usage: it is billed again, and days tell what of it is less bad debt, and what is to come."""
    books = wallets.books
    products: set[str] = set()
    for item in recoveries:
        movements = []
        for line, stood, part in zip(lines, item.stands, item.parts, strict=True):
            if line.is_usage and line.product is not None and part != stood:
                products.add(line.product)
                if item.document_id == source.document_id:
                    movements.append(change.moved("deferred", part, line.subject))
                    continue
                movements += item.moved("deferred", "elsewhere", part - stood, line.subject)
        if item.document_id == source.document_id:
            change.post(books, source, movements)
        else:
            books.post(source, item.on, movements)
    for product in sorted(products):
        usage_taken.settle(books, source, product)
        first = min(books.days.open_day(source, item.on) for item in recoveries)
        keys = usage_lines.overage_accounts(source, product)
        books.net(source, keys, usage_lines.NET_USAGE, first - timedelta(days=1))


def _recover_plain(
    wallets: Wallets,
    source: Source,
    write_off: Any,
    change: Change,
    lines: Sequence[WrittenOff],
    lost: Sequence[int],
    recoveries: Sequence[Recovery],
) -> None:
    """Post what recoveries are of other lines that bill no obligation: bad debt first, then prepaid credits that were not used."""
    places = [place for place, line in enumerate(lines) if not line.of_terms and not line.is_usage]
    invoice = invoice_subject(write_off.invoice)
    reached = sum(max(sum(item.stands[place] for item in recoveries) - lost[place], 0) for place in places)
    stood = _of_credits(places, lost, recoveries, [item.stands for item in recoveries])
    now = _of_credits(places, lost, recoveries, [item.parts for item in recoveries])
    changes = [
        (item, after - before, {rate: others[rate] - others_before[rate] for rate in {*others, *others_before}})
        for item, (before, others_before), (after, others) in zip(recoveries, stood, now, strict=True)
    ]
    # what comes back first, so that it is there to go again
    for item, more, instead in sorted(changes, key=lambda change: change[1] < 0):
        movements = []
        if more:
            own = item.document_id == source.document_id
            after = reached + more
            movements += credits_back.recover(
                wallets, source, write_off.document_id, (reached, after), item.on, "recovery.credits", item.rail,
                "" if own else f" of {item.document_id}", rate=item.rate,
            )  # fmt: skip
            reached = after
        bad_debt = sum(item.parts[place] - item.stands[place] for place in places) - more
        if item.document_id == source.document_id:
            movements.append(change.moved("bad_debt", bad_debt, invoice))
        else:
            movements += item.moved("bad_debt", "bad_debt_elsewhere", bad_debt, invoice)
        if any(instead.values()):
            lead = credits_back.subject_taken(wallets.books, source, write_off.document_id)
            wallets.books.post(source, item.on, [
                *item.instead("bad_debt", instead, invoice),
                *item.instead("credits", {rate: -amount for rate, amount in instead.items()}, lead),
            ])  # fmt: skip
        if item.document_id == source.document_id:
            change.post(wallets.books, source, movements)
        else:
            wallets.books.post(source, item.on, movements)


def _of_credits(
    places: Sequence[int], lost: Sequence[int], recoveries: Sequence[Recovery], parts: Sequence[Sequence[int]]
) -> list[tuple[int, Counter[Fraction | None]]]:
    """What each of recoveries, by their `parts` of lines, is of credits; and what bad debt gets of others then, and gives, by rate."""
    found = []
    reached = Counter[int]()
    of_credits = 0
    standing: dict[int, RecoveredPiece] = {}
    for item, of_lines in zip(recoveries, parts, strict=True):
        before, amount = of_credits, sum(of_lines[place] for place in places)
        for place in places:
            reached[place] += of_lines[place]
        of_credits = sum(max(reached[place] - lost[place], 0) for place in places)
        bad_debt = amount - (of_credits - before)
        others = bad_debt_of(standing, item.document_id, item.came_back, amount, bad_debt, item.rate)
        others[item.rate] -= bad_debt
        found.append((of_credits - before, others))
    return found


def _deferred_again(taking: Taking, change: Change, subject: str, amount: int) -> list[Movement]:
    """What was given up and is to come again: out of the contract asset up to its balance, the rest is deferred; or is given up again."""
    if amount < 0:
        held, rest, release = taking.out_of(subject, -amount, 0)
        return [*release, change.moved("deferred", -held, subject), change.moved("unbilled", -rest, subject)]
    unbilled = min(amount, earned_ahead(taking.books, taking.source, subject, taking.day))
    return [change.moved("unbilled", unbilled, subject), change.moved("deferred", amount - unbilled, subject)]
