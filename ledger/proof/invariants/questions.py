"""All invariants of the ledger, in the order in which they are asked."""

from __future__ import annotations

from ledger.proof.invariants import (
    customers,
    documents,
    entries,
    grants,
    invoices,
    money,
    periods,
    positions,
    taxes,
    totals,
    usage,
)

QUESTIONS = (
    *entries.POSTED,
    *documents.KEPT,
    *entries.REVERSED,
    *periods.CLOSED,
    *grants.DRAWN,
    *invoices.BILLED,
    *customers.KNOWN,
    *invoices.TOTALLED,
    *money.PASSED,
    *money.UNAPPLIED,
    *grants.PREPAID,
    *positions.NETTED,
    *usage.RATED,
    *taxes.PAYABLE,
    *totals.SUB_LEDGERS,
    *documents.APPROVED,
    *totals.SEALED_TOTALS,
)
