"""Usage posted in bulk, by what was looked up once for its party.

That holds until something else touches its wallet. A lane is open for a party (customer, entity, currency, product) while each of its
usage documents does the same: draws on one grant that covers all of it and was billed before, or is billed later because there is no
grant. Whatever does not fit a lane goes the long way (ledger/usage/draw.py), which would post the same, and opens it afresh.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from ledger.amounts.dates import LAST_DAY, days, from_days
from ledger.amounts.money import AMOUNT_MINOR_MAX, exponent, unscaled
from ledger.documents import models
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source, Way
from ledger.usage import draw
from ledger.usage.read_lines import Party, Row
from ledger.usage.usage_lines import usage_subject
from ledger.wallets.grants import Grant
from ledger.wallets.session import Meter, Wallets

_LAST = days(LAST_DAY)
# Decimal places that the sum of usage is kept with at most; more go the long way.
_PLACES_MAX = 40


@dataclass(slots=True)
class _Pool:
    """What usage draws on.

    A grant, shared by all lanes on it, or none where usage is billed later.
    """

    grant: Grant | None
    left: int
    drawn: int = 0


@dataclass(slots=True)
class _Lane:
    """How a party's usage of the days `first` to `last` posts. `rated` counts units of 10 ** -places."""

    customer_id: int
    way: Way
    pool: _Pool
    meter: Meter
    first: int
    last: int
    minor_places: int
    rated: int
    places: int
    posted: int
    by_day: Counter[int] = field(default_factory=Counter)
    used: bool = False


class Lanes:
    """The open lanes of one transaction. Call `settle` before anything else reads the wallets or the books are written."""

    def __init__(self, wallets: Wallets) -> None:
        self._wallets = wallets
        self._books: Books = wallets.books
        self._open: dict[Party, _Lane] = {}
        self._parties: dict[int, list[Party]] = {}
        self._pools: dict[int, _Pool] = {}
        self._used: list[_Lane] = []

    def post(self, row: Row, document_id: int) -> int | None:
        """Post usage by its lane; returns whose it is.

        None with nothing changed where it has to go the long way.
        """
        party, _, day, amount, places, _ = row
        lane = self._open.get(party)
        if lane is None or not lane.first <= day <= lane.last:
            return None
        if places > lane.places:
            if places > _PLACES_MAX:
                return None
            lane.rated *= 10 ** (places - lane.places)
            lane.places = places
        rated = lane.rated + amount * 10 ** (lane.places - places)
        due = _rounded(rated, lane.places - lane.minor_places) - lane.posted
        pool = lane.pool
        if not 0 <= due <= pool.left:
            return None
        lane.rated = rated
        if not lane.used:
            lane.used = True
            self._used.append(lane)
        if due:
            way = lane.way
            lane.posted += due
            lane.by_day[day] += due
            pool.left -= due
            pool.drawn += due
            self._books.add_plain((lane.customer_id, document_id, day, way.rule, way.debit, way.credit, due))
        return lane.customer_id

    def settle(self) -> None:
        """Let wallets and books see what was posted since the last time."""
        for lane in self._used:
            lane.used = False
            meter = lane.meter
            meter.rated, meter.posted, meter.changed = Decimal(f"{lane.rated}E-{lane.places}"), lane.posted, True
            for day, amount in lane.by_day.items():
                self._books.see(lane.customer_id, lane.way, from_days(day), amount)
            lane.by_day.clear()
            pool = lane.pool
            if pool.drawn and pool.grant is not None:
                pool.grant.drawn_face += pool.drawn
                pool.grant.drawn += pool.drawn
                self._wallets.touch(pool.grant)
            pool.drawn = 0
        self._used.clear()

    def close(self, customer_id: int | None = None) -> None:
        """Forget what was looked up, of a customer or of all.

        Because something changed it; call after `settle`.
        """
        assert not self._used, "settle before closing"
        if customer_id is None:
            self._open.clear()
            self._parties.clear()
            self._pools.clear()
            return
        for party in self._parties.pop(customer_id, ()):
            lane = self._open.pop(party)
            if lane.pool.grant is not None:
                self._pools.pop(lane.pool.grant.grant_id, None)

    def open(self, doc: models.Usage, customer_id: int) -> None:
        """Open the lane of a document that was just posted the long way.

        Where the next of its kind can take it.
        """
        books, wallets = self._books, self._wallets
        terms = books.parties.entity(doc.entity)
        if doc.currency != terms.currency:
            return
        first, last = days(books.days.counting_day(doc.entity, customer_id)), _LAST
        day = days(doc.date)
        grants = [g for g in wallets.grants(customer_id) if g.entity == doc.entity and g.currency == doc.currency]
        customer = books.parties.customer(doc.customer)
        source = Source(0, customer.on(doc.date), doc.entity, doc.currency)
        grant = draw.covering(grants, doc.product, doc.date, 1)
        if grant is not None:
            way = books.way(source, Movement("draw.prepaid", 1, grant.subject, grant.subject, doc.product))
            pool = self._pools.get(grant.grant_id)
            if pool is None:
                left = min(grant.left, grant.funded() - grant.drawn - grant.broken)
                pool = self._pools[grant.grant_id] = _Pool(grant, left)
            first, last = _span(grants, grant, doc.product, day, first, last)
        elif not customer.days_of("overage") and draw.all_overage(books, source, grants, doc.product):
            subject = usage_subject(doc.product)
            way = books.way(source, Movement("usage.overage", 1, subject, subject, doc.product))
            pool = _Pool(None, AMOUNT_MINOR_MAX)
        else:
            return
        if not first <= day <= last:
            return
        meter = wallets.meter(customer_id, doc.entity, doc.product, doc.currency)
        places = max(-int(meter.rated.as_tuple().exponent), 0)
        if places > _PLACES_MAX:
            return
        party = (doc.customer, doc.entity, doc.currency, doc.product)
        self._open[party] = _Lane(
            customer_id, way, pool, meter, first, last, exponent(doc.currency),
            unscaled(meter.rated, places), places, meter.posted,
        )  # fmt: skip
        self._parties.setdefault(customer_id, []).append(party)


def _rounded(number: int, places: int) -> int:
    """An integer without so many of its decimal places, ties to even."""
    if places <= 0:
        return number * int(10**-places)
    whole = int(10**places)
    quotient, rest = divmod(number, whole)
    return quotient + (2 * rest > whole or (2 * rest == whole and quotient % 2 == 1))


def _span(grants: list[Grant], chosen: Grant, product: str, day: int, first: int, last: int) -> tuple[int, int]:
    """The days around one, within limits, on which usage draws on the same grant as then.

    It covers them and is billed by then, and no grant before it covers them.
    """
    first = max([first, days(chosen.effective_on), *(days(funding.day) for funding in chosen.fundings)])
    if chosen.returned_on is not None:
        first = max(first, days(chosen.returned_on))
    if chosen.expires_on is not None:
        last = min(last, days(chosen.expires_on))
    for grant in grants:
        if grant is chosen:
            break
        if not grant.left or (grant.products is not None and product not in grant.products):
            continue
        if day < days(grant.effective_on):
            last = min(last, days(grant.effective_on - timedelta(days=1)))
        elif grant.expires_on is not None:
            first = max(first, days(grant.expires_on + timedelta(days=1)))
    return first, last
