"""Burn-down: how fast a wallet is used, and when it runs out at that rate.

The rate is what was drawn in the last `WINDOW` days, a day. Credits are used soonest-expiring first, as usage draws on
them by default; what expires before it could be used is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.reports.report import Column, Filters, Report, last_day, sides
from ledger.reports.wallet import wallet

WINDOW = 30
# Nobody plans credits beyond this; a wallet that lasts longer does not run out.
HORIZON_DAYS = 3_650

# By these rules credits are used, and given back by corrections; each draw once, by face value.
_DRAWS = (
    "draw.prepaid", "draw.prepaid_unbilled", "draw.credits", "draw.prepaid_returned", "draw.unbilled_returned",
    "draw.credits_returned",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lot:
    """Credits left of a grant, and when they can be used."""

    left: int
    starts_on: date
    ends_on: date | None


def burn_down(lots: Iterable[Lot], a_day: Fraction, after: date) -> Iterator[tuple[date, Fraction, Fraction]]:
    """Each day from the next on: what is left at its end that can still be used.

    And what usage at a constant rate found too few of.
    """
    remaining = [[Fraction(lot.left), lot] for lot in sorted(lots, key=lambda lot: lot.ends_on or date.max)]
    day = after
    for _ in range(HORIZON_DAYS):
        day += timedelta(days=1)
        wanted = a_day
        usable = Fraction(0)
        for place in remaining:
            left, lot = place
            assert isinstance(lot, Lot)
            assert isinstance(left, Fraction)
            if lot.starts_on <= day and (lot.ends_on is None or day <= lot.ends_on):
                taken = min(left, wanted)
                place[0] = left - taken
                wanted -= taken
            if lot.ends_on is None or day < lot.ends_on:
                usable += place[0]  # type: ignore[operator] # the first of the two
        yield day, usable, wanted


def runs_out_on(lots: Iterable[Lot], a_day: Fraction, after: date) -> date | None:
    """The first day on which usage at a constant rate finds too few credits.

    None within `HORIZON_DAYS`.
    """
    if a_day <= 0:
        return None
    return next((day for day, _, short in burn_down(lots, a_day, after) if short), None)


def lot_of(row: Mapping[str, Any], on: date) -> Lot | None:
    """What can be used of a grant from a day on.

    Of a row of the wallets' report; None where nothing can.
    """
    if row["kind"] == "commitment" or row["left"] <= 0 or (row["expires_on"] is not None and row["expires_on"] < on):
        return None
    return Lot(row["left"], row["effective_on"], row["expires_on"])


def wallet_forecast(connection: Connection, filters: Filters) -> Report:
    """Each wallet: credits left, how fast they are drawn, and the day it runs out.

    By the average drawn a day in the last 30. Commitments are no credits and don't count.
    """
    as_of = filters.as_of or last_day(connection, filters)
    narrowed = Filters(None, as_of, filters.known_at, filters.entity, filters.customer, None, filters.currency)
    lots: dict[tuple[str, str], list[Lot]] = {}
    for row in wallet(connection, narrowed).rows:
        if row["kind"] != "commitment":
            place = lots.setdefault((row["customer"], row["currency"]), [])
            lot = lot_of(row, as_of)
            if lot is not None:
                place.append(lot)
    drawn = _drawn(connection, narrowed, as_of)
    found = []
    for (customer, currency), credits_ in sorted(lots.items()):
        used = drawn.get((customer, currency), 0)
        a_day = Fraction(used, WINDOW)
        found.append(
            {
                "customer": customer, "currency": currency, "left": sum(lot.left for lot in credits_),
                "used": used, "a_day": round(a_day), "runs_out_on": runs_out_on(credits_, a_day, as_of),
            }
        )  # fmt: skip
    columns = (
        Column("customer", "Customer"),
        Column("currency", "Currency"),
        Column("left", "Left", "amount"),
        Column("used", f"Drawn in {WINDOW} days", "amount"),
        Column("a_day", "A day", "amount"),
        Column("runs_out_on", "Runs out on", "date"),
    )
    return Report("wallet-forecast", "Burn-down of wallets", columns, tuple(found), (), (f"as of {as_of}",))


def _drawn(connection: Connection, filters: Filters, as_of: date) -> dict[tuple[str, str], int]:
    """Credits drawn in the window up to a day, by customer and currency.

    In minor units of face value.
    """
    window = Filters(
        as_of - timedelta(days=WINDOW - 1), as_of, filters.known_at, filters.entity, filters.customer, None, filters.currency
    )  # fmt: skip
    source, parameters = sides(window, "revenue", "memo_credits_outstanding")
    rows: Any = connection.execute(
        text(
            # a grant kept in memorandum is counted there, by credits; its money is not
            f"select c.ref as customer, x.currency, sum(case when g.in_memorandum = (x.role <> 'revenue')"
            f" then case x.role when 'revenue' then -x.sign else x.sign end * x.amount end)::bigint as drawn "
            f"from ({source}) x join customer c using (customer_id) "
            f"join credit_grant g on g.customer_id = x.customer_id and x.subject = 'grant:' || g.ref "
            f"where x.rule = any(:draws) group by 1, 2"
        ),
        parameters | {"draws": [RULES[code].number for code in _DRAWS]},
    )
    return {(row.customer, row.currency): row.drawn or 0 for row in rows}
