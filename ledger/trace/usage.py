"""Usage and the invoices that bill it, as steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from ledger.amounts.money import to_text
from ledger.trace.steps import STEPS_MAX, Step
from ledger.usage.allotment import Billed


def superseding(connection: Connection, row: Any) -> list[str]:
    """The usage that took a usage document's place."""
    rows = connection.scalars(
        text(
            "select d.ref from superseded_usage s join document d on d.customer_id = s.customer_id"
            " and d.document_id = s.superseded_by where s.customer_id = :customer_id and s.document_id = :document_id"
        ),
        {"customer_id": row.customer_id, "document_id": row.document_id},
    )
    return list(rows)


def usage_steps(billed: Sequence[Billed], kind: str, depth: int = 0) -> list[Step]:
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
