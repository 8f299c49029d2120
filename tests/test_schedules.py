from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from revrec.terms.schedules import Term, earned, parts_sql, share_sql

DAYS = st.dates(date(2015, 1, 1), date(2035, 12, 31))


def test_by_day_as_stripe_publishes_it() -> None:
    # Stripe's amortisation example, 120 USD for 15 June to 12 October: 16, 31, 31, 30, 12
    term = Term("daily", date(2026, 6, 15), date(2026, 10, 12))
    ends = [date(2026, 6, 30), date(2026, 7, 31), date(2026, 8, 31), date(2026, 9, 30), date(2026, 10, 31)]
    totals = [earned(12000, term, day) for day in ends]
    assert [b - a for a, b in zip([0, *totals], totals, strict=False)] == [1600, 3100, 3100, 3000, 1200]


def test_by_month_as_stripe_publishes_it() -> None:
    # the same contract, evenly by month: 30 each, on 15 June, July, August, September
    term = Term("monthly", date(2026, 6, 15), date(2026, 10, 12))
    ends = [date(2026, 6, 30), date(2026, 7, 31), date(2026, 8, 31), date(2026, 9, 30), date(2026, 10, 31)]
    assert [earned(12000, term, day) for day in ends] == [3000, 6000, 9000, 12000, 12000]


def test_a_month_without_the_start_day_begins_on_its_last() -> None:
    term = Term("monthly", date(2026, 1, 31), date(2026, 4, 29))
    assert [earned(300, term, day) for day in (date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 31))] == [
        100,
        200,
        300,
    ]


def test_by_month_with_the_first_and_the_last_by_their_days() -> None:
    # 120 over 16/30 + 3 + 12/31 months: 16.34, 30.62, 30.62, 30.62 and 11.86 by hand, cumulatively rounded
    term = Term("monthly_prorated", date(2026, 6, 15), date(2026, 10, 12))
    ends = [date(2026, 6, 30), date(2026, 7, 31), date(2026, 8, 31), date(2026, 9, 30), date(2026, 10, 31)]
    whole = Fraction(16, 30) + 3 + Fraction(12, 31)
    reached = [Fraction(16, 30) + months for months in (0, 1, 2, 3)]
    assert [earned(12000, term, day) for day in ends] == [*(round(12000 * part / whole) for part in reached), 12000]
    within = Term("monthly_prorated", date(2026, 6, 10), date(2026, 6, 19))
    assert [earned(1000, within, date(2026, 6, day)) for day in (9, 10, 14, 19)] == [0, 100, 500, 1000]


def test_at_a_point_in_time() -> None:
    term = Term("point_in_time", date(2026, 3, 10), date(2026, 3, 10))
    assert [earned(500, term, day) for day in (date(2026, 3, 9), date(2026, 3, 10), date(2026, 12, 31))] == [
        0,
        500,
        500,
    ]


@pytest.mark.parametrize("pattern", ["daily", "monthly", "monthly_prorated", "point_in_time"])
@given(start=DAYS, length=st.integers(0, 1500), price=st.integers(-(10**15), 10**15), data=st.data())
def test_a_schedule_rises_from_nothing_to_the_price(
    pattern: str, start: date, length: int, price: int, data: st.DataObject
) -> None:
    end = start if pattern == "point_in_time" else start + timedelta(days=length)
    term = Term(pattern, start, end)
    assert earned(price, term, start - timedelta(days=1)) == 0
    assert earned(price, term, end) == price
    early = data.draw(st.integers(0, length))
    late = data.draw(st.integers(early, length))
    first, second = (abs(earned(price, term, start + timedelta(days=n))) for n in (early, late))
    assert first <= second <= abs(price)


@settings(max_examples=150)
@given(
    pattern=st.sampled_from(["daily", "monthly", "monthly_prorated", "point_in_time"]),
    start=DAYS,
    length=st.integers(0, 1500),
    price=st.integers(-(10**15), 10**15),
    day=st.integers(-5, 1600),
)
def test_sql_computes_what_python_does(
    connection: Connection, pattern: str, start: date, length: int, price: int, day: int
) -> None:
    end = start if pattern == "point_in_time" else start + timedelta(days=length)
    on = start + timedelta(days=day)
    passed, whole = parts_sql("s.pattern", "s.starts_on", "s.ends_on", "s.day")
    found = connection.scalar(
        text(
            f"select {share_sql('p.price', 'p.passed', 'p.whole')} from ("
            f" select s.price, {passed} as passed, {whole} as whole from (select cast(:price as bigint) as price,"
            f" cast(:pattern as text) as pattern, cast(:start as date) as starts_on, cast(:end as date) as ends_on,"
            f" cast(:day as date) as day) s) p"
        ),
        {"price": price, "pattern": pattern, "start": start, "end": end, "day": on},
    )
    assert found == earned(price, Term(pattern, start, end), on)
