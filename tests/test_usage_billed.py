"""Which usage an invoice bills and which invoices bill usage: one allotment, read both ways."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from ledger.trace.steps import Trace
from ledger.usage.allotment import UsageLine, Used, allot
from revrec.trace import trace
from tests.conftest import Cli
from tests.samples import PARTY, billed_usage, invoice, parties, usage

JANUARY = date(2026, 1, 1)


def _void(ref: str, day: str) -> dict[str, Any]:
    return {"type": "invoice_void", "id": f"void {ref}", "invoice": ref, "date": day, "reason": "wrong"}


def _period(start: str, end: str) -> dict[str, str]:
    return {"start": start, "end": end}


def _down(found: Trace) -> list[str]:
    return [step.ref for step in found.sources if step.kind == "usage"]


def _up(found: Trace) -> list[str]:
    return [step.ref for step in found.results if step.kind == "invoice"]


def test_usage_leads_to_the_invoice_that_bills_it(cli: Cli, connection: Connection) -> None:
    """100.00 used in January, 50.00 in February, each billed at its month's end."""
    cli.post(
        *parties(), usage("jan", "100.00", "2026-01-10"), usage("feb", "50.00", "2026-02-10"),
        invoice("I1", "2026-01-31", billed_usage("100.00")), invoice("I2", "2026-02-28", billed_usage("50.00")),
    )  # fmt: skip
    assert _up(trace(connection, "usage:jan")) == ["I1"]
    assert _up(trace(connection, "usage:feb")) == ["I2"]
    assert _down(trace(connection, "invoice:I1")) == ["jan"]
    assert "2026-01-31, 100.00 USD on line 1" in cli.ok("trace", "usage:jan")
    # and from entry to entry, both ways
    (entry,) = trace(connection, "usage:jan").entries
    led = trace(connection, f"entry:{entry.entry_id}").results
    assert [step.text for step in led] == ["2026-01-31 invoice:I1: 100.00 USD invoice.usage"]
    (billed,) = trace(connection, "invoice:I1").entries
    found = trace(connection, f"entry:{billed.entry_id}")
    assert _down(found) == ["jan"]
    assert [step for step in found.results if step.kind == "entry"] == []  # not February's invoice


def test_a_line_with_a_period_bills_what_was_used_in_it(cli: Cli, connection: Connection) -> None:
    """February is billed before January: without its period, its line would take January's 100.00 first."""
    cli.post(
        *parties(), usage("jan", "100.00", "2026-01-10"), usage("feb", "50.00", "2026-02-10"), usage("feb2", "30.00", "2026-02-20"),
        invoice("F", "2026-02-28", billed_usage("50.00") | _period("2026-02-01", "2026-02-28")),
        invoice("R", "2026-03-05", billed_usage("130.00")),
    )  # fmt: skip
    assert _down(trace(connection, "invoice:F")) == ["feb"]
    # the rest in the order of its days: January's 100.00 and what is left of February
    assert _down(trace(connection, "invoice:R")) == ["jan", "feb2"]
    assert _up(trace(connection, "usage:jan")) == ["R"]
    cli.post(
        usage("dec", "5.00", "2025-12-31"), invoice("J", "2026-03-06", billed_usage("20.00") | _period("2026-03-01", "2026-03-31")),
        usage("apr", "20.00", "2026-04-02"),
    )  # fmt: skip
    assert _down(trace(connection, "invoice:J")) == []  # nothing was used in March: what it bills is billed ahead


def test_one_usage_on_two_invoices_and_a_line_of_several(cli: Cli, connection: Connection) -> None:
    """100.00 and 40.00 used; billed 60.00, then 80.00: of the first 60.00 and 40.00."""
    cli.post(
        *parties(), usage("a", "100.00", "2026-01-10"), usage("b", "40.00", "2026-01-11"),
        invoice("I1", "2026-01-31", billed_usage("60.00")), invoice("I2", "2026-02-01", billed_usage("80.00")),
    )  # fmt: skip
    texts = [step.text for step in trace(connection, "usage:a").results if step.kind == "invoice"]
    assert texts == ["2026-01-31, 60.00 USD on line 1", "2026-02-01, 40.00 USD on line 1"]
    assert _up(trace(connection, "usage:b")) == ["I2"]


def test_an_invoice_taken_back_leaves_its_usage_to_the_next(cli: Cli, connection: Connection) -> None:
    """V bills January and is voided, A bills it again, and B replaces A: B it is, and the others say that they were taken back."""
    cli.post(
        *parties(), usage("jan", "100.00", "2026-01-10"), usage("feb", "50.00", "2026-02-10"),
        invoice("V", "2026-01-31", billed_usage("100.00")), _void("V", "2026-02-01"),
        invoice("A", "2026-02-02", billed_usage("100.00")), invoice("B", "2026-02-03", billed_usage("100.00"), supersedes="A"),
        invoice("C", "2026-02-28", billed_usage("50.00")),
    )  # fmt: skip
    steps = [step for step in trace(connection, "usage:jan").results if step.kind == "invoice"]
    assert [(step.ref, step.text.endswith(", taken back since")) for step in steps] == [
        ("V", True),
        ("A", True),
        ("B", False),
    ]
    (entry,) = trace(connection, "usage:jan").entries
    led = [step.text for step in trace(connection, f"entry:{entry.entry_id}").results]
    assert [text.partition(":")[2] for text in led] == [
        "V: 100.00 USD invoice.usage, taken back since", "A: 100.00 USD invoice.usage, taken back since", "B: 100.00 USD invoice.usage",
    ]  # fmt: skip
    assert _up(trace(connection, "usage:feb")) == ["C"]
    assert [_down(trace(connection, f"invoice:{ref}")) for ref in "VABC"] == [["jan"], ["jan"], ["jan"], ["feb"]]


def test_superseded_usage_leads_to_what_took_its_place(cli: Cli, connection: Connection) -> None:
    cli.post(
        *parties(), usage("old", "9.00", "2026-01-04"), usage("new", "2.00", "2026-01-04", supersedes="old"),
        invoice("I", "2026-01-31", billed_usage("2.00")),
    )  # fmt: skip
    assert [(s.kind, s.ref) for s in trace(connection, "usage:old").results if s.kind != "entry"] == [("usage", "new")]
    assert _up(trace(connection, "usage:new")) == ["I"]


def test_a_discounted_line_bills_all_of_its_usage(cli: Cli, connection: Connection) -> None:
    """100.00 used and billed with 20 % off, 50.00 the month after: the second invoice bills nothing of January."""
    line = billed_usage("80.00") | {"quantity": "100", "unit_price": "1", "discount": "20.00"}
    cli.post(
        *parties(), usage("jan", "100.00", "2026-01-10"), usage("feb", "50.00", "2026-02-10"),
        invoice("I1", "2026-01-31", line), invoice("I2", "2026-02-28", billed_usage("50.00")),
    )  # fmt: skip
    assert _up(trace(connection, "usage:jan")) == ["I1"]
    assert _down(trace(connection, "invoice:I2")) == ["feb"]


def _line(ref: int, day: int, amount: int, *period: int, back: bool = False) -> UsageLine:
    days = [JANUARY + timedelta(offset) for offset in period] or [None, None]
    return UsageLine(ref, f"I{ref}", "1", "USD", JANUARY + timedelta(day), amount, *days, back)


def _used(*amounts: tuple[int, int]) -> list[Used]:
    return [Used(n, f"u{n}", JANUARY + timedelta(day), amount) for n, (day, amount) in enumerate(amounts)]


def test_usage_that_takes_usage_back_lowers_the_line() -> None:
    """100 used, 30 taken back: a line of 70 bills both, and the next one what comes after."""
    found = allot([_line(1, 30, 70), _line(2, 60, 50)], _used((5, 100), (9, -30), (40, 50)))
    assert [(one.line.invoice, one.used.ref, one.amount) for one in found] == [
        ("I1", "u0", 100), ("I1", "u1", -30), ("I2", "u2", 50),
    ]  # fmt: skip


_LINES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 300), st.none() | st.tuples(st.integers(0, 30), st.integers(0, 30)), st.booleans()),
    max_size=8,
)  # fmt: skip
_USAGE = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 200)), max_size=12)


@given(_LINES, _USAGE)
def test_no_usage_is_billed_twice_and_no_line_bills_more_than_it_says(
    lines: list[tuple[int, int, tuple[int, int] | None, bool]], used: list[tuple[int, int]]
) -> None:
    own = [
        _line(n, day, amount, *(() if period is None else (min(period), max(period))), back=back)
        for n, (day, amount, period, back) in enumerate(sorted(lines, key=lambda line: line[0]))
    ]
    documents = _used(*sorted(used, key=lambda one: one[0]))
    found = allot(own, documents)
    live: Counter[str] = Counter()
    on_line: Counter[int] = Counter()
    for one in found:
        on_line[one.line.invoice_id] += one.amount
        live[one.used.ref] += 0 if one.line.taken_back else one.amount
        if one.line.starts_on is not None:
            assert one.line.starts_on <= one.used.used_on <= one.line.ends_on
    assert all(live[one.ref] <= one.amount for one in documents)
    assert all(on_line[line.invoice_id] <= line.amount for line in own)
    # nothing that a line without a period could bill is left while it has room
    room = sum(line.amount - on_line[line.invoice_id] for line in own if line.starts_on is None and not line.taken_back)
    last = [line for line in own if not line.taken_back]
    if room and last and last[-1].starts_on is None and on_line[last[-1].invoice_id] < last[-1].amount:
        assert sum(live.values()) == sum(one.amount for one in documents)
    # a line taken back changes nothing for the others
    without = allot([line for line in own if not line.taken_back], documents)
    assert [one for one in found if not one.line.taken_back] == without


def _history(seed: int) -> list[dict[str, Any]]:
    """A customer's random year of usage, corrections of it, and invoices with and without periods, some taken back."""
    rng = random.Random(seed)  # noqa: S311 - a history to be told again
    who = {**PARTY, "customer": f"c{seed}"}
    days = [date(2026, 1, 1) + timedelta(rng.randrange(120)) for _ in range(14)]
    made: list[dict[str, Any]] = [{"type": "customer", "id": f"c{seed}", "name": "A customer"}]
    for n, day in enumerate(days):
        price = rng.choice(["1", "1", "0.0004"])
        made.append(usage(f"u{seed}-{n}", str(rng.randrange(1, 90)), str(day), unit_price=price, **who))
    corrected = rng.sample(range(14), 2)
    made += [usage(f"u{seed}-{n}b", "7", str(days[n]), supersedes=f"u{seed}-{n}", **who) for n in corrected]
    for n in range(6):
        line = billed_usage(f"{rng.randrange(5, 120)}.00")
        if rng.random() < 0.5:
            line |= _period(f"2026-0{rng.randrange(1, 3)}-01", f"2026-0{rng.randrange(3, 5)}-{rng.randrange(1, 28):02}")
        lines = [line, billed_usage("3.00", "2")] if rng.random() < 0.3 else [line]
        replaced = {"supersedes": f"I{seed}-{n - 1}"} if n and rng.random() < 0.2 else {}
        made.append(invoice(f"I{seed}-{n}", f"2026-0{n // 2 + 2}-{10 + n}", *lines, **who, **replaced))
        if not replaced and n and rng.random() < 0.2 and "supersedes" not in made[-2]:
            made.append(_void(f"I{seed}-{n}", f"2026-0{n // 2 + 2}-{10 + n}"))
    return made


def _taken_back_twice(made: list[dict[str, Any]]) -> bool:
    back = [doc.get("supersedes") or doc.get("invoice") for doc in made if doc["type"] in ("invoice", "invoice_void")]
    refs = [ref for ref in back if ref]
    return len(refs) != len(set(refs))


def test_what_leads_down_leads_up(cli: Cli, connection: Connection) -> None:
    """For any history, usage is behind an invoice exactly where the invoice is ahead of the usage."""
    histories = [made for seed in range(40) if not _taken_back_twice(made := _history(seed))][:12]
    cli.post(*parties(), *(doc for made in histories for doc in made))
    pairs = 0
    for made in histories:
        usages = [doc["id"] for doc in made if doc["type"] == "usage"]
        invoices = [doc["id"] for doc in made if doc["type"] == "invoice"]
        down = {ref: set(_down(trace(connection, f"invoice:{ref}"))) for ref in invoices}
        up = {ref: set(_up(trace(connection, f"usage:{ref}"))) for ref in usages}
        for bill in invoices:
            for used in usages:
                assert (used in down[bill]) == (bill in up[used]), (bill, used)
                pairs += used in down[bill]
    assert pairs > 100
