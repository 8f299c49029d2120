"""Taking documents in: parsed, checked, posted and written in batches, in one transaction.

Memory is bounded by the batch, whatever the length of the input. Of a refused document nothing is left behind, whatever
it had gathered or written by then; whether the rest is posted without it is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from sqlalchemy import Connection

from ledger.intake.batches import Intake, Outcome, Report
from ledger.intake.kinds import DocumentType
from ledger.intake.lines import Item, in_batches, parsed
from ledger.intake.writer import Writer
from ledger.journal.books import Books
from ledger.parties.within import Within
from ledger.usage import one_statement, reader_process

# Documents of a request rather than of an import: posted by one statement where they are draws with nothing to plan.
DRAWN_AT_ONCE = 200


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
    """Post documents, one JSON object a line, in the caller's transaction.

    Blank lines are passed over. Everything wrong is handed to `report`, with the line as it came. The caller commits, or rolls back where
    it wants all or nothing. `refuse_late` refuses documents dated in closed months. `first_line` is the number of the first of them in
    their file. `within` are the entities that who posts may post for, where these are not all.
    """
    outcome = Outcome()
    batches = in_batches(lines, first_line)
    first = next(batches, None)
    if first is None:
        return outcome
    if len(first[0]) <= DRAWN_AT_ONCE:
        items = [parsed(line, raw, types) for line, raw in zip(*first, strict=True)]
        if _own(items, within) and _draw(connection, items, posted_by, outcome):
            progress(len(items))
            return outcome
    with Writer(connection) as writer:
        books = Books(connection, posted_by, entities=within.entities if within else None)
        intake = Intake(books, writer, types, report, outcome, refuse_late=refuse_late, within=within)
        for (numbers, batch), rows in reader_process.read_ahead(chain([first], batches)):
            intake.post(numbers, batch, rows)
            progress(len(batch))
        intake.finish()
    return outcome


def _own(items: list[Item], within: Within | None) -> bool:
    """Whether documents say that they are of entities that who posts may post for."""
    return within is None or all(getattr(item.doc, "entity", None) in within.entities for item in items)


def _draw(connection: Connection, items: list[Item], posted_by: str, outcome: Outcome) -> bool:
    """Post a few documents by one statement, where they are plain draws on one wallet.

    Returns whether they were.
    """
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
