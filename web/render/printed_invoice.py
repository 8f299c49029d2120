"""An invoice as it is sent."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from ledger.invoices.show import read_invoice
from ledger.invoices.shown import ShownInvoice
from ledger.reports.report import Filters
from ledger.reports.wallet import wallet
from web.render.sheet import EXEMPT, REVERSE_CHARGE, SETTLED, Sheet, made_of, named_of, seller_of


def print_invoice(connection: Connection, ref: str) -> Sheet:
    """An invoice as it is sent. Raises UnknownReference."""
    found = read_invoice(connection, ref)
    lines = [line for group in found.groups for item in group.items for line in item.lines]
    entities = dict.fromkeys([found.entity, *(line.entity for line in lines)])
    starts = [line.start for line in lines if line.start]
    ends = [line.end for line in lines if line.end]
    return made_of(
        "invoice.html",
        f"{'Credit' if found.total < 0 else 'Invoice'} {found.number or found.ref}",
        invoice=found, seller=seller_of(connection, found.entity, found.issued_on),
        suppliers={entity: seller_of(connection, entity, found.issued_on) for entity in entities if entity != found.entity},
        buyer=named_of(connection, found.entity, found.customer, found.issued_on, found.customer_name, found.customer_tax_id),
        from_day=min(starts, default=None), to_day=max(ends, default=None), taxes=_taxes(connection, found),
        subtotal=sum(group.amount for group in found.groups), notes=_notes(found), quantity=_quantity,
        settlements=_settlements(found), base=_in_books(connection, found), credits=_credits(connection, found),
    )  # fmt: skip


def _quantity(number: Any) -> str:
    return "" if number is None else f"{number:,f}"


def _taxes(connection: Connection, found: ShownInvoice) -> list[dict[str, Any]]:
    """The invoice's taxes with their rates."""
    rates: dict[str, Any] = {
        row.tax_code: row
        for row in connection.execute(
            text("select tax_code, rate, fixed from tax_code where tax_code = any(:codes)"),
            {"codes": [tax.code for tax in found.taxes]},
        )
    }
    return [
        {"tax": tax, "rate": f"{rates[tax.code].rate * 100:f}".rstrip("0").rstrip(".") if rates[tax.code].rate else ""}
        for tax in found.taxes
    ]


def _notes(found: ShownInvoice) -> list[str]:
    """What the law wants said where no tax is charged."""
    treatments = {tax.treatment for tax in found.taxes}
    return [
        said for treatment, said in (("reverse_charge", REVERSE_CHARGE), ("exempt", EXEMPT)) if treatment in treatments
    ]


def _settlements(found: ShownInvoice) -> list[dict[str, Any]]:
    """What was taken off, as the reader of the invoice knows it."""
    said = []
    for one in found.settlements:
        kind, _, ref = one.document.partition(":")
        what = "Tax withheld," if one.kind == "withheld" else SETTLED.get(kind, kind.replace("_", " ").capitalize())
        said.append(
            {
                "what": f"{what} {ref}",
                "date": one.date,
                "amount": one.amount,
            }
        )
    return said


def _in_books(connection: Connection, found: ShownInvoice) -> dict[str, Any] | None:
    """What an invoice in another currency comes to in its entity's, at the rate it was posted with."""
    if found.draft:
        return None
    row: Any = connection.execute(
        text(
            "select n.currency, coalesce(sum(case when p.debit_account = i.receivable_account then p.functional_amount"
            " else -p.functional_amount end), 0)::bigint as total,"
            " coalesce(sum(case when p.debit_account = i.receivable_account then p.functional_amount else -p.functional_amount end)"
            "  filter (where a.role = 'tax_payable'), 0)::bigint as tax "
            "from invoice i join entity n using (entity) join entry e on e.customer_id = i.customer_id and e.document_id = i.invoice_id"
            " and e.reverses is null "
            "join posting p on p.customer_id = e.customer_id and p.entry_id = e.entry_id"
            " and i.receivable_account in (p.debit_account, p.credit_account)"
            " and p.rule <> (select number from rule where code = 'invoice.to_balance') "
            "join account a on a.customer_id = p.customer_id"
            " and a.account_id = case when p.debit_account = i.receivable_account then p.credit_account else p.debit_account end "
            "where i.ref = :ref and n.currency <> i.currency group by n.currency"
        ),
        {"ref": found.ref},
    ).first()
    return None if row is None else dict(row._mapping)


def _credits(connection: Connection, found: ShownInvoice) -> dict[str, Any] | None:
    """Each of the customer's credits that were used since the invoice before, or are left; None where there are none."""
    before: date | None = connection.scalar(
        text(
            "select max(i.issued_on) from invoice i join customer c using (customer_id) where c.ref = :customer"
            " and i.entity = :entity and i.currency = :currency and i.issued_on < :issued_on"
        ),
        {"customer": found.customer, "entity": found.entity, "currency": found.currency, "issued_on": found.issued_on},
    )
    filters = Filters(customer=found.customer, entity=found.entity, currency=found.currency, as_of=found.issued_on)
    drawn: dict[str, int] = {}
    if before is not None:
        earlier = Filters(customer=found.customer, entity=found.entity, currency=found.currency, as_of=before)
        drawn = {row["grant"]: row["drawn"] for row in wallet(connection, earlier).rows}
    rows = [
        row | {"used": row["drawn"] - drawn.get(row["grant"], 0)}
        for row in wallet(connection, filters).rows
        if row["kind"] != "commitment"
    ]
    rows = [row for row in rows if row["used"] or row["left"]]
    return {"rows": rows, "since": before} if rows else None
