"""Invoices, credit notes and payments as what they are in another system, with the customers and items they need there.

Such a system posts them itself: an invoice debits its receivables account and credits what each item sells, a payment debits where it
is deposited and credits receivables. So each stands for exactly the postings that did the same here, and journal entries carry the
rest. What a payment leaves unapplied is a liability here and stays in the journal, so that receivables there are those of the books.
A document in another currency goes out so only where one rate gives exactly what was posted; else all of it is a journal entry.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from tempfile import TemporaryFile
from typing import Any

from sqlalchemy import Connection, text

from adapters.selected import selection
from adapters.selected.entry import NUMBER_LENGTH_MAX, Entry, one_rate, own_number
from adapters.selected.mapping import Kind, Mapping, Place, stand_in
from adapters.selected.objects import RECEIVABLE, Applied, Bill, BillLine, Head, Item, Made, Party, Receipt, Thing
from adapters.selected.selection import Part, sides_of
from ledger.journal.movements import MONEY_ACCOUNT
from ledger.journal.references import CALLED


def everything(
    connection: Connection,
    parts: Sequence[Part],
    mapping: Mapping,
    lines_max: int | None = None,
    number_max: int = NUMBER_LENGTH_MAX,
) -> Iterator[Thing]:
    """All that is made there, in an order in which it can be made: what something refers to comes before it."""
    with TemporaryFile() as kept:
        parties: dict[str, tuple[str, str]] = {}
        items: dict[str, Item] = {}
        for thing in _documents_and_entries(connection, parts, mapping, lines_max, number_max):
            parties.update(_parties_of(thing))
            items.update(_items_of(thing))
            pickle.dump(thing, kept)
        yield from _made_parties(connection, parts[0], parties)
        yield from (items[key] for key in sorted(items))
        kept.seek(0)
        while True:
            try:
                yield pickle.load(kept)  # noqa: S301 - written above
            except EOFError:
                return


def _documents_and_entries(
    connection: Connection, parts: Sequence[Part], mapping: Mapping, lines_max: int | None, number_max: int
) -> Iterator[Made]:
    journal_only: list[int] = []
    if mapping.makes_documents:
        for part in parts:
            rows = _rows(connection, part)
            for document_id, of_document in groupby(rows, lambda row: row.document_id):
                made = _made(list(of_document), mapping, number_max)
                if made is None:
                    journal_only.append(document_id)
                else:
                    yield from made
    yield from selection.entries(connection, parts, mapping, lines_max, number_max, journal_only)


def _parties_of(thing: Made) -> Iterator[tuple[str, tuple[str, str]]]:
    """Customers that are to be made: what stands for each, with its name and currency."""
    if isinstance(thing, Entry):
        currency = "" if thing.rate is None else thing.currency
        found = {(line.customer, line.customer_name, currency) for line in thing.lines}
    else:
        found = {
            (thing.head.customer, thing.head.customer_name, "" if thing.head.rate is None else thing.head.currency)
        }
    for customer, name, currency in found:
        if customer.startswith(stand_in("Customer", "")):
            yield customer, (name, currency)


def _items_of(thing: Made) -> Iterator[tuple[str, Item]]:
    if isinstance(thing, Bill):
        yield from ((line.item.key, line.item) for line in thing.lines if not line.place.item)


def _made_parties(connection: Connection, part: Part, found: dict[str, tuple[str, str]]) -> Iterator[Party]:
    """Customers in the order of their ids; of several with one name, all but the first have their id in it."""
    refs = {key: key.removeprefix(stand_in("Customer", "")).removesuffix(f" {of[1]}") for key, of in found.items()}
    rows = connection.execute(
        text(
            "select ref, coalesce(tax_id, '') as tax_id, taken from ("
            " select c.ref, c.tax_id, row_number() over (partition by c.name order by c.customer_id) > 1 as taken"
            f" from {selection.CUSTOMERS} c) named where ref = any(:refs)"
        ),
        part.naming | {"refs": sorted(set(refs.values()))},
    )
    facts = {row.ref: row for row in rows}
    for key in sorted(found):
        (name, currency), ref = found[key], refs[key]
        apart = ", ".join([ref] * facts[ref].taken + [currency] * bool(currency))
        yield Party(key, ref, f"{name} ({apart})" if apart else name, currency, facts[ref].tax_id)


_SQL = f"""
    with moved as (
        select d.document_id, x.customer_id, d.type, d.ref, d.body, {CALLED} as called, x.effective_on, x.subject as receivable, x.currency, x.entity,
               {selection.IS_PAID} as paid, o.role, o.product, o.subject,
               sum(x.sign * x.amount)::bigint as net, sum(x.sign * x.functional_amount)::bigint as functional
        from ({{source}}) x join account o on o.customer_id = x.customer_id and o.account_id = x.other_account{selection.DOCUMENT_JOIN}
        where x.rule = any(:bill_rules) or {selection.IS_PAID}
        group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
    )
    select m.*, c.ref as customer, c.name as customer_name, e.currency as functional_currency, i.ref as invoice, i.due_on,
           said.description, said.starts_on, said.taxed, coalesce(m.body::jsonb ->> 'rail', '') as rail,
           coalesce('{MONEY_ACCOUNT}' || (m.body::jsonb ->> 'account'), '') as cash
    from moved m
    join entity e on e.entity = m.entity
    join invoice i on i.customer_id = m.customer_id and 'invoice:' || i.ref = m.receivable
    join {selection.CUSTOMERS} c on c.customer_id = m.customer_id
    left join lateral (
        select string_agg(coalesce(f.line ->> 'description', f.line ->> 'label', p.name), '; ' order by f.place) as description,
               min(l.starts_on) as starts_on,
               bool_or(exists (select from line_tax t where t.customer_id = l.customer_id and t.document_id = l.invoice_id
                               and t.invoice_id = l.invoice_id and t.line = l.line and t.tax_minor <> 0)) as taxed
        from invoice_line l
        join document b on b.customer_id = l.customer_id and b.document_id = l.invoice_id
        cross join jsonb_array_elements(b.body::jsonb -> 'lines') with ordinality f (line, place)
        left join product p on p.product = l.product
        where l.customer_id = i.customer_id and l.invoice_id = i.invoice_id and l.subject = m.subject and f.line ->> 'id' = l.line
    ) said on not m.paid
    order by m.document_id, m.effective_on, m.receivable, m.role, m.product, m.subject
"""


def _rows(connection: Connection, part: Part) -> Iterator[Any]:
    """What receivables moved by invoices, credits and payments: by document, day and invoice, and what was on the other side."""
    source, parameters = sides_of(part, RECEIVABLE)
    yield from connection.execute(
        text(_SQL.format(source=source)),
        parameters | part.naming | {"bill_rules": selection.BILL_RULES, "paid_rules": selection.PAID_RULES},
        execution_options={"stream_results": True, "max_row_buffer": 5_000},
    )


def _made(rows: Sequence[Any], mapping: Mapping, number_max: int) -> Sequence[Bill | Applied | Receipt] | None:
    """What a document becomes there; None where no rate says exactly what was posted."""
    made: list[Bill | Applied | Receipt] = []
    for (_, paid, _), of_one in groupby(rows, lambda row: (row.effective_on, row.paid, row.paid or row.receivable)):
        found = (_receipts if paid else _bills)(list(of_one), mapping, number_max)
        if found is None:
            return None
        made += found
    return made


def _head(number: str, row: Any, rate: Decimal | None, mapping: Mapping, number_max: int) -> Head:
    currency = "" if rate is None else row.currency
    customer, name = mapping.customer(row.customer, row.customer_name, currency)
    return Head(
        own_number(number, number_max), f"{row.type} {row.ref}", row.entity, row.effective_on, customer, name, row.currency,
        row.functional_currency, rate, row.called or {},
    )  # fmt: skip


def _rate(amounts: Sequence[tuple[int, int]], row: Any, mapping: Mapping) -> tuple[Decimal | None, bool]:
    """The rate of what is billed or paid, where it is in another currency, and whether there is one."""
    if row.currency == row.functional_currency:
        return None, True
    rate = one_rate(amounts, row.currency, row.functional_currency) if mapping.in_transaction_currency else None
    return rate, rate is not None


def _bills(rows: Sequence[Any], mapping: Mapping, number_max: int) -> Sequence[Bill | Applied | Receipt] | None:
    """A document's bill of one invoice's receivable, or the credit it gives."""
    first = rows[0]
    moving = [row for row in rows if row.net or row.functional]
    total = _sum(moving)
    # the other system rounds its lines, the sum of its taxes, and the total
    sums = [pair for pair in (total, _sum([row for row in moving if row.role == "tax_payable"])) if any(pair)]
    rate, exact = _rate([(row.net, row.functional) for row in moving] + sums, first, mapping)
    if not exact:
        return None
    own = first.type == "invoice" and first.ref == first.invoice.partition("@")[0]
    credit = total[0] < 0 or (total[0] == 0 and not own)
    number = first.invoice if own else first.ref if first.type == "credit_note" else f"{first.invoice}-void"
    side = -1 if credit else 1
    lines = tuple(
        BillLine(
            place,
            _item(row, place, mapping),
            row.description or place.name,
            side * row.net,
            row.starts_on,
            bool(row.taxed),
        )
        for row in moving
        for place in [_place(row.role, row.product, row, mapping)]
    )
    if not lines:
        return []
    bill = Bill(_head(number, first, rate, mapping, number_max), credit, first.due_on, lines)
    if not credit or not bill.total:
        return [bill]
    applied = _head(f"{number}-applied", first, rate, mapping, number_max)
    return [bill, Applied(applied, bill.head.number, own_number(first.invoice, number_max), bill.total)]


def _sum(rows: Sequence[Any]) -> tuple[int, int]:
    return sum(row.net for row in rows), sum(row.functional for row in rows)


def _place(role: str, product: str, row: Any, mapping: Mapping) -> Place:
    place = mapping.place(Kind(role, product, row.customer if mapping.by_customer else "", row.currency))
    assert place is not None, "checked before anything is written"
    return place


def _item(row: Any, place: Place, mapping: Mapping) -> Item:
    key = place.item or stand_in("Item", f"{place.account}/{row.product}" if row.product else place.account)
    name = f"{place.name}, {row.product}" if row.product and row.product not in place.name else place.name
    named = name if len(mapping.accounts_named(place.name)) == 1 else f"{name} ({place.account})"
    # a colon stands between an item and its kinds there
    return Item(key, named.replace(":", ","), place.account, place.name, row.role, row.product)


def _receipts(rows: Sequence[Any], mapping: Mapping, number_max: int) -> Sequence[Bill | Applied | Receipt] | None:
    """A payment's parts, one for each exchange rate of the invoices it settled."""
    by_rate: dict[Decimal | None, list[tuple[str, int]]] = {}
    for _, of_invoice in groupby(rows, lambda row: row.receivable):
        these = list(of_invoice)
        net, functional = -sum(row.net for row in these), -sum(row.functional for row in these)
        rate, exact = _rate([(net, functional)], these[0], mapping)
        if not exact:
            return None
        by_rate.setdefault(rate, []).append((own_number(these[0].invoice, number_max), net))
    first = rows[0]
    deposited, receivable = _place("cash", first.cash, first, mapping), _place(RECEIVABLE, "", first, mapping)
    return [
        Receipt(
            _head(first.ref if len(by_rate) == 1 else f"{first.ref}-{place}", first, rate, mapping, number_max),
            deposited, receivable, first.rail, tuple(applied),
        )
        for place, (rate, applied) in enumerate(by_rate.items(), 1)
    ]  # fmt: skip
