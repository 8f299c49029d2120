"""What stands beside revenue: what was earned of bills that were written off, refunded or disputed, and what recoveries bring of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import product

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.amounts.money import share
from ledger.corrections.recoveries.bad_debt import Recovered, counted_for
from ledger.journal.books import Books
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import billed_ahead, obligation_sides
from revrec.terms.changes.folded import Folded
from revrec.terms.events import Undone
from revrec.terms.history import History
from revrec.terms.versions import Party

# By which role what was earned of a bill stands beside revenue.
BESIDE = {"write_off": "bad_debt", "refund": "refunds", "dispute": "disputes"}


def settle_beside(books: Books, source: Source, history: History, folded: Folded) -> None:
    """Post what stands beside revenue otherwise than it is decided now, on its days or the first open one."""
    party = history.party
    steps: dict[tuple[str, str], dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for item in folded.beside:
        steps[item.subject, item.kind][books.days.open_day(source, item.on)] += item.amount
    for subject, kind in product(history.subjects, BESIDE):
        by_day = steps[subject, kind]
        key = AccountKey(party.entity, BESIDE[kind], party.currency, subject)
        posted = dict(books.history(party.customer_id, key))  # as it was, whatever is posted here
        first = books.days.first_counting_day(source)
        recovered = _recovered(books, source, history, folded, subject) if kind == "write_off" else {}
        brought = _brought(books, party, key) if recovered else {}
        days = sorted({day for day in (*by_day, *posted, *recovered) if day > first} | {first})
        moved = 0
        of_recoveries = Recovered(0, 0)
        for day in days:
            target = sum(amount for on, amount in by_day.items() if on <= day)
            stands = sum(net for on, net in posted.items() if on <= day)
            step = target - stands - moved
            moved += step
            before, of_recoveries = of_recoveries, _through(recovered, day).less(_through(brought, day))
            more = of_recoveries.less(before)
            _post_recovered(books, source, subject, day, more, recovered.get(day, more).of_others)
            if step + more.bad_debt:
                _post_beside(books, source, subject, kind, day, step + more.bad_debt)


def _through(by_day: Mapping[date, Recovered], day: date) -> Recovered:
    """What recoveries through a day are of bad debt together."""
    return Recovered(
        sum(item.bad_debt for on, item in by_day.items() if on <= day),
        sum(item.counts for on, item in by_day.items() if on <= day),
    )


def _recovered(books: Books, source: Source, history: History, folded: Folded, subject: str) -> dict[date, Recovered]:
    """What recoveries make of the bad debt of an obligation in another currency by day."""
    if source.currency == books.parties.entity(source.entity).currency:
        return {}
    days = {
        (event.document_id, event.undoes, event.bill): event.on for event in history.events if isinstance(event, Undone)
    }
    parts: dict[tuple[int, tuple[int, str, str]], list[tuple[date, int, int, int]]] = defaultdict(list)
    for (document, undoes, bill), split in folded.undone.items():
        if bill[2] == subject:
            amount = split.expected + split.earned + split.rest
            parts[undoes, bill].append((days[document, undoes, bill], document, amount, split.earned))
    found: dict[date, Recovered] = {}
    for of_bill in parts.values():
        for on, counted in counted_for(books, source, of_bill).items():
            day = books.days.open_day(source, on)
            for item in counted:
                before = found.get(day, Recovered(0, 0))
                found[day] = Recovered(
                    before.bad_debt + item.bad_debt, before.counts + item.counts, before.of_others + item.of_others
                )
    return found


# The rules that tell what recoveries are of bad debt.
_OF_RECOVERIES = [
    RULES[code].number
    for code in (
        "recovery.bad_debt", "recovery.bad_debt_returned",
        "decided.recovery", "decided.recovery_less_deferred", "decided.recovery_less_unbilled",
    )
]  # fmt: skip


def _brought(books: Books, party: Party, key: AccountKey) -> dict[date, Recovered]:
    """What is posted by day of recoveries of an obligation's bad debt."""
    rows = books.connection.execute(
        text(
            "select effective_on, sum(side * amount)::bigint as bad_debt, sum(side * functional_amount)::bigint as counts from ("
            "select effective_on, amount, functional_amount, case when credit_account = :account then 1 else -1 end as side from posting"
            " where customer_id = :customer_id and :account in (debit_account, credit_account) and rule = any(:rules)) p group by 1"
        ),
        {
            "customer_id": party.customer_id,
            "account": books.account(party.customer_id, key),
            "rules": _OF_RECOVERIES,
        },
    )
    return {row.effective_on: Recovered(row.bad_debt, row.counts) for row in rows}


def _post_recovered(books: Books, source: Source, subject: str, day: date, more: Recovered, of_others: int) -> None:
    """Post on a day how much more recoveries are of bad debt than is posted, so that all of them count as they came in.

    Where what later ones brought stands in for what came back, as much comes at their rates as goes at its own.
    """
    step, counts = -more.bad_debt, -more.counts
    if step * counts > 0 and not of_others:
        _post_beside(books, source, subject, "recovery", day, step, counts)
    elif step or counts:
        comes = max(of_others, step, 1)
        goes = comes - step
        going = max(books.at_rate(source, source.currency, day, goes), -counts)
        _post_beside(books, source, subject, "recovery", day, comes, going + counts)
        if goes:
            _post_beside(books, source, subject, "recovery", day, -goes, -going)


def _post_beside(
    books: Books, source: Source, subject: str, kind: str, day: date, step: int, counts: int | None = None
) -> None:
    """Post a step of what stands beside revenue; it `counts` for so much in the entity's currency where that is decided already."""
    if step > 0:
        movements = [Movement(f"decided.{kind}", step, subject, subject, functional=counts)]
    else:
        held = min(-step, billed_ahead(books, source, subject, day))
        of_held = None if counts is None else share(-counts, held, -step)
        rest = None if of_held is None or counts is None else -counts - of_held
        movements = [
            Movement(f"decided.{kind}_less_deferred", held, subject, subject, functional=of_held),
            Movement(f"decided.{kind}_less_unbilled", -step - held, subject, subject, functional=rest),
        ]
    books.post(source, day, movements)
    # what is held again settles with what stands as a contract asset on that very day, too; in another currency netting tells that
    own = source.currency == books.parties.entity(source.entity).currency
    books.net(source, *obligation_sides(source, subject), day - timedelta(days=1) if own else day)
