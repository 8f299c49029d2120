"""The history of what was promised: read from the books, folded into terms, and kept as their next edition.

A contract (with those it is accounted for as one with), or an invoice line that made an obligation for itself, is folded whole whenever a
document changes any of it, whatever its date; what is decided differently by that of documents in the books already is posted as
the difference, on their days or the first open one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import product
from typing import Any

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.amounts.money import allocate, share
from ledger.corrections.recoveries import Recovered, counted_for
from ledger.errors import Refused, UnknownReference
from ledger.journal.books import Books
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.obligations import Correction, Obligations, Shares, billed_ahead, obligation_sides
from ledger.wallets.session import Wallets
from revrec.terms import happened
from revrec.terms.changes.folded import Folded, Split, Version
from revrec.terms.changes.folding import fold
from revrec.terms.events import Bill, Combined, Corrected, Event, Modified, Promise, Taken, Terminated, Undone
from revrec.terms.schedules import PERIODIC
from revrec.terms.terms import Curve, Progress
from revrec.terms.versions import Party, find_contract


@dataclass(slots=True)
class History:
    """All that was promised by contracts or a line, and all that happened to it, as the books have it."""

    party: Party
    promises: list[Promise]
    events: list[Event] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    progress: dict[str, list[Progress]] = field(default_factory=dict)
    # at what price each stands in the books, before its terms changed
    first_prices: dict[str, int] = field(default_factory=dict)
    contracts: dict[str, str] = field(default_factory=dict)
    # where events of a document under way are, that are not told by its day yet, with that
    under_way: list[tuple[int, date]] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """Which obligations there are."""
        return [promise.subject for promise in self.promises] + [
            added.promise.subject for event in self.events if isinstance(event, Modified) for added in event.added
        ] + [event.penalty.subject for event in self.events if isinstance(event, Terminated) and event.penalty]  # fmt: skip

    def contract_of(self, subject: str) -> str:
        """Which contract an obligation is of."""
        return self.contracts.get(subject, "")

    def tell_days(self) -> None:
        """Tell what a document under way did by its day."""
        for place, day in self.under_way:
            event = self.events[place]
            assert isinstance(event, Corrected | Undone), "only these are of documents under way"
            self.events[place] = replace(event, on=day)
        self.under_way = []

    def folded(self, checked: int | None = None) -> Folded:
        """What became of it; of the document that is `checked`, what it can't be is refused."""
        return fold(self.promises, self.events, self.bills, self.progress, checked, self.party.currency)


# Reading ------------------------------------------------------------------------------------------------------------

_PARTY = """
    select o.customer_id, c.ref as customer, t.entity, t.currency, coalesce(t.package, t.ref) as package
    from obligation o join contract t using (customer_id, contract_id) join customer c on c.customer_id = o.customer_id
    where o.customer_id = :customer_id and o.ref = any(:refs)
    union
    select l.customer_id, c.ref, i.entity, i.currency, null
    from invoice_line l join invoice i using (customer_id, invoice_id) join customer c on c.customer_id = l.customer_id
    where l.customer_id = :customer_id and l.own_obligation and l.subject = any(:subjects)"""


def parties_of(books: Books, customer_id: int, subjects: Iterable[str]) -> dict[Party, list[str]]:
    """Obligations by what they are folded with: contracts of a package, or a line alone."""
    found: dict[Party, list[str]] = {}
    for subject in dict.fromkeys(subjects):
        ref = subject.removeprefix("obligation:")
        row = books.connection.execute(
            text(_PARTY), {"customer_id": customer_id, "refs": [ref], "subjects": [subject]}
        ).first()
        if row is not None:
            found.setdefault(Party(*row), []).append(subject)
    return found


def read(books: Books, party: Party, subjects: Sequence[str]) -> History:
    """The history of contracts, or of invoice lines: what was gathered is written first, so that it can be read."""
    books.flush()
    history = _of_contracts(books, party) if party.package is not None else _of_lines(books, party, subjects)
    _read_bills(books, history)
    return history


_PROMISED = """
    select 'obligation:' || o.ref as subject, t.ref as contract, o.product, o.pattern, o.starts_on, o.ends_on, o.quantity,
           o.price_minor, o.ssp_minor, coalesce(o.added_on, t.signed_on) as known_on, o.document_id, o.treatment, o.reason,
           o.renews, t.contract_id
    from obligation o join contract t using (customer_id, contract_id)
    where o.customer_id = :customer_id and coalesce(t.package, t.ref) = :package order by o.document_id, o.ref"""
_DOCUMENTS = """
    select d.document_id, d.type, d.ref, d.dated_on, d.body, x.contract
    from (select customer_id, document_id, contract from contract_modification
          union select customer_id, document_id, contract from variable_estimate) x
    join contract t on t.customer_id = x.customer_id and t.ref = x.contract
    join document d on d.customer_id = x.customer_id and d.document_id = x.document_id
    where x.customer_id = :customer_id and coalesce(t.package, t.ref) = :package order by d.document_id"""
# what a contract that was combined with others made of their prices stands in the first edition that says so
_COMBINED = """
    select distinct on (v.document_id, v.subject) v.document_id, v.subject, v.from_day, v.price_minor, v.reason, d.ref, d.dated_on
    from obligation_terms v join document d using (customer_id, document_id)
    where v.customer_id = :customer_id and v.subject = any(:subjects) and v.treatment = 'combined'
    order by v.document_id, v.subject, v.edition, v.segment"""
_RIGHTS = """
    select g.grant_id, g.ref, g.effective_on, g.contract, g.price_minor from credit_grant g
    join contract t on t.customer_id = g.customer_id and t.ref = g.contract
    where g.customer_id = :customer_id and coalesce(t.package, t.ref) = :package and g.kind in ('promotional', 'pilot')
      and g.price_minor > 0 and g.carried_from is null
      and exists (select from entry e join posting p using (customer_id, entry_id) join rule r on r.number = p.rule
                  where e.customer_id = g.customer_id and e.document_id = g.grant_id and r.code like 'grant.right%')"""
_PROGRESS = """
    select subject, effective_on, quantity, percent from progress
    where customer_id = :customer_id and subject = any(:subjects) order by document_id"""


def _of_contracts(books: Books, party: Party) -> History:
    place: dict[str, Any] = {"customer_id": party.customer_id, "package": party.package}
    history = History(party, [])
    added: dict[int, list[tuple[Promise, str | None]]] = defaultdict(list)
    for row in books.connection.execute(text(_PROMISED), place):
        promise = Promise(
            row.subject, row.contract, row.product, Curve(row.pattern, row.starts_on, row.ends_on, row.quantity),
            row.price_minor, row.ssp_minor, row.known_on, row.document_id, row.treatment or "", row.reason or "",
        )  # fmt: skip
        history.first_prices[row.subject] = row.price_minor
        history.contracts[row.subject] = row.contract
        if row.document_id == row.contract_id:
            history.promises.append(promise)
        else:
            added[row.document_id].append((promise, row.renews))
    subjects = [p.subject for p in history.promises] + [p.subject for items in added.values() for p, _ in items]
    place["subjects"] = subjects
    for row in books.connection.execute(text(_DOCUMENTS), place):
        history.events.append(happened.read(books, party.currency, row, added.get(row.document_id, [])))
    prices: dict[tuple[int, str, date, str], dict[str, tuple[date, int]]] = defaultdict(dict)
    for row in books.connection.execute(text(_COMBINED), place):
        prices[row.document_id, row.ref, row.dated_on, row.reason][row.subject] = (row.from_day, row.price_minor)
    for (document_id, ref, on, reason), of in prices.items():
        history.events.append(Combined(on, document_id, ref, of, reason))
    for row in books.connection.execute(text(_RIGHTS), place):
        history.events.append(right(row.effective_on, row.grant_id, row.ref, row.contract, row.price_minor))
    for row in books.connection.execute(text(_PROGRESS), place):
        history.progress.setdefault(row.subject, []).append(Progress(row.effective_on, row.quantity, row.percent))
    return history


def right(on: date, document_id: int, ref: str, contract: str, amount: int) -> Taken:
    """What free credits take of a contract's price."""
    reason = f"credits {ref} share the price, as a material right"
    return Taken(on, document_id, ref, contract, amount, None, reason, by_price=True)


_LINES = """
    select l.subject, coalesce(l.product, '') as product, l.pattern, l.starts_on, l.ends_on, l.amount_minor, i.issued_on, i.invoice_id
    from invoice_line l join invoice i using (customer_id, invoice_id)
    where l.customer_id = :customer_id and l.own_obligation and l.subject = any(:subjects)"""


def _of_lines(books: Books, party: Party, subjects: Sequence[str]) -> History:
    rows = books.connection.execute(text(_LINES), {"customer_id": party.customer_id, "subjects": list(subjects)})
    return History(party, [
        Promise(row.subject, "", row.product, Curve(row.pattern, row.starts_on, row.ends_on), row.amount_minor, None, row.issued_on,
                row.invoice_id, own=True)
        for row in rows
    ])  # fmt: skip


_BILLS = """
    select b.invoice_id, b.line, b.subject, coalesce(i.recorded_on, i.issued_on), b.amount_minor, b.starts_on, b.ends_on, i.ref
    from obligation_bill b join invoice i using (customer_id, invoice_id)
    where b.customer_id = :customer_id and b.subject = any(:subjects) order by b.invoice_id, b.line"""
_CORRECTIONS = """
    select x.document_id, coalesce(case d.type when 'beside' then substr(d.ref, strpos(d.ref, ':') + 1) else d.ref end, n.ref) as ref,
           greatest(coalesce(d.dated_on, n.issued_on), n.recorded_on, i.recorded_on, i.issued_on,
                    -- what a document undoes of one of a later day it undoes on that day
                    (select u.dated_on from document u where u.customer_id in (x.customer_id, 0) and u.document_id = x.undoes),
                    (select u.recorded_on from invoice u where u.customer_id = x.customer_id and u.invoice_id = x.undoes),
                    -- what came back of a bill that was voided on a later day is voided on that
                    case when x.kind = 'void' then (select coalesce(w.dated_on, s.issued_on) from line_change y
                         left join document w on w.customer_id = y.customer_id and w.document_id = y.document_id
                         left join invoice s on s.customer_id = y.customer_id and s.invoice_id = y.document_id
                         where y.customer_id = x.customer_id and y.invoice_id = x.invoice_id and y.kind = 'void'
                         order by y.document_id limit 1) end) as on_day, x.kind, x.invoice_id, x.line, x.subject,
           x.amount_minor, x.starts_on, x.ends_on, x.rebill, x.undoes
    -- what another customer paid goes back by a document of the house's, beside that of who paid
    from line_change x left join document d on d.customer_id in (x.customer_id, 0) and d.document_id = x.document_id
    -- an invoice that is posted now, of which the document is written after
    left join invoice n on n.customer_id = x.customer_id and n.invoice_id = x.document_id
    join invoice i on i.customer_id = x.customer_id and i.invoice_id = x.invoice_id
    where x.customer_id = :customer_id and x.subject = any(:subjects) and not x.own_obligation
    order by x.document_id, x.invoice_id, x.line"""


def _read_bills(books: Books, history: History) -> None:
    place = {"customer_id": history.party.customer_id, "subjects": history.subjects}
    history.bills = [Bill(*row) for row in books.connection.execute(text(_BILLS), place)]
    for row in books.connection.execute(text(_CORRECTIONS), place):
        ref, day = (
            books.decided.get(row.document_id, (row.ref, row.on_day)) if row.ref is None else (row.ref, row.on_day)
        )
        if (
            day > row.on_day
        ):  # of the document under way, which is written after what it does: its day counts once all is decided
            history.under_way.append((len(history.events), day))
        correction = Correction(
            row.document_id, str(ref), row.kind, row.invoice_id, row.line, row.subject,
            -row.amount_minor if row.undoes else row.amount_minor, row.on_day, row.starts_on, row.ends_on, row.rebill, row.undoes,
        )  # fmt: skip
        history.events.append(_event(correction))


def _event(item: Correction) -> Event:
    """A correction of a bill as it happened to what it bills."""
    bill = (item.invoice_id, item.line, item.subject)
    if item.undoes:
        return Undone(item.on, item.document_id, item.ref, item.undoes, bill, item.amount)
    kind: Any = "credit" if item.kind == "proration" else item.kind
    if item.rebill:
        kind = "void"  # it takes the bill back, and not the price
    return Corrected(
        item.on, item.document_id, item.ref, kind, bill, item.amount, item.starts_on, item.ends_on, item.rebill
    )


# Keeping ------------------------------------------------------------------------------------------------------------


def touched(books: Books, customer_id: int) -> set[str]:
    """The obligations of a customer whose terms or bills were ever changed: what comes later may count before that."""
    known: set[str] | None = books.touched.get(customer_id)
    if known is None:
        known = books.touched[customer_id] = set(
            books.connection.scalars(
                text(
                    "select subject from line_change where customer_id = :customer_id and subject like 'obligation:%' "
                    "union select subject from obligation_terms where customer_id = :customer_id"
                ),
                {"customer_id": customer_id},
            )
        )
    return known | books.touching.get(customer_id, set())


def differing(
    books: Books, history: History, folded: Folded, *, exactly: bool = True
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The obligations whose terms are not as their last edition has them, each with its rows of the next.

    Not `exactly`: only what counts at a day's end is compared, not by which steps a day came there.
    """
    alike = list if exactly else _at_days_ends
    last: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    editions: dict[str, int] = {}
    for row in books.connection.execute(
        text(
            "select t.* from obligation_terms t where customer_id = :customer_id and subject = any(:subjects) and edition ="
            " (select max(edition) from obligation_terms l where l.customer_id = t.customer_id and l.subject = t.subject)"
            " order by version, segment"
        ),
        {"customer_id": history.party.customer_id, "subjects": history.subjects},
    ).mappings():
        editions[row["subject"]] = row["edition"]
        last[row["subject"]].append(tuple(row[name] for name in _COMPARED))
    found = []
    for subject in history.subjects:
        rows = list(_rows(history.party.customer_id, folded.versions[subject]))
        first = folded.versions[subject][0].terms.price
        alone = len(folded.versions[subject]) == 1 and first == history.first_prices.get(subject, first)
        if alone and subject not in editions:
            continue  # as it was promised
        if alike([tuple(row[name] for name in _COMPARED) for row in rows]) != alike(last.get(subject, [])):
            edition = editions.get(subject, 0) + 1
            found.append((subject, [values | {"edition": edition} for values in rows]))
    return found


def _at_days_ends(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What rows of terms say of the end of each day, whatever it is called."""
    version, day, what = _COMPARED.index("version"), _COMPARED.index("from_day"), _COMPARED.index("price_minor")
    change = _COMPARED.index("change_minor")
    last: dict[Any, int] = {}
    for row in rows:
        last[row[day]] = max(last.get(row[day], 0), row[version])
    return [
        (row[day], *(value for place, value in enumerate(row) if place >= what and place != change))
        for row in rows if row[version] == last[row[day]]
    ]  # fmt: skip


def keep(books: Books, history: History, folded: Folded, document_id: int) -> None:
    """Gather the next edition of every obligation whose terms are not as its last one has them."""
    for _, rows in differing(books, history, folded):
        for values in rows:
            books.add_row("obligation_terms", **values, edition_by=document_id)


_COMPARED = (
    "version", "segment", "document_id", "from_day", "treatment", "reason", "price_minor", "change_minor", "refund_minor", "pattern",
    "starts_on", "ends_on", "quantity", "counts_from", "base_minor", "reaches_minor", "begins", "ends",
)  # fmt: skip


def _rows(customer_id: int, versions: Sequence[Version]) -> Iterable[dict[str, Any]]:
    """An obligation's versions as rows, one for each piece of its price."""
    for number, version in enumerate(versions, 1):
        terms = version.terms
        same = {
            "customer_id": customer_id, "subject": version.subject, "version": number, "document_id": version.document_id,
            "from_day": version.from_day, "treatment": version.treatment, "reason": version.reason, "price_minor": terms.price,
            "change_minor": version.change, "refund_minor": version.refund, "pattern": terms.curve.pattern,
            "starts_on": terms.curve.starts_on, "ends_on": terms.curve.ends_on, "quantity": terms.curve.quantity,
        }  # fmt: skip
        reached = terms.base
        if not terms.pieces:
            yield same | {
                "segment": 1, "counts_from": version.from_day, "base_minor": reached, "reaches_minor": reached,
                "begins": happened.exact(0), "ends": happened.exact(1),
            }  # fmt: skip
        gone = _gone(version) if number > 1 else 0
        reached += sum(piece.amount for piece in terms.pieces[:gone])
        for place, piece in enumerate(terms.pieces[gone:], 1):
            yield same | {
                "segment": place, "counts_from": piece.from_day, "base_minor": reached, "reaches_minor": reached + piece.amount,
                "begins": happened.exact(piece.begins), "ends": happened.exact(piece.ends),
            }  # fmt: skip
            reached += piece.amount


def _gone(version: Version) -> int:
    """How many pieces are earned whole before a version's first day: nobody asks it when, so they are what it begins with."""
    terms = version.terms
    if terms.curve.pattern == "progress":  # which may be estimated to be less
        return 0
    at = terms.reached(version.from_day - timedelta(days=1))
    return sum(piece.ends <= at for piece in terms.pieces[:-1])


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


def refold(books: Books, party: Party, subjects: Sequence[str], document_id: int) -> None:
    """Fold contracts, or lines, anew, and keep what that makes of them: a fact of theirs came in."""
    Plan.of(books, party, document_id, subjects=subjects).keep()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a document makes of contracts: folded before anything of it is gathered, kept after all of it is."""

    books: Books
    history: History
    folded: Folded
    document_id: int

    @classmethod
    def of(cls, books: Books, party: Party, document_id: int, *events: Event, subjects: Sequence[str] = ()) -> Plan:
        """Fold contracts, or lines, with what a document brings. Raises Refused, or TooLittle, where it can't be."""
        history = read(books, party, subjects)
        history.events += events
        return cls(books, history, history.folded(document_id), document_id)

    def taken(self) -> list[tuple[Version, int]]:
        """The versions that are the document's own, each with how much it takes off its obligation's price."""
        return [
            (version, -version.change)
            for versions in self.folded.versions.values()
            for version in versions
            if version.document_id == self.document_id and version.change < 0
        ]

    def keep(self) -> None:
        """Gather the terms that come of it, and post what is decided differently of documents in the books."""
        keep(self.books, self.history, self.folded, self.document_id)
        source = self.history.party.source(self.books, self.document_id)
        settle_beside(self.books, source, self.history, self.folded)


def fold_old(books: Books, document_id: int) -> None:
    """Fold what books of an older schema have changed of obligations, once, as documents do from then on."""
    waiting = books.connection.execute(text("select customer_id, subject from terms_to_fold order by 1, 2")).all()
    if not waiting:
        return
    by_customer: dict[int, list[str]] = defaultdict(list)
    for row in waiting:
        by_customer[row.customer_id].append(row.subject)
    for customer_id, subjects in by_customer.items():
        for party, of in parties_of(books, customer_id, subjects).items():
            refold(books, party, of, document_id)
    books.flush()
    books.connection.execute(text("delete from terms_to_fold"))


# What the ledger asks ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Decided:
    """How corrections of bills are made up, by the terms of what they bill."""

    books: Books
    document_id: int
    histories: list[tuple[History, Folded]]

    def share(self, invoice_id: int, line: str, subject: str, *, of: int | None = None, undoing: int = 0) -> Shares:
        """How a line's amount is made up: of the document's own correction, of what it undoes of another, or of one in the books."""
        bill = (invoice_id, line, subject)
        for _, folded in self.histories:
            split: Split | None = (
                folded.undone.get((self.document_id if of is None else of, undoing, bill))
                if undoing
                else folded.splits.get((self.document_id if of is None else of, bill))
            )
            if split is not None:
                return Shares(split.expected, split.earned, split.rest)
        return Shares(0, 0, 0)

    def term(self, subject: str) -> tuple[date, date] | None:
        """The first and last day on which what a bill is for was ever promised; None where it is not earned over days."""
        curves = [version.terms.curve for _, folded in self.histories for version in folded.versions.get(subject, [])]
        if not curves or any(curve.pattern not in PERIODIC for curve in curves):
            return None
        return min(curve.starts_on for curve in curves), max(curve.last_day for curve in curves)

    def keep(self) -> None:
        """Keep the terms that come of them, and post what is decided differently of others: after their own movements."""
        for history, decided in self.histories:
            folded = decided
            if history.under_way:
                history.tell_days()
                folded = history.folded()
            keep(self.books, history, folded, self.document_id)
            source = history.party.source(self.books, self.document_id)
            settle_beside(self.books, source, history, folded)


def decide(wallets: Wallets, customer_id: int, document_id: int, corrections: Sequence[Correction]) -> Decided:
    """How corrections of bills are made up: asked before anything of them is gathered."""
    books = wallets.books
    books.flush()
    for item in corrections:
        books.decided.setdefault(item.document_id, (item.ref, item.on))
    histories = []
    for party, subjects in parties_of(books, customer_id, [item.subject for item in corrections]).items():
        history = read(books, party, subjects)
        known = set(history.subjects)
        history.events += [_event(item) for item in corrections if item.subject in known]
        histories.append((history, history.folded()))
    return Decided(books, document_id, histories)


def billed_later(wallets: Wallets, customer_id: int, document_id: int, subjects: Iterable[str]) -> None:
    """Fold anew what a bill was posted of, where something happened to it already: what the bill covers may change that."""
    books = wallets.books
    of = [subject for subject in subjects if subject in touched(books, customer_id)]
    if of:
        books.flush()
        for party, found in parties_of(books, customer_id, of).items():
            refold(books, party, found, document_id)


def of_contract(wallets: Wallets, source: Source, contract: str, on: date, amount: int) -> list[tuple[str, int]]:
    """What of an amount billed of a whole contract on a day is of which obligation: by the prices allocated to them by then.

    Raises UnknownReference for a contract of another party, Refused for one without prices.
    """
    agreed = find_contract(wallets.books, contract)
    if (agreed.customer, agreed.entity, agreed.currency) != (source.customer.ref, source.entity, source.currency):
        raise UnknownReference(
            "contract",
            contract,
            f"expected a contract of {source.customer.ref} with {source.entity} in {source.currency}",
        )
    history = read(wallets.books, agreed.party, [])
    folded = history.folded()
    known = [
        (versions[0].subject, max(folded.terms(versions[0].subject, on).price, 0))
        for versions in folded.versions.values()
        if versions[0].from_day <= on and history.contract_of(versions[0].subject) == contract
    ]
    weights = [price for _, price in known]
    if not any(weights):
        raise Refused(
            "contract", contract, f"expected one with obligations that have prices on {on}: bill what was used as usage"
        )
    parts = allocate(amount, weights)
    return [(subject, part) for (subject, _), part in zip(known, parts, strict=True) if part]


OBLIGATIONS = Obligations(decide, billed_later, of_contract)
