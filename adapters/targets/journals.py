"""Plain-text journals: the books as Beancount and hledger read them, each entry with its number, accounts opened or declared first.

An account's name is its kind, its code and its title (Assets:1200-Accounts-receivable). A line in another currency carries what it
counted for in all (@@), so that nothing is worked out again, and what only exchange rates moved stands in the entity's currency.
Both files end with every account's balance, for their readers to check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from adapters.files.forms import Refusals, sum_by_account
from adapters.selected.entry import Entry, EntryLine
from adapters.selected.mapping import Mapping, Place
from adapters.targets.target import Target
from ledger.accounts.chart import ROLES
from ledger.amounts.money import exponent, to_decimal

_ROOTS = {
    "asset": "Assets", "liability": "Liabilities", "equity": "Equity", "revenue": "Income", "income": "Income", "expense": "Expenses",
}  # fmt: skip


def account_name(place: Place, role: str) -> str:
    """A name both programs take: letters, digits and hyphens after the root."""
    words = place.account if place.name == place.account else f"{place.account}-{place.name}"
    plain = re.sub(r"[^0-9A-Za-z]+", "-", words).strip("-") or "unnamed"
    return f"{_ROOTS[ROLES[role].kind]}:{plain[0].upper()}{plain[1:]}"


@dataclass(slots=True)
class _Seen:
    """What has to be declared before the first entry, and what the last line has to say."""

    first: date | None = None
    last: date | None = None
    currencies: set[str] = field(default_factory=set)
    sums: dict[tuple[str, str], int] = field(default_factory=dict)

    def entry(self, entry: Entry) -> None:
        self.first = min(self.first or entry.dated_on, entry.dated_on)
        self.last = max(self.last or entry.dated_on, entry.dated_on)
        self.currencies |= {entry.currency, entry.functional_currency}
        for line in entry.lines:
            key = account_name(line.place, line.role), entry.currency
            self.sums[key] = self.sums.get(key, 0) + line.net


Say = Callable[[Entry], Iterator[str]]


def _write(
    path: Path,
    entries: Iterable[Entry],
    heads: Callable[[_Seen], Iterator[str]],
    say: Say,
    tail: Callable[[_Seen], Iterator[str]],
) -> int:
    """Entries into a file whose head is known at the end: what is declared depends on all of them."""
    seen, count = _Seen(), 0
    body = path.with_name(f"{path.name}.entries")
    try:
        with body.open("w", encoding="utf-8") as file:
            for entry in entries:
                count += 1
                seen.entry(entry)
                file.writelines(say(entry))
        with path.open("w", encoding="utf-8") as file, body.open(encoding="utf-8") as written:
            file.writelines(heads(seen))
            for part in iter(lambda: written.read(1 << 20), ""):
                file.write(part)
            file.writelines(tail(seen))
    finally:
        body.unlink(missing_ok=True)
    return count


def _amount(line: EntryLine, entry: Entry) -> str:
    amount = to_decimal(line.net, entry.currency)
    if entry.rate is None:
        return f"{amount} {entry.currency}"
    return f"{amount} {entry.currency} @@ {to_decimal(abs(line.functional), entry.functional_currency)} {entry.functional_currency}"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    escaped = _flat(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _beancount_head(seen: _Seen) -> Iterator[str]:
    yield 'option "inferred_tolerance_default" "*:0"\n'
    for currency in sorted(seen.currencies):
        yield f'option "operating_currency" "{currency}"\n'
    for account in sorted({account for account, _ in seen.sums}):
        yield f"{seen.first} open {account}\n"
    yield "\n"


def _named(entry: Entry) -> Iterator[tuple[str, str]]:
    """What an entry's document is called elsewhere, under keys that both programs take."""
    if "reference" in entry.called:
        yield "reference", entry.called["reference"]
    for system, external in sorted(entry.called.get("external", {}).items()):
        yield f"external-{system.replace('.', '-')}", external


def _beancount_entry(entry: Entry) -> Iterator[str]:
    yield f"{entry.dated_on} * {_quoted(entry.memo)}\n  number: {_quoted(entry.number)}\n  source: {_quoted(entry.source)}\n"
    for key, value in _named(entry):
        yield f"  {key}: {_quoted(value)}\n"
    for line in entry.lines:
        yield f"  {account_name(line.place, line.role)}  {_amount(line, entry)}\n"
        if line.customer:
            yield f"    customer: {_quoted(line.customer)}\n    name: {_quoted(line.customer_name)}\n"
    yield "\n"


def _beancount_tail(seen: _Seen) -> Iterator[str]:
    if seen.last is None:
        return
    after = seen.last + timedelta(days=1)  # Beancount's balances are of a day's beginning
    for (account, currency), net in sorted(seen.sums.items()):
        yield f"{after} balance {account}  {to_decimal(net, currency)} {currency}\n"


def _write_beancount(path: Path, entries: Iterable[Entry], _mapping: Mapping, _refusals: Refusals) -> int:
    return _write(path, entries, _beancount_head, _beancount_entry, _beancount_tail)


def _hledger_head(seen: _Seen) -> Iterator[str]:
    for currency in sorted(seen.currencies):
        places = "0" * exponent(currency)
        yield f"commodity {currency}\n    format 1000.{places} {currency}\n"
    for account in sorted({account for account, _ in seen.sums}):
        yield f"account {account}\n"
    yield "\n"


def _comment(text: str) -> str:
    """Text for a tag: a comma would end its value."""
    return _flat(text).replace(",", " ").replace(";", " ")


def _hledger_entry(entry: Entry) -> Iterator[str]:
    tags = ", ".join(f"{key}:{_comment(value)}" for key, value in [("source", entry.source), *_named(entry)])
    yield f"{entry.dated_on} * ({entry.number}) {_comment(entry.memo)}  ; {tags}\n"
    for line in entry.lines:
        customer = (
            f"  ; customer:{_comment(line.customer)}, name:{_comment(line.customer_name)}" if line.customer else ""
        )
        yield f"    {account_name(line.place, line.role)}    {_amount(line, entry)}{customer}\n"
    yield "\n"


def _hledger_tail(seen: _Seen) -> Iterator[str]:
    if seen.last is None:
        return
    yield f"{seen.last} * balances of every account\n"
    for (account, currency), net in sorted(seen.sums.items()):
        zero = to_decimal(0, currency)
        yield f"    {account}    {zero} {currency} = {to_decimal(net, currency)} {currency}\n"


def _write_hledger(path: Path, entries: Iterable[Entry], _mapping: Mapping, _refusals: Refusals) -> int:
    return _write(path, entries, _hledger_head, _hledger_entry, _hledger_tail)


_POSTING = re.compile(
    r"^ +(?P<account>[A-Z][A-Za-z]+:[0-9A-Za-z-]+) +(?P<amount>-?[0-9.]+) [A-Z]{3}(?: @@ (?P<counted>[0-9.]+) [A-Z]{3})?(?: *;.*)?$"
)


def _totals(path: Path, _mapping: Mapping, _cent: Decimal) -> dict[str, Decimal]:
    """By the names accounts have in the file; the closing balances are no movements."""

    def lines() -> Iterator[tuple[str, Decimal]]:
        with path.open(encoding="utf-8") as file:
            for row in file:
                found = _POSTING.match(row.rstrip("\n"))
                if found:
                    amount, in_all = Decimal(found["amount"]), found["counted"]
                    yield found["account"], amount if in_all is None else Decimal(in_all).copy_sign(amount)

    return sum_by_account(lines())


BEANCOUNT = Target("books.beancount", "entries", _write_beancount, _totals, detail="entry", key=account_name)
HLEDGER = Target("books.journal", "entries", _write_hledger, _totals, detail="entry", key=account_name)
