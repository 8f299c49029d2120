"""Terms kept: every obligation's next edition, where its terms are not as its last one has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from ledger.journal.books import Books
from revrec.terms import happened
from revrec.terms.changes.folded import Folded, Version
from revrec.terms.history import History


def touched(books: Books, customer_id: int) -> set[str]:
    """The obligations of a customer whose terms or bills were ever changed: what comes later may count before that."""
    known: set[str] | None = books.touched.get(customer_id)
    if known is None:
        known = books.touched[customer_id] = set(
            books.connection.scalars(
                text(
                    "select subject from line_change where customer_id = :customer_id and subject like 'obligation:%' "
                    "union select subject from obligation_terms where customer_id = :customer_id"
                ),
                {"customer_id": customer_id},
            )
        )
    return known | books.touching.get(customer_id, set())


def differing(
    books: Books, history: History, folded: Folded, *, exactly: bool = True
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The obligations whose terms are not as their last edition has them, each with its rows of the next.

    Not `exactly`: only what counts at a day's end is compared, not by which steps a day came there.
    """
    alike = list if exactly else _at_days_ends
    last: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    editions: dict[str, int] = {}
    for row in books.connection.execute(
        text(
            "select t.* from obligation_terms t where customer_id = :customer_id and subject = any(:subjects) and edition ="
            " (select max(edition) from obligation_terms l where l.customer_id = t.customer_id and l.subject = t.subject)"
            " order by version, segment"
        ),
        {"customer_id": history.party.customer_id, "subjects": history.subjects},
    ).mappings():
        editions[row["subject"]] = row["edition"]
        last[row["subject"]].append(tuple(row[name] for name in _COMPARED))
    found = []
    for subject in history.subjects:
        rows = list(edition_rows(history.party.customer_id, folded.versions[subject]))
        first = folded.versions[subject][0].terms.price
        alone = len(folded.versions[subject]) == 1 and first == history.first_prices.get(subject, first)
        if alone and subject not in editions:
            continue  # as it was promised
        if alike([tuple(row[name] for name in _COMPARED) for row in rows]) != alike(last.get(subject, [])):
            edition = editions.get(subject, 0) + 1
            found.append((subject, [values | {"edition": edition} for values in rows]))
    return found


def _at_days_ends(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What rows of terms say of the end of each day, whatever it is called."""
    version, day, what = _COMPARED.index("version"), _COMPARED.index("from_day"), _COMPARED.index("price_minor")
    change = _COMPARED.index("change_minor")
    last: dict[Any, int] = {}
    for row in rows:
        last[row[day]] = max(last.get(row[day], 0), row[version])
    return [
        (row[day], *(value for place, value in enumerate(row) if place >= what and place != change))
        for row in rows if row[version] == last[row[day]]
    ]  # fmt: skip


def keep(books: Books, history: History, folded: Folded, document_id: int) -> None:
    """Gather the next edition of every obligation whose terms are not as its last one has them."""
    for _, rows in differing(books, history, folded):
        for values in rows:
            books.add_row("obligation_terms", **values, edition_by=document_id)


_COMPARED = (
    "version", "segment", "document_id", "from_day", "treatment", "reason", "price_minor", "change_minor", "refund_minor", "pattern",
    "starts_on", "ends_on", "quantity", "counts_from", "base_minor", "reaches_minor", "begins", "ends",
)  # fmt: skip


def edition_rows(customer_id: int, versions: Sequence[Version]) -> Iterable[dict[str, Any]]:
    """An obligation's versions as rows, one for each piece of its price."""
    for number, version in enumerate(versions, 1):
        terms = version.terms
        same = {
            "customer_id": customer_id, "subject": version.subject, "version": number, "document_id": version.document_id,
            "from_day": version.from_day, "treatment": version.treatment, "reason": version.reason, "price_minor": terms.price,
            "change_minor": version.change, "refund_minor": version.refund, "pattern": terms.curve.pattern,
            "starts_on": terms.curve.starts_on, "ends_on": terms.curve.ends_on, "quantity": terms.curve.quantity,
        }  # fmt: skip
        reached = terms.base
        if not terms.pieces:
            yield same | {
                "segment": 1, "counts_from": version.from_day, "base_minor": reached, "reaches_minor": reached,
                "begins": happened.exact(0), "ends": happened.exact(1),
            }  # fmt: skip
        gone = _gone(version) if number > 1 else 0
        reached += sum(piece.amount for piece in terms.pieces[:gone])
        for place, piece in enumerate(terms.pieces[gone:], 1):
            yield same | {
                "segment": place, "counts_from": piece.from_day, "base_minor": reached, "reaches_minor": reached + piece.amount,
                "begins": happened.exact(piece.begins), "ends": happened.exact(piece.ends),
            }  # fmt: skip
            reached += piece.amount


def _gone(version: Version) -> int:
    """How many pieces are earned whole before a version's first day: nobody asks it when, so they are what it begins with."""
    terms = version.terms
    if terms.curve.pattern == "progress":  # which may be estimated to be less
        return 0
    at = terms.reached(version.from_day - timedelta(days=1))
    return sum(piece.ends <= at for piece in terms.pieces[:-1])
