"""What of an export has to be mapped, and what its file has to come to: the trial balance."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection

from adapters.selected import selection
from adapters.selected.mapping import Mapping, Place
from adapters.selected.selection import Part
from adapters.targets.target import Target
from ledger.amounts.dates import month_text
from ledger.amounts.money import to_decimal
from ledger.errors import Problem, ProblemList, Unbalanced
from ledger.journal import periods
from ledger.reports.trial_balance import account_balances


def check(connection: Connection, kind: Target, parts: Sequence[Part], mapping: Mapping) -> None:
    """Raise Refused, with everything that is wrong, where what is exported can't be.

    That is: not mapped, on an account that takes no journals there, or of months not to be exported.
    """
    problems = [
        *selection.unmapped(connection, parts, mapping),
        *kind.refused(mapping, accounts_of(connection, parts, mapping)),
        *_wrong_months(connection, parts, mapping),
    ]
    if problems:
        raise ProblemList(problems)


def accounts_of(connection: Connection, parts: Sequence[Part], mapping: Mapping) -> list[tuple[str, Place]]:
    """The accounts there of what is exported, each with the role that goes there."""
    places = [(what.role, mapping.place(what)) for what, *_ in selection.used(connection, parts, mapping)]
    return list(dict.fromkeys((role, place) for role, place in places if place is not None))


def _wrong_months(connection: Connection, parts: Sequence[Part], mapping: Mapping) -> list[Problem]:
    """Months with postings that the mapping leaves to another day: open ones, or closed ones."""
    setting = mapping.file.periods if mapping.file else "any"
    if setting == "any":
        return []
    first_open = periods.first_open_day(connection, mapping.entity)
    return [
        Problem("periods", month_text(month), f"expected a month that is {setting}, as the mapping says")
        for month in selection.months(connection, parts)
        if (month < first_open) != (setting == "closed")
    ]


def expected_totals(
    connection: Connection, kind: Target, parts: Sequence[Part], mapping: Mapping
) -> dict[str, Decimal]:
    """What a file must come to by account of the target, from the postings themselves, which must be the trial balance.

    Raises Unbalanced where they are not.
    """
    currency = periods.currency(connection, mapping.entity)
    totals: dict[str, Decimal] = {}
    by_role: dict[str, int] = {}
    for what, _, net in selection.used(connection, parts, mapping):
        place = mapping.place(what)
        assert place is not None, "checked before anything is written"
        key = kind.key(place, what.role)
        totals[key] = totals.get(key, Decimal(0)) + to_decimal(net, currency)
        by_role[what.role] = by_role.get(what.role, 0) + net
    whole = next((part for part in parts if part.through is None), None)
    if whole is not None:
        balances: dict[str, int] = {}
        for balance in account_balances(connection, whole.filters):
            balances[balance.role] = balances.get(balance.role, 0) + balance.net
        for role in sorted({*by_role, *balances}):
            if by_role.get(role, 0) != balances.get(role, 0):
                raise Unbalanced(
                    f"export {role}", by_role.get(role, 0), f"expected {balances.get(role, 0)}, the trial balance's"
                )
    return totals


def compare(path: Path, expected: MappingOf[str, Decimal], found: MappingOf[str, Decimal]) -> None:
    """Raise Unbalanced where an account's total in the file is not what the books say."""
    for account in sorted({*expected, *found}):
        wanted, got = expected.get(account, Decimal(0)), found.get(account, Decimal(0))
        if wanted != got:
            raise Unbalanced(f"{path.name} account {account}", got, f"expected {wanted}, the trial balance's")
