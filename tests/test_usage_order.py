"""Usage, its bills and what is taken back of them, in any order of arrival: the same books, month by month."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from ledger.reports.report import Filters
from ledger.reports.trial_balance import summary
from tests.samples import billed_usage, invoice, parties, payment, usage
from tests.test_credits_back import credit, discounted, write_off
from tests.test_properties import EXAMPLES, _differences, _post, fresh  # noqa: F401 - a fixture
from tests.test_usage_amounts import amount

DAYS = st.sampled_from([f"2026-{month:02}-{day:02}" for month in (1, 2, 3, 4) for day in (5, 20)])
CENTS = st.integers(1, 9_000)


@st.composite
def _of_usage(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Usage of a product, up and down, bills of it, some at a discount, and what takes them back."""

    def money(cents: int) -> str:
        return f"{Decimal(cents) / 100:.2f}"

    found: list[dict[str, Any]] = [usage("u0", "100.00", draw(DAYS))]
    found += [usage(f"u{n}", money(draw(CENTS)), draw(DAYS)) for n in range(1, draw(st.integers(1, 3)))]
    found += [amount(f"f{n}", f"-{money(draw(CENTS))}", draw(DAYS)) for n in range(draw(st.integers(0, 2)))]
    for n in range(draw(st.integers(1, 2))):
        day, cents, less = draw(DAYS), draw(CENTS), draw(st.sampled_from([0, 0, 700]))
        line = discounted(money(cents), money(cents + less), money(less)) if less else billed_usage(money(cents))
        found.append(invoice(f"I{n}", day, line))
        back = draw(st.integers(1, cents))
        later = max(day, draw(DAYS))
        kind = draw(st.sampled_from(["none", "credit", "write_off", "refund"]))
        if kind == "credit":
            found.append(credit(f"N{n}", money(back), later, f"I{n}"))
        elif kind == "write_off":
            found.append(write_off(f"W{n}", later, amount=money(back)) | {"invoice": f"I{n}"})
        elif kind == "refund":
            found.append(payment(f"P{n}", money(cents), day, (f"I{n}", money(cents))))
            found.append(
                {
                    "type": "refund",
                    "id": f"R{n}",
                    "payment": f"P{n}",
                    "date": later,
                    "amount": money(back),
                    "invoice": f"I{n}",
                }
            )
    return found


@settings(max_examples=EXAMPLES * 10)
@given(documents=_of_usage(), data=st.data())
def test_the_order_of_arrival_does_not_matter(fresh: Any, documents: list[dict[str, Any]], data: st.DataObject) -> None:  # noqa: F811
    shuffled = data.draw(st.permutations(documents))
    note("\n".join(map(json.dumps, documents)))
    note("arrived as " + " ".join(doc["id"] for doc in shuffled))
    found = []
    for arrived in (documents, shuffled):
        engine = fresh()
        _post(engine, parties())
        waiting, before = list(arrived), -1
        # what is refused because it comes too early is sent again
        while waiting and len(waiting) != before:
            before = len(waiting)
            waiting = [doc for doc in waiting if _post(engine, [doc])[1]]
        with engine.connect() as connection:
            assert _differences(connection) == []
            found.append((sorted(doc["id"] for doc in waiting), summary(connection, Filters(memorandum=True)).rows))
    assert found[0] == found[1]
