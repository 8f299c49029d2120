"""Drafts of invoices: what an invoice would look like, and what it would post, without posting it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Engine

from ledger.documents import parse
from ledger.errors import InvalidDocument, Problem
from ledger.intake import posting
from ledger.invoices import show
from ledger.invoices.shown import ShownInvoice
from ledger.journal import entries
from ledger.journal.entries import EntryFacts
from ledger.parties.within import Within
from revrec.kinds import TYPES
from web.serving.patience import patiently
from web.work.post_file import attempts


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice as it would be, and the entries it would post; or what is wrong with it."""

    invoice: ShownInvoice | None
    entries: tuple[EntryFacts, ...]
    problems: tuple[Problem, ...]


def preview(engine: Engine, raw: bytes, by: str, within: Within | None = None) -> Draft:
    """An invoice document as it would be, were it finalised now. Everything is computed as in posting, then taken back.

    Raises InvalidDocument for another kind of document.
    """
    made: Draft = attempts()(patiently, engine, lambda books: _previewed(books, raw, by, within))
    return made


def _previewed(engine: Engine, raw: bytes, by: str, within: Within | None) -> Draft:
    problems: list[Problem] = []
    with engine.connect() as connection, connection.begin() as transaction:
        try:
            outcome = posting.post_lines(
                connection,
                [raw],
                {"invoice": TYPES["invoice"]},
                by,
                lambda problem, _raw: problems.append(problem),
                within=within,
            )
            if problems:
                return Draft(None, (), tuple(problems))
            if outcome.posted != 1:
                raise InvalidDocument("", "nothing new", "expected one invoice that is not in the books yet")
            ref = parse.read_line(raw)["id"]
            made = show.read_invoice(connection, ref)
            posted = entries.read_entries(
                connection,
                "e.document_id = (select document_id from document_key where type = 'invoice' and ref = :ref)",
                {"ref": ref},
            )
            # a number is only given for good
            return Draft(replace(made, number=None, draft=True), tuple(posted), ())
        finally:
            transaction.rollback()
