"""What is earned by a day is one function of terms, written twice: these hold the two together, and each change to its meaning."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from ledger.database.schema.contracts import obligation_terms
from revrec.terms.changes.folded import Folded
from revrec.terms.changes.folding import fold
from revrec.terms.editions import edition_rows
from revrec.terms.events import Bill, Changed, Corrected, Estimated, Event, Modified, Promise, Taken, Terminated, Undone
from revrec.terms.schedules import SEGMENT_SQL, earned_sql, parts_sql, term_sql
from revrec.terms.terms import Curve, plain
from tests.test_properties import EXAMPLES

JAN, DEC = date(2026, 1, 1), date(2026, 12, 31)
DAYS = st.dates(JAN, date(2027, 1, 31))
TIMED = st.sampled_from(["daily", "monthly", "monthly_prorated"])
AMOUNTS = st.integers(1, 130_000)


def _year(price: int = 120_000, pattern: str = "monthly") -> Promise:
    return Promise("obligation:o", "c", "seats", Curve(pattern, JAN, DEC), price, None, JAN, 1)


def _month_ends(folded: Folded, subject: str = "obligation:o") -> list[int]:
    """What is earned in each month of 2026."""
    ends = [(date(2026, month, 28) + timedelta(days=4)).replace(day=1) - timedelta(days=1) for month in range(1, 13)]
    earned = [folded.terms(subject, end).earned(end) for end in ends]
    return [now - before for now, before in zip(earned, [0, *earned], strict=False)]


def _corrections(draw: st.DrawFn, bill: Bill, day: date, number: int, left: dict[Any, int]) -> list[Event]:
    """A correction of what is left of a bill, and maybe what undoes it."""
    if not left[bill.key]:
        return []
    what: Any = draw(st.sampled_from(["credit", "write_off", "refund", "dispute", "void"]))
    part = left[bill.key] if what == "void" else draw(st.integers(1, left[bill.key]))
    left[bill.key] -= part
    periods = [(None, None), (date(2026, 3, 15), date(2026, 8, 31)), (date(2026, 7, 1), DEC)]
    on, period = max(day, bill.on), draw(st.sampled_from(periods)) if what == "credit" else (None, None)
    found: list[Event] = [Corrected(on, number, f"d{number}", what, bill.key, part, *period)]
    if what == "write_off" and draw(st.booleans()):
        later = on + timedelta(days=draw(st.integers(0, 90)))
        found.append(Undone(later, number + 1000, f"r{number}", number, bill.key, draw(st.integers(1, part))))
    return found


@st.composite
def _happened(draw: st.DrawFn) -> tuple[Promise, list[Event], list[Bill]]:
    """A year, its bills, and anything that happens to them."""
    promise = _year(draw(AMOUNTS), draw(TIMED))
    bills = [
        Bill(
            10 + n,
            "1",
            "obligation:o",
            draw(DAYS),
            draw(AMOUNTS),
            *draw(st.sampled_from([(None, None), (date(2026, 4, 1), date(2026, 6, 30))])),
        )
        for n in range(draw(st.integers(0, 3)))
    ]
    events: list[Event] = []
    left = {bill.key: bill.amount for bill in bills}
    for number in range(100, 100 + draw(st.integers(1, 6))):
        day, amount, ref = draw(DAYS), draw(AMOUNTS), f"d{number}"
        curve = Curve(draw(TIMED), JAN, draw(st.dates(day, date(2027, 6, 30))))
        kind = draw(
            st.sampled_from(["modify", "end", "leave", "bonus", "payable", *(["correct"] * 4 if bills else [])])
        )
        if kind == "modify":
            how: Any = draw(st.sampled_from(["prospective", "catch_up"]))
            events.append(Modified(day, number, ref, "c", (Changed("obligation:o", curve, amount, None, how, ""),)))
        elif kind == "end" and not any(isinstance(event, (Terminated, Modified)) for event in events):
            events.append(Modified(day, number, ref, "c", cancelled=("obligation:o",)))
        elif kind == "leave" and not any(isinstance(event, (Terminated, Modified)) for event in events):
            events.append(Terminated(day, number, ref, "c", day + timedelta(days=draw(st.integers(-1, 60))), "left"))
        elif kind == "bonus":
            events.append(
                Estimated(
                    day,
                    number,
                    ref,
                    "c",
                    "bonus",
                    draw(st.integers(-500, 5_000)),
                    ("obligation:o",),
                    refund=False,
                    reason="",
                )
            )
        elif kind == "payable":
            events.append(Taken(day, number, ref, "c", amount // 100, ("obligation:o",), ""))
        elif kind == "correct":
            events += _corrections(draw, draw(st.sampled_from(bills)), day, number, left)
    return promise, events, bills


@settings(max_examples=EXAMPLES * 60)
@given(happened=_happened(), asked=st.lists(st.dates(JAN, date(2027, 8, 31)), min_size=5, max_size=5))
def test_sql_earns_what_python_does(
    owner: Connection, happened: tuple[Promise, list[Event], list[Bill]], asked: list[date]
) -> None:
    promise, events, bills = happened
    folded = fold([promise], events, bills)
    savepoint = owner.begin_nested()
    rows = [{**row, "edition": 1, "edition_by": 1} for row in edition_rows(1, folded.versions[promise.subject])]
    owner.execute(obligation_terms.insert(), rows)
    passed, whole = parts_sql("x.term_pattern", "x.term_starts_on", "x.term_ends_on", "g.month_end")
    found = owner.execute(
        text(
            f"with g as (select cast(1 as bigint) as customer_id, cast(:subject as text) as subject, true as modified, cast(:pattern as text) as pattern,"
            f" cast(:starts_on as date) as starts_on, cast(:ends_on as date) as ends_on, cast(null as numeric) as quantity,"
            f" cast(:price as bigint) as first_price_minor, unnest(cast(:days as date[])) as month_end),"
            f" p as (select g.month_end, x.*, {passed} as passed_of, {whole} as whole_of from g {term_sql('g')}),"
            f" s as (select *, {SEGMENT_SQL} from p) select s.month_end, {earned_sql('s', 's.agreed')} as earned from s"
        ),
        {
            "subject": promise.subject,
            "pattern": promise.curve.pattern,
            "starts_on": JAN,
            "ends_on": DEC,
            "price": promise.price,
            "days": asked,
        },
    ).all()
    savepoint.rollback()
    assert {row.month_end: row.earned for row in found} == {
        day: folded.terms(promise.subject, day).earned(day) for day in asked
    }


@settings(max_examples=EXAMPLES * 100)
@given(happened=_happened(), order=st.randoms(use_true_random=False))
def test_events_count_by_their_days_however_they_come(
    happened: tuple[Promise, list[Event], list[Bill]], order: Any
) -> None:
    promise, events, bills = happened
    shuffled = list(events)
    order.shuffle(shuffled)
    assert fold([promise], shuffled, bills) == fold([promise], events, bills)


@settings(max_examples=EXAMPLES * 100)
@given(happened=_happened())
def test_a_price_is_earned_whole_and_no_sooner_than_its_term(happened: tuple[Promise, list[Event], list[Bill]]) -> None:
    """After all, what is earned is the price; before the start, nothing is; what is given up or back is no more than was billed."""
    promise, events, bills = happened
    folded = fold([promise], events, bills)
    last = folded.last(promise.subject).terms
    assert last.earned(date(2030, 1, 1)) == last.price
    assert plain(promise.curve, promise.price).earned(JAN - timedelta(days=1)) == 0
    billed = sum(bill.amount for bill in bills)
    assert 0 <= sum(item.amount for item in folded.beside) <= billed
    for split in folded.splits.values():
        assert min(split.expected, split.earned, split.rest) >= 0


def test_a_change_in_mid_month_keeps_the_months() -> None:
    """1,200.00 for a year by months, 1,500.00 from 15 March: three months have begun; 1,200.00 over nine."""
    change = Modified(
        date(2026, 3, 15),
        2,
        "m",
        "c",
        (Changed("obligation:o", Curve("monthly", JAN, DEC), 150_000, None, "prospective", ""),),
    )
    assert _month_ends(fold([_year()], [change])) == [10_000] * 3 + [13_333, 13_334, 13_333] * 3
    same = Modified(
        date(2026, 3, 15),
        2,
        "m",
        "c",
        (Changed("obligation:o", Curve("monthly", JAN, DEC), 120_000, None, "prospective", ""),),
    )
    assert len(fold([_year()], [same]).versions["obligation:o"]) == 1


def test_what_a_bill_covers_is_decided_in_the_order_of_the_bills() -> None:
    """By quarters: of the second, 300.00, two months are given by 31 May. Written off, 100.00 is to come; seven months share 600.00."""
    bills = [Bill(10 + n, "1", "obligation:o", date(2026, 1 + 3 * n, 1), 30_000, None, None) for n in range(2)]
    folded = fold([_year()], [Corrected(date(2026, 5, 20), 2, "w", "write_off", bills[1].key, 30_000)], bills)
    assert (folded.splits[2, bills[1].key].earned, folded.splits[2, bills[1].key].rest) == (20_000, 10_000)
    assert _month_ends(folded) == [10_000] * 5 + [8_571, 8_572, 8_571, 8_572, 8_571, 8_572, 8_571]
    # a bill that names its period covers that, and leaves the first months to the others
    named = [Bill(9, "1", "obligation:o", date(2026, 1, 1), 30_000, date(2026, 10, 1), DEC), *bills]
    folded = fold([_year()], [Corrected(date(2026, 5, 20), 2, "w", "write_off", named[0].key, 30_000)], named)
    assert folded.splits[2, named[0].key].rest == 30_000


def test_an_undone_write_off_leaves_nothing_from_its_day_on() -> None:
    """A year's bill written off in July (600.00 to come), recovered whole in October: by then as if it never had been."""
    bill = Bill(10, "1", "obligation:o", JAN, 120_000, None, None)
    written = Corrected(date(2026, 7, 1), 2, "w", "write_off", bill.key, 120_000)
    folded = fold([_year()], [written, Undone(date(2026, 10, 5), 3, "r", 2, bill.key, 120_000)], [bill])
    assert _month_ends(folded) == [10_000] * 6 + [0, 0, 0, 40_000, 10_000, 10_000]
    assert [(item.on.month, item.amount) for item in folded.beside] == [(7, 60_000), (10, -60_000)]
    half = fold([_year()], [written, Undone(date(2026, 10, 5), 3, "r", 2, bill.key, 60_000)], [bill])
    assert half.undone[3, 2, bill.key].earned == 60_000  # bad debt first
    assert sum(item.amount for item in half.beside) == 0


def test_credits_for_periods_that_end_a_line_leave_nothing() -> None:
    """1,200.00 by days: the second half credited by 604.93 (184 of 365 days), then the first by what is left: no day has anything."""
    line = Promise("obligation:I/1", "", "seats", Curve("daily", JAN, DEC), 120_000, None, JAN, 1, own=True)
    bill = Bill(1, "1", line.subject, JAN, 120_000, None, None)
    events = [
        Corrected(date(2026, 7, 1), 2, "a", "credit", bill.key, 60_493, date(2026, 7, 1), DEC),
        Corrected(date(2026, 9, 1), 3, "b", "credit", bill.key, 59_507, JAN, date(2026, 6, 30)),
    ]
    months = _month_ends(fold([line], events, [bill]), line.subject)
    assert months == [10_192, 9_205, 10_192, 9_863, 10_192, 9_863, 0, 0, -59_507, 0, 0, 0]


def test_what_is_credited_of_a_contract_that_is_cut_short_stays_as_it_was_earned() -> None:
    """100.00 a month, 20.00 credited in March lowers the year's price, 5.00 of it given; left in April: 295.00 stay."""
    bill = Bill(10, "1", "obligation:o", JAN, 30_000, None, None)
    events = [
        Corrected(date(2026, 3, 15), 2, "n", "credit", bill.key, 2_000),
        Terminated(date(2026, 4, 1), 3, "t", "c", date(2026, 3, 31), "left"),
    ]
    assert sum(_month_ends(fold([_year()], events, [bill]))) == 29_500


def test_progress_that_is_reported_late_counts_by_its_day() -> None:
    from revrec.terms.terms import Progress

    build = Promise("obligation:o", "c", "build", Curve("progress", JAN, None), 100_000, None, JAN, 1)
    said = [Progress(date(2026, 3, 1), None, Decimal(30)), Progress(date(2026, 2, 1), None, Decimal(10))]
    folded = fold([build], [], (), {"obligation:o": said})
    assert folded.terms("obligation:o", DEC).earned(date(2026, 2, 28)) == 10_000
    assert folded.terms("obligation:o", DEC).earned(date(2026, 3, 31)) == 30_000


def test_what_is_earned_before_a_version_is_no_rows_of_it() -> None:
    """A credit for some days of each month: what it splits is kept by the version that split it, and not by all that follow."""
    bills = [Bill(number, "1", "obligation:o", date(2026, number, 1), 10_000, None, None) for number in range(1, 13)]
    credited: list[Event] = [
        Corrected(date(2026, month, 15), 100 + month, f"n{month}", "credit", (month, "1", "obligation:o"), 1_000,
                  date(2026, month, 10), date(2026, month, 20))
        for month in range(1, 13)
    ]  # fmt: skip
    (versions,) = fold([_year(pattern="daily")], credited, bills).versions.values()
    assert len(versions) == 13
    assert max(len(version.terms.pieces) for version in versions) == 25
    assert len(list(edition_rows(1, versions))) == 1 + 12 * 2
