"""What moves contract liabilities, contract assets and taxes, by the family of the rule."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.accounts.rulebook import BY_NUMBER

# What moves a contract liability or asset, by the family of the rule: what is in none is `other` (the two settling each
# other, exchange differences, manual entries).
LIABILITY_FLOWS = {
    "billed": ("invoice.",),
    "recognised": (
        "recognise.deferred",
        "recognise.less_deferred",
        "position.earned",
        "position.less_earned",
        "draw.",
        "expire.",
        "break.",
        "usage.billed_ahead",
        "usage.ahead_returned",
        "shortfall.",
        "order.",
    ),
    "credited": (
        "credit.",
        "refund.",
        "dispute.",
        "write_off.",
        "recovery.",
        "refund_reversal.",
        "reinstated.",
        "credit_void.",
    ),
}
ASSET_FLOWS = {
    "earned": (
        "recognise.unbilled",
        "recognise.less_unbilled",
        "draw.",
        "usage.overage",
        "break.",
        "shortfall.",
        "order.",
    ),
    "billed": ("invoice.",),
    "credited": (
        "credit.",
        "refund.",
        "dispute.",
        "write_off.",
        "refund_reversal.",
        "reinstated.",
        "credit_void.",
        "usage.discount",
        "usage.credit",
        "usage.refund",
        "usage.dispute",
        "usage.bad_debt",
    ),
}
_SETTLING = ("invoice.settled", "invoice.unsettled")


def flow_of(rule: int, flows: Mapping[str, tuple[str, ...]]) -> str:
    """Which flow a rule moves, or `other`."""
    code = BY_NUMBER[rule].code
    if code in _SETTLING:
        return "other"
    return next((name for name, families in flows.items() if code.startswith(families)), "other")


# What was charged of a tax is all but these.
_TAX_FLOWS = {"remitted": ("tax.",), "manual": ("manual",)}
FLOWS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "liability": LIABILITY_FLOWS,
    "asset": ASSET_FLOWS,
    "tax": _TAX_FLOWS,
}


def rules_of(kind: str, flow: str) -> list[int]:
    """The rules whose postings a column of a roll-forward adds up.

    Of a `liability`, an `asset` or a `tax`.
    """
    return [number for number in BY_NUMBER if flow_of(number, FLOWS[kind]) == flow]
