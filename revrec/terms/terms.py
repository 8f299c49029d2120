"""The terms of an obligation as they stand.

What is earned by a day, and what each kind of change makes of them. An obligation is what was earned before its terms last changed for
good (`base`), and pieces of price earned one after the other along one curve. `earned` is a pure function of these and of progress; its
twin in SQL (`schedules.term_sql`) reads them from `obligation_version`, and a property holds the two together. Nothing here asks what was
booked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from ledger.amounts.money import allocate, share
from revrec.terms import schedules

LAST_DAY = date(2199, 12, 31)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Curve:
    """Along what a price is earned.

    A pattern from a day to a day, or progress of a quantity; `ends_on` is the last day counted.
    """

    pattern: str
    starts_on: date
    ends_on: date | None
    quantity: Decimal | None = None

    @property
    def last_day(self) -> date:
        """The last day counted; without one it goes on until progress says that it is done."""
        return self.ends_on or LAST_DAY


@dataclass(frozen=True, slots=True)
class Progress:
    """What a progress document says of an obligation.

    A quantity given, or how much of it all is, in percent.
    """

    on: date
    quantity: Decimal | None
    percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a price, earned between two points of its curve.

    The first of these is reached before a day begins.
    """

    from_day: date
    begins: Fraction
    ends: Fraction
    amount: int


@dataclass(slots=True)
class Terms:
    """An obligation's terms on a day, in minor units.

    Of its `price`, `lowered` was taken off by bills' corrections (credit notes, what write-offs gave up), `taken` by the contract's
    own documents (consideration payable, material rights); both lie on top of what a modification states. `paid` is what of
    consideration payable is spread over the pieces: it lowers what is earned whole, however short the term is cut. `earlier` are the
    terms before they last changed for good, `since` a day; `replaced` those that a catch-up replaced from their start on, `caught_up`
    its day, on which the difference counts.
    """

    curve: Curve
    base: int
    pieces: list[Piece]
    progress: Sequence[Progress] = ()
    lowered: int = 0
    taken: int = 0
    paid: int = 0
    earlier: Terms | None = None
    since: date | None = None
    replaced: Terms | None = None
    caught_up: date | None = None

    def copy(self) -> Terms:
        """The same, to be changed by itself."""
        return replace(self, pieces=list(self.pieces))

    def same(self, other: Terms) -> bool:
        """Whether what is earned by when is the same by both."""
        return (self.base, self.pieces, self.curve) == (other.base, other.pieces, other.curve)

    @property
    def price(self) -> int:
        """All of its price, as it stands."""
        return self.base + sum(piece.amount for piece in self.pieces)

    def reached(self, on: date) -> Fraction:
        """How far along its curve it is at the end of a day."""
        if self.curve.pattern == "progress":
            return min(max(self._done(on), Fraction(0)), self.whole())
        return Fraction(schedules.passed(self._term(), on))

    def whole(self) -> Fraction:
        """The end of its curve."""
        if self.curve.pattern == "progress":
            by_percent = any(item.percent is not None for item in self.progress)
            return Fraction(100) if by_percent or self.curve.quantity is None else Fraction(self.curve.quantity)
        return Fraction(schedules.passed(self._term(), self.curve.last_day))

    def _term(self) -> schedules.Term:
        return schedules.Term(self.curve.pattern, self.curve.starts_on, self.curve.last_day)

    def _done(self, on: date) -> Fraction:
        said = [item for item in self.progress if item.on <= on]
        percents = [item for item in said if item.percent is not None]
        if percents:
            last = max(percents, key=lambda item: item.on)  # of one day the later one: they come in order
            latest = [item for item in percents if item.on == last.on][-1]
            assert latest.percent is not None, "chosen by it"
            return Fraction(latest.percent)
        return sum((Fraction(item.quantity) for item in said if item.quantity is not None), Fraction(0))

    def earned(self, on: date) -> int:
        """What of the price is earned by the end of a day, cumulatively rounded half-even."""
        at = self.reached(on)
        return self.base + sum(_earned_of(piece, at) for piece in self.pieces)

    def known(self, on: date) -> Terms:
        """The terms by which is told what was earned by the end of a day.

        What a later day caught up was not by then.
        """
        if self.replaced is not None and self.caught_up is not None and on < self.caught_up:
            return self.replaced.known(on)
        return self

    def by(self, on: date) -> int:
        """What was earned by the end of a day.

        Of days before the terms last changed too: by the terms that were then.
        """
        if self.earlier is not None and self.since is not None and on < self.since:
            return self.earlier.by(on)
        return self.earned(on)

    def earned_before(self, on: date) -> int:
        """What is earned before a day begins."""
        return self.earned(on - _ONE_DAY)

    def left(self, on: date) -> Fraction:
        """What part of its curve is still to come when a day begins, between 0 and 1."""
        whole = self.whole()
        return 1 - self.reached(on - _ONE_DAY) / whole if whole else Fraction(0)

    # Changes ------------------------------------------------------------------------------------------------------

    def split(self, on: date) -> None:
        """Cut pieces in two on a day.

        What is earned before it and what is earned from then on are pieces of their own; what is earned by when stays.
        """
        at = self.reached(on - _ONE_DAY)
        found: list[Piece] = []
        for piece in self.pieces:
            if not piece.begins < at < piece.ends:
                found.append(piece)
                continue
            before = _earned_of(piece, at)
            if self.curve.pattern == "progress":  # which may be estimated to be less than it was: what was earned stays
                self.base += before
            else:
                found.append(replace(piece, ends=at, amount=before))
            found.append(Piece(on, at, piece.ends, piece.amount - before))
        self.pieces = found

    def coming(self, on: date) -> list[int]:
        """The places of the pieces that are earned from a day on: the terms were split there."""
        at = self.reached(on - _ONE_DAY)
        return [place for place, piece in enumerate(self.pieces) if piece.begins >= at]

    def spread(self, change: int, places: Sequence[int] | None = None) -> None:
        """Change the price as it was spread, over all pieces or some.

        What was given of it counts at once (606-10-32-43). What is taken off beyond all of them counts at once, and what comes where
        nothing is left to earn.
        """
        chosen = list(range(len(self.pieces))) if places is None else list(places)
        total = sum(self.pieces[place].amount for place in chosen)
        if not chosen or (total >= 0 and total + change < 0):
            self.base += total + change
            for place in chosen:
                self.pieces[place] = replace(self.pieces[place], amount=0)
            return
        amounts = [self.pieces[place].amount for place in chosen]
        if not any(amounts) or any(amount < 0 for amount in amounts):
            last = chosen[-1]
            self.pieces[last] = replace(self.pieces[last], amount=self.pieces[last].amount + change)
            return
        for place, amount in zip(chosen, allocate(total + change, amounts), strict=True):
            self.pieces[place] = replace(self.pieces[place], amount=amount)

    def _still_paid(self, on: date) -> int:
        """What of consideration payable has not counted before a day."""
        at = self.reached(on - _ONE_DAY)
        whole = sum(piece.amount for piece in self.pieces)
        given = sum(_earned_of(piece, at) for piece in self.pieces)
        return self.paid - share(self.paid, given, whole) if whole > 0 else 0

    def give_up(self, on: date, amount: int) -> None:
        """Take off what is still to come on a day.

        What is left of the price is earned over what remains.
        """
        if amount:
            self.split(on)
            self.spread(-amount, self.coming(on))

    def end(self, start: date, last: date, amount: int) -> int:
        """Take off what is earned over a period, up to an amount, in proportion.

        Returns how much of it there was.
        """
        settled = self._settled(start, last)
        self.split(start)
        self.split(last + _ONE_DAY)
        from_, to = self.reached(start - _ONE_DAY), self.reached(last)
        places = [place for place, piece in enumerate(self.pieces) if piece.begins >= from_ and piece.ends <= to]
        within = settled + sum(self.pieces[place].amount for place in places)
        there = min(amount, max(within, 0))
        if there:
            at_once = share(there, settled, within)
            self.base -= at_once
            self.spread(at_once - there, places)
            if at_once and self.earlier is not None and self.since is not None:
                self.earlier = self.earlier.copy()
                self.earlier.end(start, min(last, self.since - _ONE_DAY), at_once)
        return there

    def _settled(self, start: date, last: date) -> int:
        """What was earned over a period before the terms last changed for good."""
        if self.earlier is None or self.since is None or start >= self.since:
            return 0
        return max(self.by(min(last, self.since - _ONE_DAY)) - self.by(start - _ONE_DAY), 0)

    def settle(self, on: date) -> int:
        """Keep what is earned before a day for good.

        What is left of the price goes, and is returned.
        """
        earned = self.earned_before(on)
        left = self.price - earned
        self.earlier, self.since = self.copy(), on
        self.paid = self._still_paid(on)
        self.base, self.pieces = earned, []
        return left

    def end_all(self, on: date) -> None:
        """Promise nothing more from a day on.

        What is earned before stays, less what consideration payable is left.
        """
        self.settle(on)
        self.base, self.paid = self.base - self.paid, 0

    def go_on(self, on: date, curve: Curve, amount: int) -> None:
        """Earn an amount over what of a curve remains from a day on.

        At once where nothing of it remains, or it is below zero.
        """
        self.curve = curve
        begins, ends = self.reached(on - _ONE_DAY), self.whole()
        if ends <= begins or amount < 0:
            self.base += amount
            return
        self.pieces.append(Piece(max(on, curve.starts_on) if begins == 0 else on, begins, ends, amount))

    def cut(self, on: date, last: date) -> None:
        """Promise nothing after a last day, as is known from a day on.

        What is earned by then stays as it was. What is left then of consideration payable is taken off what is still to come.
        """
        self.split(on)
        earned, paid = self.earned(last), self._still_paid(last + _ONE_DAY)
        self.split(last + _ONE_DAY)
        at = self.reached(last)
        self.pieces = [piece for piece in self.pieces if piece.ends <= at]
        self.curve = replace(self.curve, ends_on=last)
        assert self.price == earned, "what is left is what is earned by then"
        self.spread(-paid, self.coming(on))
        self.paid = 0


def _earned_of(piece: Piece, at: Fraction) -> int:
    part = (min(max(at, piece.begins), piece.ends) - piece.begins) / (piece.ends - piece.begins)
    return share(piece.amount, part.numerator, part.denominator)


def plain(curve: Curve, price: int, progress: Sequence[Progress] = ()) -> Terms:
    """The terms of an obligation as it was first promised."""
    terms = Terms(curve, 0, [], progress)
    terms.pieces = [Piece(curve.starts_on, Fraction(0), terms.whole(), price)]
    return terms
