"""Balances by date: what an account held, what can be taken from it, and which side of a contract it shows."""

from __future__ import annotations

from datetime import date

# An account's net increase by day, on its normal side, in minor units.
History = dict[date, int]


def available(history: History, on: date) -> int:
    """What can be taken from an account on a day so that it never falls below zero, then or later.

    `history` is the account's net increase by day; the answer is the least its balance is from that day on.
    """
    balance = 0
    least: int | None = None
    for day in sorted(history):
        if day > on and least is None:
            least = balance
        balance += history[day]
        if day >= on:
            least = balance if least is None else min(least, balance)
    return balance if least is None else least


def balance(history: History, on: date) -> int:
    """An account's balance at the end of a day."""
    return sum(net for day, net in history.items() if day <= on)


def nettings(liability: History, asset: History, after: date) -> list[tuple[date, int]]:
    """What keeps a contract from showing a liability and an asset at once, on every day after the given one.

    The two histories are net increases by day. What is billed less what is earned is one position: above zero all of
    it is the liability, below zero all of it the asset. Returns (day, amount) to move from the liability to the asset,
    or back where the amount is below zero.
    """
    steps = []
    billed_ahead, earned_ahead = balance(liability, after), balance(asset, after)
    settled = 0
    for day in sorted({day for day in (*liability, *asset) if day > after}):
        billed_ahead += liability.get(day, 0)
        earned_ahead += asset.get(day, 0)
        # how much of both there is too much, beyond what the steps before have settled
        too_much = min(billed_ahead, earned_ahead) - settled
        if too_much:
            steps.append((day, too_much))
            settled += too_much
    return steps
