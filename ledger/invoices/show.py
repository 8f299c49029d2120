"""Invoices as their readers see them, read from the books: grouped, rolled up by label, and unfolded to the usage behind each line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.house import BESIDE, HOUSE
from ledger.accounts.rulebook import RULES
from ledger.amounts.money import exact_product, round_minor, to_minor
from ledger.database.schema.invoices import INVOICE_POSTED_AS
from ledger.errors import UnknownReference
from ledger.invoices.shown import Group, Item, ShownInvoice, ShownLine, ShownSettlement, TaxTotal, UsageRow
from ledger.usage.allotment import billed_by_invoice


def read_invoice(connection: Connection, ref: str) -> ShownInvoice:
    """An invoice in the books. Raises UnknownReference."""
    head: Any = connection.execute(
        text(
            "select i.*, e.name as entity_name, e.invoice_prefix, c.ref as customer, c.name as customer_name, c.tax_id,"
            " c.tax_status, d.body, exists (select from document v where v.customer_id = i.customer_id"
            "  and v.type = 'invoice_void' and v.body::jsonb ->> 'invoice' in (i.ref, i.master))"
            " or exists (select from invoice s where s.customer_id = i.customer_id and s.supersedes in (i.ref, i.master))"
            " as voided "
            "from invoice i join entity e using (entity) join customer o using (customer_id) "
            f"cross join lateral customer_on(o, i.issued_on, {INVOICE_POSTED_AS}) c "
            "join document d on d.customer_id = i.customer_id and d.document_id = i.invoice_id where i.ref = :ref"
        ),
        {"ref": ref},
    ).first()
    if head is None:
        raise UnknownReference("invoice", ref, "expected the id of an invoice in the books")
    body = json.loads(head.body)
    return ShownInvoice(
        ref=head.ref, number=None if head.number is None else f"{head.invoice_prefix or ''}{head.number}",
        entity=head.entity, entity_name=head.entity_name, customer=head.customer, customer_name=head.customer_name,
        customer_tax_id=head.tax_id, tax_status=head.tax_status, currency=head.currency, issued_on=head.issued_on,
        due_on=head.due_on, rate=head.rate, supersedes=head.supersedes, voided=head.voided,
        groups=_groups(_lines(connection, head), head.currency), taxes=_taxes(connection, head), total=head.total_minor,
        settlements=_settlements(connection, head), reference=body.get("reference"), external=body.get("external") or {},
        to_balance=_to_balance(connection, head),
    )  # fmt: skip


# By these rules what an invoice is below zero becomes the customer's money, and is no more once it is voided.
_OF_BALANCE = (RULES["invoice.to_balance"].number, RULES["invoice.from_balance"].number)


def _to_balance(connection: Connection, head: Any) -> int:
    """What of the invoice stands as the customer's money, being below zero; of a part, with who collects it."""
    found: int = connection.scalar(
        text(
            "select coalesce(sum(case when p.debit_account = :account then p.amount else -p.amount end), 0)::bigint from posting p "
            "where p.customer_id = :customer_id and :account in (p.debit_account, p.credit_account) and p.rule = any(:of_balance)"
        ),
        {"customer_id": head.customer_id, "account": head.receivable_account, "of_balance": list(_OF_BALANCE)},
    )
    return found


def _settlements(connection: Connection, head: Any) -> tuple[ShownSettlement, ...]:
    """What was taken off the invoice's receivable: by document and day, and by the family of the rule that did."""
    rows = connection.execute(
        text(
            f"select case d.type when '{BESIDE}' then d.ref else d.type || ':' || d.ref end as document, e.effective_on, split_part(r.code, '.', 1) as family,"
            " sum(case when p.credit_account = :account then p.amount else -p.amount end)::bigint as amount "
            "from posting p join rule r on r.number = p.rule "
            "join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id "
            f"join document d on d.customer_id in (e.customer_id, {HOUSE}) and d.document_id = e.document_id "
            "where p.customer_id = :customer_id and :account in (p.debit_account, p.credit_account)"
            " and e.document_id <> :invoice_id and p.rule <> all(:of_balance) group by d.document_id, 1, 2, 3 order by 2, d.document_id, 3"
        ),
        {
            "customer_id": head.customer_id, "account": head.receivable_account, "invoice_id": head.invoice_id,
            "of_balance": list(_OF_BALANCE),
        },
    )  # fmt: skip
    # what a void reverses of the invoice's own entries counts as credited; a part is paid by who collects it
    kinds = {"payment": "payment", "tax": "withheld", "write_off": "write_off", "between": "payment"}
    return tuple(
        ShownSettlement(row.document, row.effective_on, kinds.get(row.family, "credit"), row.amount)
        for row in rows
        if row.amount
    )


def _taxes(connection: Connection, head: Any) -> tuple[TaxTotal, ...]:
    rows = connection.execute(
        text(
            "select t.tax_code, c.name, t.treatment, t.included, sum(t.base_minor)::bigint as base,"
            " sum(t.tax_minor)::bigint as tax from line_tax t join tax_code c using (tax_code) "
            "join invoice i on i.customer_id = t.customer_id and i.invoice_id = t.invoice_id and t.document_id = t.invoice_id "
            "where i.customer_id = :customer_id and (i.invoice_id = :invoice_id or i.master = :ref) "
            "group by 1, 2, 3, 4 order by min(t.position), 1"
        ),
        {"customer_id": head.customer_id, "invoice_id": head.invoice_id, "ref": head.ref},
    )
    return tuple(TaxTotal(*row) for row in rows)


def _lines(connection: Connection, head: Any) -> list[tuple[dict[str, Any], ShownLine]]:
    """Each line's fields as posted, with the line as it is shown."""
    rows = connection.execute(
        text(
            "select l.line, l.invoice_id, i.entity, l.product, coalesce(p.name, l.product) as title, array(select t.tax_code from line_tax t"
            " where t.customer_id = l.customer_id and t.document_id = l.invoice_id and t.invoice_id = l.invoice_id"
            " and t.line = l.line order by t.position) as taxes "
            "from invoice_line l join invoice i using (customer_id, invoice_id) left join product p using (product) "
            # a line of another entity's stands in its part
            "where l.customer_id = :customer_id and (i.invoice_id = :invoice_id or i.master = :ref) and l.kind <> 'between'"
        ),
        {"customer_id": head.customer_id, "invoice_id": head.invoice_id, "ref": head.ref},
    )
    posted = {row.line: row for row in rows}
    fields = json.loads(head.body)["lines"]
    usage = _usage_of_lines(connection, head, {row.invoice_id for row in posted.values()})
    found = []
    for line in fields:
        row = posted[line["id"]]
        shown = ShownLine(
            id=line["id"], entity=row.entity, kind=line["kind"], amount=to_minor(Decimal(line["amount"]), head.currency),
            title=line.get("description") or line.get("label") or row.title or _named(line), product=row.product,
            quantity=_number(line.get("quantity")), unit_price=_number(line.get("unit_price")),
            discount=line.get("discount"), start=line.get("start"), end=line.get("end"), taxes=tuple(row.taxes),
            usage=usage.get(line["id"], ()),
        )  # fmt: skip
        found.append((line, shown))
    return found


def _named(line: dict[str, Any]) -> str:
    return str(line.get("obligation") or line.get("grant") or line["kind"])


def _number(raw: str | None) -> Decimal | None:
    return None if raw is None else Decimal(raw)


def _groups(lines: Iterable[tuple[dict[str, Any], ShownLine]], currency: str) -> tuple[Group, ...]:
    """Lines by group and then by label, both in the order in which the document first names them."""
    found: dict[str, dict[str, list[ShownLine]]] = {}
    for fields, line in lines:
        label = fields.get("label") or line.title
        found.setdefault(fields.get("group") or "", {}).setdefault(label, []).append(line)
    return tuple(
        Group(name, tuple(_item(label, alike, currency) for label, alike in items.items()))
        for name, items in found.items()
    )


def _item(label: str, lines: Sequence[ShownLine], currency: str) -> Item:
    """Lines as one: with a quantity where all were priced alike, and where it comes to their amount."""
    priced = [(row.quantity, row.unit_price) for line in lines for row in line.usage if line.quantity is None]
    priced += [
        (line.quantity, line.unit_price) for line in lines if line.quantity is not None and line.unit_price is not None
    ]
    amount = sum(line.amount for line in lines)
    price = priced[0][1] if priced else None
    if price is not None and all(quantity is not None and other == price for quantity, other in priced):
        quantity = sum((quantity for quantity, _ in priced if quantity is not None), Decimal(0))
        discount = sum(to_minor(Decimal(line.discount), currency) for line in lines if line.discount)
        if abs(round_minor(exact_product(quantity, price), currency) - discount - amount) <= 1:
            return Item(label, quantity, price, amount, tuple(lines))
    return Item(label, None, None, amount, tuple(lines))


def _usage_of_lines(connection: Connection, head: Any, invoices: Iterable[int]) -> dict[str, tuple[UsageRow, ...]]:
    """The usage each `usage` line of an invoice bills, by line: the first used is the first billed."""
    billed = [one for invoice_id in invoices for one in billed_by_invoice(connection, head.customer_id, invoice_id)]
    bodies = connection.execute(
        text("select document_id, body from document where customer_id = :customer_id and document_id = any(:usage)"),
        {"customer_id": head.customer_id, "usage": [one.used.document_id for one in billed]},
    )
    said = {row.document_id: json.loads(row.body) for row in bodies}
    found: dict[str, list[UsageRow]] = {}
    for one in billed:
        body = said[one.used.document_id]
        price = _number(body.get("unit_price"))
        row = UsageRow(
            one.used.ref, one.used.used_on, _number(body.get("quantity")), price, one.amount, body.get("events")
        )
        found.setdefault(one.line.line, []).append(row)
    return {line: tuple(usage) for line, usage in found.items()}
