"""When a price is earned: the part of an obligation's term that has passed by a day.

A schedule is never stored. It is a pure function of (price, pattern, start, end, progress), written twice: in Python,
to be read and tested, and as SQL, for any number of obligations at once; a test holds the two together.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from ledger.amounts.money import share

# The patterns by which an obligation is earned over days.
PERIODIC = ("daily", "monthly", "monthly_prorated")


@dataclass(frozen=True, slots=True)
class Term:
    """How and from when to when an obligation is satisfied; `ends_on` is the last day counted."""

    pattern: str
    starts_on: date
    ends_on: date


def _days_in_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _months_begun(start: date, on: date) -> int:
    """Months begun by a day, the first on `start` itself.

    A month without that day begins on its last.
    """
    begins = min(start.day, _days_in_month(on))
    return (on.year - start.year) * 12 + on.month - start.month + (1 if on.day >= begins else 0)


def _months_prorated(start: date, on: date, scale: int) -> int:
    """Months of service by a day, times a scale that makes them whole.

    The first and the last count by their days.
    """
    if (start.year, start.month) == (on.year, on.month):
        return (on.day - start.day + 1) * scale // _days_in_month(on)
    between = (on.year - start.year) * 12 + on.month - start.month - 1
    first = (_days_in_month(start) - start.day + 1) * scale // _days_in_month(start)
    return first + between * scale + on.day * scale // _days_in_month(on)


# 28 x 29 x 30 x 31: any fraction of any month is whole in these.
_MONTH_SCALE = 377_580


def parts(term: Term, on: date) -> tuple[int, int]:
    """(parts passed by the end of a day, parts in all) of a term.

    Days, months begun, parts of months, or one point in time.
    """
    if on < term.starts_on:
        return 0, 1
    # of usage, which has its prices as it is used, a rebate counts at once
    if term.pattern in ("point_in_time", "usage"):
        return 1, 1
    last = min(on, term.ends_on)
    if term.pattern == "daily":
        return (last - term.starts_on).days + 1, (term.ends_on - term.starts_on).days + 1
    if term.pattern == "monthly":
        return _months_begun(term.starts_on, last), _months_begun(term.starts_on, term.ends_on)
    if term.pattern == "monthly_prorated":
        return (
            _months_prorated(term.starts_on, last, _MONTH_SCALE),
            _months_prorated(term.starts_on, term.ends_on, _MONTH_SCALE),
        )
    raise ValueError(f"unknown pattern {term.pattern}")


def passed(term: Term, on: date) -> int:
    """Parts passed by the end of a day, of as many as have passed by the term's last."""
    return 0 if on < term.starts_on else parts(term, on)[0]


def earned(price: int, term: Term, on: date) -> int:
    """The price earned by the end of a day, in minor units, cumulatively rounded half-even."""
    passed, whole = parts(term, on)
    return share(price, passed, whole)


def earned_by_progress(price: int, done: Fraction, whole: Fraction) -> int:
    """The price earned once so much of the whole is done, never more than all of it."""
    part = min(max(done / whole, Fraction(0)), Fraction(1))
    return share(price, part.numerator, part.denominator)


def _months_begun_sql(start: str, on: str) -> str:
    return (
        f"((extract(year from {on}) - extract(year from {start})) * 12"
        f" + extract(month from {on}) - extract(month from {start})"
        f" + case when extract(day from {on}) >= least(extract(day from {start}),"
        f" extract(day from date_trunc('month', {on}) + interval '1 month - 1 day')) then 1 else 0 end)::bigint"
    )


def _months_prorated_sql(start: str, on: str) -> str:
    def days(day: str) -> str:
        return f"extract(day from date_trunc('month', {day}) + interval '1 month - 1 day')::bigint"

    def of(day: str) -> str:
        return f"extract(day from {day})::bigint"

    months = (
        f"((extract(year from {on}) - extract(year from {start})) * 12"
        f" + extract(month from {on}) - extract(month from {start}))::bigint"
    )
    return (
        f"(case when {months} = 0 then ({of(on)} - {of(start)} + 1) * {_MONTH_SCALE} / {days(on)}"
        f" else ({days(start)} - {of(start)} + 1) * {_MONTH_SCALE} / {days(start)} + ({months} - 1) * {_MONTH_SCALE}"
        f" + {of(on)} * {_MONTH_SCALE} / {days(on)} end)"
    )


def parts_sql(pattern: str, start: str, end: str, on: str) -> tuple[str, str]:
    """`parts` as two SQL expressions over the given column expressions.

    0 of 1 where progress counts instead.
    """
    last = f"least({on}, {end})"
    found = []
    for until, before in ((last, f"when {on} < {start} then 0 "), (end, "")):
        found.append(
            f"case {before}when {pattern} in ('point_in_time', 'usage') then 1"
            f" when {pattern} = 'daily' then ({until} - {start} + 1)::bigint"
            f" when {pattern} = 'monthly' then {_months_begun_sql(start, until)}"
            f" when {pattern} = 'monthly_prorated' then {_months_prorated_sql(start, until)}"
            f" else {0 if before else 1} end"
        )
    return found[0], found[1]


def _half_even_sql(quotient: str, remainder: str, whole: str) -> str:
    """What rounds a quotient half to even, as an SQL expression."""
    return (
        f"case when 2 * {remainder} > {whole} or (2 * {remainder} = {whole} and {quotient} % 2 = 1) then 1 else 0 end"
    )


def share_sql(total: str, part: str, whole: str) -> str:
    """`ledger.money.share` as an SQL expression in 64-bit integers.

    total x part would overflow; total = q x whole + r makes it q x part + r x part / whole, which does not.
    """
    quotient = f"(abs({total}) / {whole} * {part} + abs({total}) % {whole} * {part} / {whole})"
    remainder = f"(abs({total}) % {whole} * {part} % {whole})"
    half_even = _half_even_sql(quotient, remainder, whole)
    return f"(sign({total})::bigint * ({quotient} + {half_even}))"


def progress_share_sql(total: str, part: str, whole: str) -> str:
    """`earned_by_progress` as an SQL expression over numerics of any precision."""
    done = f"least(greatest({part}, 0), {whole})"
    quotient = f"div(abs({total}) * {done}, {whole})"
    remainder = f"(abs({total}) * {done} - {quotient} * {whole})"
    half_even = _half_even_sql(quotient, remainder, whole)
    return f"(sign({total})::bigint * ({quotient} + {half_even})::bigint)"


def _known_by(table: str, document: str, known: str) -> str:
    """The condition that the document of a row is known, where that is asked."""
    if not known:
        return ""
    return (
        f" and exists (select from document d where d.customer_id in ({table}.customer_id, 0)"
        f" and d.document_id = {table}.{document} and {known})"
    )


def term_sql(row: str, known: str = "", until: str = "") -> str:
    """Joins that give an obligation's row the segment of its terms and its progress.

    At the row's `month_end`. `known` narrows editions and progress to documents known at a moment: a condition on a document `d`. `until`
    is the last day of which changes count, by default each month's end.

    Gives `x`: term_pattern, term_starts_on, term_ends_on, agreed (what is earned once the segment is, or null where billing says it),
    base (what is earned before it), begins and ends (parts of the pattern; no `ends` where it is all of them), done and to_do of progress.
    """
    changes_by = f"least({until}, {row}.month_end)" if until else f"{row}.month_end"
    return f"""
        left join lateral (
            select * from obligation_terms ot
            where {row}.modified and ot.customer_id = {row}.customer_id and ot.subject = {row}.subject
              and (ot.version = 1 or ot.from_day <= {changes_by})
              and (ot.segment = 1 or ot.counts_from <= {row}.month_end){_known_by("ot", "edition_by", known)}
            order by ot.edition desc, ot.version desc, ot.segment desc limit 1
        ) ot on true
        cross join lateral (
            select coalesce(ot.pattern, {row}.pattern) as pattern, coalesce(ot.starts_on, {row}.starts_on) as starts_on,
                   case when ot.subject is null and not {row}.modified then {row}.ends_on
                        when ot.subject is null then coalesce((select fo.ends_on from obligation fo
                            where fo.customer_id = {row}.customer_id
                              and fo.ref = substr({row}.subject, 12)), {row}.ends_on)
                        else coalesce(ot.ends_on, date '2199-12-31') end as ends_on,
                   case when ot.subject is null then {row}.first_price_minor else ot.reaches_minor end as agreed,
                   coalesce(ot.base_minor, 0) as base, coalesce(ot.quantity, {row}.quantity) as quantity,
                   coalesce(ot.begins, 0) as begins, ot.ends
        ) tv
        left join lateral (
            select sum(pr.quantity) as quantity,
                   (array_agg(pr.percent order by pr.effective_on desc, pr.document_id desc)
                       filter (where pr.percent is not null))[1] as percent
            from progress pr
            where tv.pattern = 'progress' and pr.customer_id = {row}.customer_id and pr.subject = {row}.subject
              and pr.effective_on <= {row}.month_end{_known_by("pr", "document_id", known)}
        ) pr on true
        cross join lateral (
            select tv.pattern as term_pattern, tv.starts_on as term_starts_on, tv.ends_on as term_ends_on, tv.agreed, tv.base,
                   case when tv.pattern = 'progress' then 0 else tv.begins end::bigint as begins,
                   case when tv.pattern = 'progress' then null else tv.ends end::bigint as ends,
                   coalesce(pr.percent, pr.quantity, 0) - tv.begins as done,
                   coalesce(case when pr.percent is null then tv.quantity end, 100) - tv.begins as to_do
        ) x"""


# Of a row with the parts of its pattern that have passed, and all of them, those of the segment of its terms.
SEGMENT_SQL = """least(greatest(passed_of - begins, 0), coalesce(ends, whole_of) - begins) as passed,
                coalesce(ends, whole_of) - begins as whole"""


def earned_sql(row: str, price: str) -> str:
    """What of a price is earned, as an SQL expression.

    Over a row with `passed`, `whole` and the columns of `term_sql`'s `x`.
    """
    rest = f"({price} - {row}.base)"
    return (
        f"({row}.base + case when {row}.term_pattern = 'progress'"
        f" then {progress_share_sql(rest, f'{row}.done', f'{row}.to_do')}"
        f" else {share_sql(rest, f'{row}.passed', f'{row}.whole')} end)"
    )
