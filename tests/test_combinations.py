"""Where documents meet: cases with figures by hand (combinations.json and meetings.json in tests/data), each in three ways of arriving.

At once: everything posted, then recognised. Month by month: each month's documents posted and recognised in turn. Late: documents
of a later day first, where they may be. The figures are the same. The three ways of a case share a database, by entity and customer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, lines


def _cases(name: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / name).read_text(encoding="utf-8"))[
        "cases"
    ]
    return read


CASES = _cases("combinations.json")

# What readers of the documentation worked out by hand, and the books did not say; some only what all comes to in the end.
MEETINGS = _cases("meetings.json")
WAYS = ("once", "monthly", "late")

Document = dict[str, Any]
Summary = dict[str, dict[str, Decimal]]

_MASTERS = (
    "entity",
    "customer",
    "product",
    "tax_code",
    "coupon",
    "fx_rate",
    "gl_account",
    "stand_alone_price",
    "details",
)
# Of everybody: what has one of these ids is the same in each way.
_SHARED = ("product", "tax_code", "coupon", "fx_rate", "stand_alone_price")


@pytest.mark.parametrize("case", [*CASES, *MEETINGS], ids=lambda case: case["id"])
def test_where_documents_meet_the_books_are_right(cli: Cli, case: dict[str, Any]) -> None:
    # a history that is told in steps is told so, once; some are others where their usage arrives first
    ways = ("steps",) if "steps" in case else case.get("ways", WAYS)
    wrong = [f"{way}: {found}" for way in ways for found in _play(cli, case, way)]
    assert not wrong, "\n".join(wrong)
    assert "all" in cli.ok("verify")


def _play(cli: Cli, case: dict[str, Any], way: str) -> Iterator[str]:  # noqa: C901 - each way in turn
    """Post a case in a way; each month that is not as expected."""
    mine = f"{way}-"
    names = _names(case, mine)
    documents = _renamed(case.get("documents") or [], names)
    if way == "steps":
        for command, what in case["steps"]:
            if command == "post":
                cli.post(*_renamed(what, names))
            else:
                cli.ok(command, *(["--through"] if command == "recognize" else []), what)
    elif way == "once":
        cli.post(*documents)
    elif way == "monthly":
        _post_by_month(cli, documents, case["recognize_through"])
    elif not _post_late(cli, documents):
        return  # refused in this order: which of two over one limit is refused is told by arrival
    if way != "steps":
        cli.ok("recognize", "--through", case["recognize_through"])
    entity = next(names[doc["id"]] for doc in case["documents"] if doc["type"] == "entity")
    wanted = _months(case.get("expected_summary_with_steps") if way == "steps" else None) or _months(
        case.get("expected_summary")
    )
    found = _summary(cli, entity)
    if "expected_end" in case:
        wanted, found = _months({"in the end": case["expected_end"]}), _in_the_end(found)
    for month in sorted(set(wanted) | set(found)):
        if wanted.get(month, {}) != found.get(month, {}):
            yield f"{month}: wanted {_told(wanted.get(month))}, found {_told(found.get(month))}"
    if "report" in case:
        yield from _report(cli, case["report"], entity)


def _post_by_month(cli: Cli, documents: list[Document], through: str) -> None:
    cli.post(*(doc for doc in documents if doc["type"] in _MASTERS))
    rest = [doc for doc in documents if doc["type"] not in _MASTERS]
    month = min(_day(doc)[:7] for doc in rest)
    while rest or month <= through:
        arrived = [doc for doc in rest if _day(doc)[:7] == month]
        if arrived:
            cli.post(*arrived)
        cli.ok("recognize", "--through", month)
        rest = [doc for doc in rest if _day(doc)[:7] != month]
        year, number = int(month[:4]), int(month[5:])
        month = f"{year + number // 12}-{number % 12 + 1:02}"


def _post_late(cli: Cli, documents: list[Document]) -> bool:
    """Each document as late as those allow that need it; False where that can't be."""

    def first(doc: Document) -> bool:
        """Which credits a draw took counts by arrival: grants, their bills and usage keep their order."""
        return doc["type"] in (*_MASTERS, "grant") or any(
            line.get("kind") == "prepaid" for line in doc.get("lines", ())
        )

    cli.post(*(doc for doc in documents if first(doc)))
    rest = [doc for doc in documents if doc["type"] == "usage"]
    rest += [doc for doc in reversed(documents) if not first(doc) and doc["type"] != "usage"]
    while rest:
        for doc in rest:
            if not cli.run("post", "-", stdin=lines([doc])).exit_code:
                rest.remove(doc)
                break
        else:
            return False
    return True


def _day(doc: Document) -> str:
    return next(doc[key] for key in ("issued_on", "signed_on", "effective_on", "date") if key in doc)


def _names(case: dict[str, Any], mine: str) -> dict[str, str]:
    """What each id of a case is called, so that several ways of it stand in one database."""
    told = case.get("documents") or [doc for command, what in case["steps"] if command == "post" for doc in what]
    return {
        name: mine + name
        for doc in told
        if doc["type"] not in _SHARED
        for name in (doc["id"], *(item["id"] for item in doc.get("obligations", ()) if isinstance(item, dict)))
    }


def _renamed(value: Any, names: dict[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        shared = value.get("type") in _SHARED
        return {name: item if shared else _renamed(item, names, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names, key) for item in value]
    # what is not a reference keeps its words, an order that several documents name among them
    if key in ("type", "product", "products", "tax_codes", "kind", "line", "name", "currency"):
        return value
    return names.get(value, value) if isinstance(value, str) and key != "contract" else _order(value, names)


def _order(value: Any, names: dict[str, str]) -> Any:
    """A contract, or the order of an order's grants, which is no document: one of each way's own."""
    if not isinstance(value, str):
        return value
    return names.get(value) or f"{next(iter(names.values())).partition('-')[0]}-{value}"


def _summary(cli: Cli, entity: str) -> Summary:
    found: Summary = {}
    for row in cli.report("summary", "--entity", entity):
        if not row["account"].startswith("memo_"):
            found.setdefault(row["month"], {})[row["account"]] = Decimal(row["amount"])
    return found


def _in_the_end(found: Summary) -> Summary:
    total: dict[str, Decimal] = {}
    for accounts in found.values():
        for account, amount in accounts.items():
            total[account] = total.get(account, Decimal(0)) + amount
    return {"in the end": {account: amount for account, amount in total.items() if amount}}


def _months(told: dict[str, dict[str, str]] | None) -> Summary:
    found = {
        month: {account: Decimal(amount) for account, amount in accounts.items() if Decimal(amount)}
        for month, accounts in (told or {}).items()
    }
    return {month: accounts for month, accounts in found.items() if accounts}


def _told(accounts: dict[str, Decimal] | None) -> dict[str, str]:
    return {account: str(amount) for account, amount in (accounts or {}).items()}


def _report(cli: Cli, asked: dict[str, Any], entity: str) -> Iterator[str]:
    """A report beside the summary: the sums of its columns."""
    _, _, name, *options = asked["command"].split()
    rows = cli.report(name, *options, "--entity", entity)
    for column, wanted in asked["expected"].items():
        total = sum(Decimal(row[column.removesuffix(" months").replace(" ", "_")]) for row in rows)
        if total != Decimal(wanted):
            yield f"{name}, {column}: wanted {wanted}, found {total}"
