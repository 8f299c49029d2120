"""Histories that a company could have, told from a seed: documents of all kinds that are mostly accepted.

A history is of a few customers, each with a story of its own: a contract with its bills and changes, invoices that upgrade and are
corrected, prepaid and free credits with their usage, a commitment, metered usage. What competes (two documents over one limit, two
grants for one draw) is told by arrival, so `needs` says what has to come before; everything else may arrive in any order.

Ids contain `@`, which stands for the place the history is posted at: `History.at("x-")` gives documents of their own entities,
customers and products, so that many histories share one database.
"""

from __future__ import annotations

import heapq
import json
import random
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from ledger.documents.models import InvoiceLine

Document = dict[str, Any]
Key = tuple[str, str]

FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
# By then everything told has ended.
END = date(2027, 12, 1)


def _allowed(line: dict[str, Any]) -> bool:
    """Whether an invoice line may say this, in this release."""
    try:
        InvoiceLine.model_validate({"id": "1", "kind": "service", "amount": "1.00"} | line)
    except ValidationError:
        return False
    return True


# What changes when obligations are given, or what they are worth.
_CHANGING = (
    "contract_modification", "contract_renewal", "contract_termination", "estimate", "consideration_payable", "progress",
)  # fmt: skip
# A line that bills an obligation may name the period it bills; a line may bill a contract as a whole.
LINE_PERIODS = _allowed({"obligation": "o", "start": "2026-01-01", "end": "2026-01-31"})
CONTRACT_LINES = _allowed({"contract": "c"})


def key_of(doc: Document) -> Key:
    return doc["type"], doc["id"]


def day_of(doc: Document) -> str:
    found: str = next(doc[name] for name in ("issued_on", "signed_on", "effective_on", "date") if name in doc)
    return found


def text_of(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def months_on(day: date, months: int) -> date:
    """The day so many months later, or the last of a month that has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def days_on(day: date, days: int) -> date:
    return day + timedelta(days=days)


def share(total: int, part: int, whole: int) -> int:
    """A part of an amount, ties to even."""
    return round(Fraction(total * part, whole)) if whole else 0


@dataclass(frozen=True)
class Told:
    """A document, and what has to arrive before it."""

    doc: Document
    needs: frozenset[Key]


@dataclass(frozen=True)
class History:
    """Documents, with the parties and products they are about."""

    seed: int
    masters: tuple[Document, ...]
    told: tuple[Told, ...]

    def in_order(self, urgency: Callable[[Document], Any] = day_of) -> list[Document]:
        """The documents, the most urgent first as far as what they need allows; by their dates, where nothing else is said."""
        place = {key_of(item.doc): number for number, item in enumerate(self.told)}
        waiting = {
            number: {place[need] for need in item.needs if need in place} for number, item in enumerate(self.told)
        }
        ready = [(urgency(self.told[number].doc), number) for number, needs in waiting.items() if not needs]
        heapq.heapify(ready)
        found = []
        while ready:
            _, number = heapq.heappop(ready)
            found.append(self.told[number].doc)
            del waiting[number]
            for other, needs in waiting.items():
                if number in needs:
                    needs.discard(number)
                    if not needs:
                        heapq.heappush(ready, (urgency(self.told[other].doc), other))
        assert not waiting, "what is needed comes before"
        return found

    def shuffled(self, seed: str) -> list[Document]:
        """The documents in an order of chance; leaving some out leaves the others as they are."""
        return self.in_order(lambda doc: random.Random(f"{seed}/{doc['type']}/{doc['id']}").random())  # noqa: S311

    def without(self, keys: Iterable[Key]) -> History:
        """The history without some documents and what refers to them."""
        gone = set(keys)
        refs = {ref for _, ref in gone}
        grew = True
        while grew:
            grew = False
            for item in self.told:
                if key_of(item.doc) not in gone and _refers(item.doc, refs):
                    gone.add(key_of(item.doc))
                    refs.add(item.doc["id"])
                    grew = True
        return replace(self, told=tuple(item for item in self.told if key_of(item.doc) not in gone))

    def about(self, ref: str) -> list[Document]:
        """The documents that name an id."""
        return [item.doc for item in self.told if _refers(item.doc, {ref})]

    def of(self, *types: str) -> list[Document]:
        """The documents of some types, by their dates."""
        return [doc for doc in self.in_order() if doc["type"] in types]

    def plus(self, *more: Told) -> History:
        return replace(self, told=(*self.told, *more))

    def swapped(self, change: Callable[[Document], Document | None]) -> History:
        """The history with documents changed, or left out where they become None."""
        found = []
        for item in self.told:
            doc = change(item.doc)
            if doc is not None:
                found.append(Told(doc, item.needs))
        return replace(self, told=tuple(found))

    def lines(self, documents: Iterable[Document] | None = None) -> str:
        """JSON Lines that `tickmark post` takes."""
        told = "\n".join(json.dumps(doc) for doc in (self.in_order() if documents is None else documents))
        named = [json.dumps(doc) for doc in self.masters if f'"{doc["id"]}"' in told]
        return "\n".join([*named, told]).replace("@", "")


def _refers(doc: Document, refs: set[str]) -> bool:
    """Whether a document names one of these ids, or an obligation that one of them made."""
    named = {
        doc.get(name)
        for name in (
            "contract",
            "invoice",
            "from_invoice",
            "payment",
            "write_off",
            "supersedes",
            "grant",
            "cost",
            "application",
            "refund",
            "credit_note",
        )
    }
    named |= {item["invoice"] for item in doc.get("applications", ())}
    for line in doc.get("lines", ()):
        named |= {line.get("grant"), line.get("contract")}
        if line.get("obligation"):
            named.add(line["obligation"].rpartition("/")[0])
    if doc.get("obligation"):
        named.add(doc["obligation"].rpartition("/")[0])
    return bool(named & refs)


def at(documents: Iterable[Document], place: str) -> list[Document]:
    """Documents with the ids they have at a place."""
    return [json.loads(json.dumps(doc).replace("@", place)) for doc in documents]


@dataclass
class Bill:
    """An invoice as the stories go on with it."""

    doc: Document
    party: dict[str, str]
    net: int
    tax: int
    term: tuple[date, date] | None = None

    @property
    def issued(self) -> date:
        return date.fromisoformat(self.doc["issued_on"])

    @property
    def gross(self) -> int:
        return self.net + self.tax


@dataclass
class Promise:
    """An obligation of a contract as it stands so far."""

    ref: str
    product: str
    price: int
    start: date
    end: date
    pattern: str
    own_price: bool
    ssp: int | None
    billed: int = 0
    open: bool = True

    def left(self, day: date) -> Fraction:
        """About how much of it is certainly to come on a day."""
        if day <= self.start:
            return Fraction(1)
        if self.pattern == "point_in_time" or day > self.end:
            return Fraction(0)
        by_days = Fraction((self.end - day).days, (self.end - self.start).days + 1)
        by_months = Fraction((self.end.year - day.year) * 12 + self.end.month - day.month - 1, 13)
        return max(min(by_days, max(by_months, Fraction(0)) * 13 / max(_months(self.start, self.end), 1)), Fraction(0))

    def fields(self, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": self.ref, "product": self.product, "price": text_of(self.price), "start": self.start.isoformat(),
            "pattern": self.pattern,
        }  # fmt: skip
        if self.pattern not in ("point_in_time", "progress"):
            found["end"] = self.end.isoformat()
        if self.ssp is not None:
            found["ssp"] = text_of(self.ssp)
        return found | more


def _months(start: date, end: date) -> int:
    return (end.year - start.year) * 12 + end.month - start.month + 1


@dataclass
class Teller:
    """Tells a history of chance. `chances` says how likely something is that is not always wanted."""

    seed: int
    chances: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - chance, not secrecy
        self.told: list[Told] = []
        self.numbers: Counter[str] = Counter()
        self.masters: list[Document] = [
            {"type": "entity", "id": "@us", "name": "Acme AI Inc", "currency": "USD"},
            {"type": "tax_code", "id": "@T", "name": "Sales tax", "rate": "0.10"},
        ]
        self.loose: set[str] = set()  # customers with money that is not applied to anything

    def history(self) -> History:
        return History(
            self.seed, tuple(self.masters), tuple(map(self._once_known, map(self._after_credits, self.told)))
        )

    def _once_known(self, item: Told) -> Told:
        """What a recovery is of, of several obligations, is told by what is known of the loss when it arrives: after what changes them."""
        if item.doc["type"] != "recovery":
            return item
        (lost,) = (other.doc for other in self.told if key_of(other.doc) == ("write_off", item.doc["write_off"]))
        (bill,) = (other.doc for other in self.told if key_of(other.doc) == ("invoice", lost["invoice"]))
        contracts = {line["contract"] for line in bill["lines"] if "contract" in line}
        changes = {
            key_of(other.doc)
            for other in self.told
            if other.doc["type"] in _CHANGING and contracts and _refers(other.doc, contracts)
        }
        return replace(item, needs=item.needs | changes)

    def _after_credits(self, item: Told) -> Told:
        """What is given up, or charged back, of several lines is split by what is left of them when it arrives: after earlier credits."""
        if item.doc["type"] not in ("write_off", "dispute"):
            return item
        bills = {other.doc["id"]: other.doc for other in self.told if other.doc["type"] == "invoice"}
        earlier = [
            key_of(other.doc)
            for other in self.told
            if other.doc["type"] == "credit_note"
            and len(bills[other.doc["invoice"]]["lines"]) > 1
            and other.doc["date"] <= item.doc["date"]
            and bills[other.doc["invoice"]]["customer"] == self._owner(item.doc, bills)
        ]
        return replace(item, needs=item.needs | frozenset(earlier))

    def _owner(self, doc: Document, bills: dict[str, Document]) -> str:
        if "invoice" in doc:
            return str(bills[doc["invoice"]]["customer"])
        return next(
            str(item.doc["customer"])
            for item in self.told
            if item.doc["type"] == "payment" and item.doc["id"] == doc["payment"]
        )

    # Words

    def likely(self, chance: float, name: str = "") -> bool:
        return self.random.random() < self.chances.get(name, chance)

    def wanted(self, *choices: str) -> str:
        """One of what is not left out by a chance of 0."""
        return self.random.choice([choice for choice in choices if self.chances.get(choice, 1) > 0])

    def one_of(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def ref(self, kind: str) -> str:
        self.numbers[kind] += 1
        return f"@{kind}{self.numbers[kind]}"

    def tell(self, doc: Document, *needs: Document) -> Document:
        self.told.append(Told(doc, frozenset(map(key_of, needs))))
        return doc

    def day(self, first: date, last: date) -> date:
        return days_on(first, self.random.randint(0, max((last - first).days, 0)))

    def later(self, day: date, most: int = 120) -> date:
        """A day after, in the year: mostly soon, sometimes long after."""
        return min(days_on(day, self.random.randint(0, self.one_of(10, 45, most))), LAST)

    def cents(self, low: int = 10_00, high: int = 2_000_00) -> int:
        """An amount: round, dividable, or anything."""
        return int(self.one_of(self.random.randint(low, high), self.random.randint(low, high) // 1200 * 1200 or low))

    def part(self, cents: int) -> int:
        return max(int(self.one_of(cents // 2, cents // 3, self.random.randint(1, max(cents, 1)), cents // 10)), 1)

    def customer(self) -> dict[str, str]:
        ref = self.ref("c")
        self.masters.append({"type": "customer", "id": ref, "name": ref.removeprefix("@")})
        return {"customer": ref, "entity": "@us", "currency": self.one_of("USD", "USD", "USD", "EUR")}

    def product(self) -> str:
        ref = self.ref("p")
        self.masters.append({"type": "product", "id": ref, "name": ref.removeprefix("@")})
        return ref

    # Bills and what becomes of them

    def bill(
        self,
        party: dict[str, str],
        day: date,
        lines: list[dict[str, Any]],
        *needs: Document,
        term: Any = None,
        **more: Any,
    ) -> Bill:
        """An invoice; a tax on each of its lines, or on none."""
        taxed = self.likely(0.25, "tax") and all(line["kind"] != "usage" for line in lines)
        net = tax = 0
        for number, line in enumerate(lines, start=1):
            line["id"] = str(number)
            cents = line.pop("cents")
            line["amount"] = text_of(cents)
            net += cents
            if taxed:
                line["tax_codes"] = ["@T"]
                exact = Fraction(cents, 10)
                tax += int(exact + Fraction(1, 2)) if exact >= 0 else -int(-exact + Fraction(1, 2))
            else:
                line["tax_codes"] = []
        doc = {
            "type": "invoice", "id": self.ref("I"), **party, "issued_on": day.isoformat(),
            "due_on": days_on(day, self.one_of(0, 14, 30)).isoformat(), "lines": lines, **more,
        }  # fmt: skip
        return Bill(self.tell(doc, *needs), party, net, tax, term)

    def pay(self, bill: Bill, cents: int, *needs: Document, first: date | None = None, **more: Any) -> Document:
        day = self.later(first or bill.issued)
        fee = {"fee": text_of(max(cents // 30, 1))} if self.likely(0.2) and cents > 30 else {}
        return self.tell(
            {
                "type": "payment", "id": self.ref("P"), **bill.party, "date": day.isoformat(), "rail": self.one_of("card", "wire"),
                "amount": text_of(cents), "applications": [{"invoice": bill.doc["id"], "amount": text_of(cents)}], **fee, **more,
            },
            bill.doc, *needs,
        )  # fmt: skip

    def settle(self, bill: Bill, *, depth: int = 0) -> None:
        """What becomes of a bill: it is paid, credited, given up, taken back, in parts that never add up to more than it."""
        if bill.gross <= 0:
            return
        fates = ["paid", "paid", "paid", "parts", "parts", "open", "balance", "credited_after", "overpaid", "bounced"]
        if depth == 0:
            fates += ["void", "replaced"]
        if bill.party["customer"] in self.loose:
            fates = [fate for fate in fates if fate not in ("balance", "credited_after", "overpaid")]
        fate = self.one_of(*fates)
        if fate == "paid":
            self._back(bill, [self.pay(bill, bill.gross)])
        elif fate == "parts":
            self._in_parts(bill)
        elif fate in ("void", "replaced"):
            self._take_back(bill, replaced=fate == "replaced")
        elif fate != "open":
            self.loose.add(bill.party["customer"])
            getattr(self, f"_{fate}")(bill)

    def _bounced(self, bill: Bill) -> None:
        """Paid by money that came back; it may be paid again."""
        payment = self.pay(bill, bill.gross)
        day = self.later(date.fromisoformat(payment["date"]))
        back = self.tell(
            {"type": "payment_reversal", "id": self.ref("Y"), "payment": payment["id"], "date": day.isoformat(), "reason": "R01"},
            payment,
        )  # fmt: skip
        if self.likely(0.6):
            self.pay(bill, bill.gross, back, first=day)

    def _take_back(self, bill: Bill, *, replaced: bool) -> None:
        day = self.later(bill.issued, 60)
        lines = [
            {name: value for name, value in line.items() if name not in ("id", "tax_codes")}
            | {"cents": round(Fraction(line["amount"]) * 100)}
            for line in bill.doc["lines"]
        ]
        if replaced:
            again = self.bill(bill.party, day, lines, bill.doc, term=bill.term, supersedes=bill.doc["id"])
            self.settle(again, depth=1)
            return
        gone = {
            "type": "invoice_void",
            "id": self.ref("V"),
            "invoice": bill.doc["id"],
            "date": day.isoformat(),
            "reason": "wrong",
        }
        void = self.tell(gone, bill.doc)
        if self.likely(0.6):
            # an obligation, or a grant, is billed again once the first bill is taken back
            self.settle(self.bill(bill.party, self.later(day, 40), lines, void, term=bill.term), depth=1)

    def _in_parts(self, bill: Bill) -> None:
        """Some of it paid, credited and written off."""
        left, paid = bill.gross, []
        for _ in range(self.random.randint(0, 2)):
            cents = self.part(left)
            if 0 < cents < left:
                paid.append(self.pay(bill, cents))
                left -= cents
        told = list(paid)
        if self.likely(0.5) and bill.net * left // bill.gross > 2:
            net = self.part(bill.net * left // bill.gross)
            line = self.random.choice(bill.doc["lines"])
            net = min(net, round(Fraction(line["amount"]) * 100) * left // bill.gross)
            if net > 0:
                told.append(self.credit(bill, line["id"], net))
                if self.likely(0.2, "note_void"):
                    told.append(self._void_note(told[-1]))
                else:
                    left -= net + (share(net, 1, 10) + 1 if bill.tax else 0)
        if self.likely(0.6) and left > 0:
            # all that is due is known once the others are
            amount = self.one_of(left, self.part(left))
            self._give_up(
                bill,
                amount,
                *(told if amount == left or len(bill.doc["lines"]) > 1 else ()),
                last=max(day_of(doc) for doc in [bill.doc, *told]),
            )
        # over which lines money that goes back is split is told by what has arrived
        self._back(bill, paid, *(told[len(paid) :] if len(bill.doc["lines"]) > 1 else ()))

    def _void_note(self, note: Document) -> Document:
        day = self.later(date.fromisoformat(note["date"])).isoformat()
        return self.tell(
            {
                "type": "credit_note_void",
                "id": self.ref("X"),
                "credit_note": note["id"],
                "date": day,
                "reason": "wrong",
            },
            note,
        )

    def _give_up(self, bill: Bill, cents: int, *needs: Document, last: str) -> None:
        day = self.later(date.fromisoformat(last))
        lost = self.tell(
            {
                "type": "write_off", "id": self.ref("W"), "invoice": bill.doc["id"], "date": day.isoformat(),
                "amount": text_of(cents), "reason": "bankrupt", "approved_by": "controller",
            },
            bill.doc, *needs,
        )  # fmt: skip
        if self.likely(0.4):
            back = self.one_of(cents, self.part(cents))
            self.tell(
                {
                    "type": "recovery", "id": self.ref("R"), "write_off": lost["id"], "date": self.later(day).isoformat(),
                    "rail": "wire", "amount": text_of(min(back, cents)),
                },
                lost,
            )  # fmt: skip

    def credit(self, bill: Bill, line: str, net: int, *needs: Document, after: date | None = None) -> Document:
        """A credit note, with a period, which what made it so long comes before, or without."""
        day = self.later(after or bill.issued)
        period, made = {}, []
        if bill.term is not None and self.likely(0.4, "credit_period"):
            start, end = bill.term
            first = self.one_of(start, self.day(start, end), min(max(day, start), end))
            period = {"start": first.isoformat(), "end": self.one_of(end, self.day(first, end)).isoformat()}
            refs = {other["obligation"] for other in bill.doc["lines"] if "obligation" in other}
            made = [
                item.doc
                for item in self.told
                if item.doc["type"] == "contract_modification"
                and any(other["id"] in refs for other in item.doc.get("obligations", ()))
            ]
        return self.tell(
            {
                "type": "credit_note", "id": self.ref("N"), "invoice": bill.doc["id"], "date": day.isoformat(),
                "lines": [{"line": line, "amount": text_of(net), **period}],
            },
            bill.doc, *made, *needs,
        )  # fmt: skip

    def _back(self, bill: Bill, paid: list[Document], *needs: Document) -> None:
        """Money of what was paid goes back, or is disputed."""
        several = (
            len(bill.doc["lines"]) > 1
        )  # then one of them, once: over which lines it is split is told by what has arrived
        for payment in paid[:1] if several else paid:
            left = round(Fraction(payment["amount"]) * 100)
            if self.likely(0.2, "refund"):
                cents = self.part(left)
                left -= cents
                refund = self.tell(
                    {
                        "type": "refund", "id": self.ref("B"), "payment": payment["id"], "amount": text_of(cents),
                        "date": self.later(date.fromisoformat(payment["date"])).isoformat(), "invoice": bill.doc["id"],
                    },
                    payment, *needs,
                )  # fmt: skip
                if self.likely(0.2, "refund_fails"):
                    failed = self.later(date.fromisoformat(refund["date"])).isoformat()
                    fails = {
                        "type": "refund_reversal",
                        "id": self.ref("Z"),
                        "refund": refund["id"],
                        "date": failed,
                        "reason": "closed",
                    }
                    self.tell(fails, refund)
                if several:
                    return
            if left > 0 and self.likely(0.25, "dispute"):
                self._dispute(payment, self.one_of(left, self.part(left)), *needs)

    def _dispute(self, payment: Document, cents: int, *needs: Document) -> None:
        about = {"type": "dispute", "payment": payment["id"]}
        day = self.later(date.fromisoformat(payment["date"]))
        opened = self.tell(
            about | {"id": self.ref("D"), "date": day.isoformat(), "amount": text_of(cents), "status": "opened"},
            payment, *needs,
        )  # fmt: skip
        if self.likely(0.85):
            some = self.part(cents) if self.likely(0.2) else cents
            closed = self.tell(
                about
                | {
                    "id": self.ref("D"), "date": self.later(day).isoformat(), "amount": text_of(some),
                    "status": self.one_of("won", "lost", "lost"),
                },
                opened,
            )  # fmt: skip
            if closed["status"] == "lost" and self.likely(0.2, "reinstated"):
                after = self.later(date.fromisoformat(closed["date"])).isoformat()
                self.tell(closed | {"id": self.ref("D"), "date": after, "status": "reinstated"}, closed)

    def _balance(self, bill: Bill) -> None:
        """Paid by money that came without saying for what."""
        payment = self.pay(bill, bill.gross, applications=[])
        put = self.tell(
            {
                "type": "application", "id": self.ref("A"), **bill.party, "date": self.later(date.fromisoformat(payment["date"])).isoformat(),
                "invoice": bill.doc["id"], "amount": text_of(bill.gross),
            },
            bill.doc, payment,
        )  # fmt: skip
        if self.likely(0.2, "unapplied"):
            after = self.later(date.fromisoformat(put["date"])).isoformat()
            self.tell({"type": "unapplication", "id": self.ref("Y"), "application": put["id"], "date": after}, put)

    def _overpaid(self, bill: Bill) -> None:
        """More came than was due; the rest goes back, or stays."""
        more = self.part(bill.gross)
        payment = self.pay(bill, bill.gross)
        payment["amount"] = text_of(bill.gross + more)
        if self.likely(0.6):
            day = self.later(date.fromisoformat(payment["date"]))
            self.tell(
                {
                    "type": "refund",
                    "id": self.ref("B"),
                    "payment": payment["id"],
                    "amount": text_of(more),
                    "date": day.isoformat(),
                },
                payment,
            )

    def _credited_after(self, bill: Bill) -> None:
        """Credited when it was paid; what the credit note leaves goes back, or stays, in whatever order the two arrive."""
        payment = self.pay(bill, bill.gross)
        net = self.part(round(Fraction(bill.doc["lines"][0]["amount"]) * 100))
        note = self.credit(bill, "1", net, payment, after=date.fromisoformat(payment["date"]))
        if self.likely(0.7) and not bill.tax:
            self.tell(
                {
                    "type": "refund", "id": self.ref("B"), "payment": payment["id"], "amount": text_of(net),
                    "date": self.later(date.fromisoformat(note["date"])).isoformat(),
                },
                payment,
            )  # fmt: skip

    # Contracts

    def contract(self) -> None:
        """A contract with its bills, what changes it, and what becomes of the bills."""
        party = self.customer()
        signed = self.day(FIRST, date(2026, 4, 28)).replace(day=self.one_of(1, 1, 1, 15, self.random.randint(1, 28)))
        ref = self.ref("C")
        promises = [self._promise(ref, number, signed) for number in range(self.one_of(1, 1, 2, 3))]
        together = len(promises) > 1 and self.likely(0.3, "allocated")
        doc = {
            "type": "contract", "id": ref, **party, "signed_on": signed.isoformat(),
            "obligations": [promise.fields() for promise in promises],
        }  # fmt: skip
        if together:
            for promise, item in zip(promises, doc["obligations"], strict=True):
                promise.ssp = promise.price
                item["ssp"] = item.pop("price")
            total = sum(promise.price for promise in promises)
            doc["price"] = text_of(self.one_of(total, total * 9 // 10))
            worth = [promise.price for promise in promises]
            agreed = round(Fraction(doc["price"]) * 100)
            before = 0
            for number, promise in enumerate(promises):
                reached = share(agreed, sum(worth[: number + 1]), total)
                promise.price, before = reached - before, reached
        self.tell(doc)
        self._progress(doc, promises)
        changes = self._changes(doc, promises)
        self._bills(doc, promises, changes)
        if self.likely(0.08, "cost"):
            self.tell(
                {
                    "type": "contract_cost", "id": self.ref("K"), "contract": ref, "date": signed.isoformat(),
                    "amount": text_of(self.cents()), "end": months_on(signed, 12).isoformat(),
                },
                doc,
            )  # fmt: skip

    def _promise(self, ref: str, number: int, signed: date) -> Promise:
        pattern = self.wanted(
            "monthly", "monthly", "monthly", "daily", "daily", "monthly_prorated", "point_in_time", "progress"
        )
        start = signed if self.likely(0.7) else self.later(signed, 60)
        end = days_on(months_on(start, self.one_of(3, 6, 12, 12)), -1)
        if self.likely(0.2):
            end = self.day(days_on(start, 20), end)
        if pattern == "point_in_time":
            start = end = self.later(start, 150)
        ssp = self.cents() if self.likely(0.3) else None
        price = ssp if ssp is not None and self.likely(0.7) else self.cents()
        return Promise(f"{ref}/o{number + 1}", self.product(), price, start, end, pattern, own_price=True, ssp=ssp)

    def _progress(self, doc: Document, promises: list[Promise]) -> None:
        for promise in promises:
            if promise.pattern == "progress":
                done, day, before = 0, promise.start, doc
                for _ in range(self.random.randint(1, 3)):
                    done, day = done + self.random.randint(5, 33), self.later(day)
                    before = self.tell(
                        {
                            "type": "progress", "id": self.ref("S"), "obligation": promise.ref, "date": day.isoformat(),
                            "percent": str(100 if self.likely(0.2) else done),
                        },
                        doc, *([before] if before.get("date") == day.isoformat() else ()),  # of one day the later to come counts
                    )  # fmt: skip
                    if self.told[-1].doc["percent"] == "100":
                        break

    def _changes(self, doc: Document, promises: list[Promise]) -> list[Document]:
        """What changes a contract: at most a few documents, by their dates."""
        found: list[Document] = []
        day = date.fromisoformat(doc["signed_on"])
        for _ in range(self.one_of(0, 1, 1, 2, 2, 3)):
            day = self.later(days_on(day, self.one_of(1, 10, 30)), 150)
            kind = self.wanted(
                "modify", "modify", "modify", "add", "cancel", "estimate", "estimate", "payable", "renew", "terminate"
            )
            made = getattr(self, f"_{kind}")(doc, promises, day)
            if made is not None:
                needs = [
                    change
                    for change in found
                    if change["type"] == "contract_modification" and kind in ("modify", "cancel")
                ]
                if kind == "renew":
                    needs = [change for change in found if change["type"] != "estimate"]
                found.append(self.tell(made, doc, *needs))
                if kind == "terminate":
                    break
        return found

    def _modify(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        chosen = [
            promise
            for promise in promises
            if promise.open and promise.left(day) > 0 and promise.pattern != "point_in_time"
        ]
        if not chosen:
            return None
        promise = self.random.choice(chosen)
        if self.likely(0.7):
            falls = int(promise.price * promise.left(day))
            promise.price += self.one_of(self.part(promise.price), -self.random.randint(0, falls // 2))
        if self.likely(0.3) and promise.pattern != "progress":
            promise.end = min(months_on(promise.end, self.one_of(1, 3)), date(2027, 6, 30))
        if promise.ssp is not None and self.likely(0.5):
            promise.ssp = promise.price
        treatment = self.one_of("auto", "prospective", "prospective", "catch_up")
        if promise.pattern == "progress":
            treatment = "catch_up"
        return {
            "type": "contract_modification", "id": self.ref("M"), "contract": doc["id"], "date": day.isoformat(),
            "treatment": treatment, "obligations": [promise.fields()],
        }  # fmt: skip

    def _add(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        if not any(promise.open for promise in promises):
            return None
        promise = self._promise(doc["id"], len(promises), day)
        if promise.pattern == "progress":
            return None
        promise.start = max(promise.start, day)
        promises.append(promise)
        return {
            "type": "contract_modification", "id": self.ref("M"), "contract": doc["id"], "date": day.isoformat(),
            "obligations": [promise.fields()],
        }  # fmt: skip

    def _cancel(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        chosen = [promise for promise in promises if promise.open and promise.left(day) > 0]
        if len(promises) < 2 or not chosen:
            return None
        promise = self.random.choice(chosen)
        promise.open, promise.price = False, int(promise.price * (1 - promise.left(day)) / 2)
        return {
            "type": "contract_modification", "id": self.ref("M"), "contract": doc["id"], "date": day.isoformat(), "cancel": [promise.ref],
        }  # fmt: skip

    def _estimate(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        if all(promise.left(FIRST) == 0 for promise in promises if promise.open):
            return None
        whole = sum(promise.price for promise in promises)
        return {
            "type": "estimate", "id": self.ref("E"), "contract": doc["id"], "component": self.one_of("bonus", "penalty"),
            "date": day.isoformat(), "amount": text_of(self.one_of(0, self.random.randint(0, whole // 10), -self.random.randint(0, whole // 20))),
        }  # fmt: skip

    def _payable(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        self.loose.add(doc["customer"])
        return {
            "type": "consideration_payable", "id": self.ref("Y"), "contract": doc["id"], "date": day.isoformat(), "reason": "a fair we share",
            "amount": text_of(max(sum(promise.price for promise in promises) // 20, 1)),
        }  # fmt: skip

    def _renew(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        chosen = [
            promise for promise in promises if promise.open and promise.pattern not in ("point_in_time", "progress")
        ]
        if not chosen:
            return None
        promise = self.random.choice(chosen)
        start = days_on(promise.end, 1)
        end = days_on(months_on(start, self.one_of(3, 6)), -1)
        if end >= END:
            return None
        fields = {"id": f"{doc['id']}/r{len(promises) + 1}", "renews": promise.ref, "end": end.isoformat()}
        price = promise.price
        if self.likely(0.5):
            price = self.cents()
            fields["price"] = text_of(price)
        promise.open = False
        promises.append(replace(promise, ref=fields["id"], price=price, start=start, end=end, billed=0, open=False))
        return {
            "type": "contract_renewal", "id": self.ref("Z"), "contract": doc["id"], "date": day.isoformat(), "obligations": [fields],
        }  # fmt: skip

    def _terminate(self, doc: Document, promises: list[Promise], day: date) -> Document | None:
        if not any(promise.left(day) > 0 for promise in promises):
            return None
        for promise in promises:
            promise.price, promise.open = int(promise.price * (1 - promise.left(day))), False
        more = {"ends": self.later(day, 60).isoformat()} if self.likely(0.4) else {}
        if any(promise.pattern == "progress" for promise in promises):
            more = {}  # nobody knows how far that will be
        return {
            "type": "contract_termination", "id": self.ref("X"), "contract": doc["id"], "date": day.isoformat(), "reason": "left", **more,
        }  # fmt: skip

    def _bills(self, doc: Document, promises: list[Promise], changes: list[Document]) -> None:
        """Whole, by quarters or months, ahead or in arrears, before and after what changes the price; or only a part."""
        ended = next((change for change in changes if change["type"] == "contract_termination"), None)
        last = date.fromisoformat(ended["date"]) if ended else LAST
        party = {name: doc[name] for name in ("customer", "entity", "currency")}
        if CONTRACT_LINES and self.likely(0.2, "whole"):
            self._whole(doc, promises, party, {"contract": doc["id"]})
            return
        if len(promises) > 1 and len(promises) == len(doc["obligations"]) and self.likely(0.15, "whole"):
            self._whole(doc, promises, party, {"obligation": promises[0].ref})
            return
        for promise in promises:
            made = [doc, *(change for change in changes if promise.ref in json.dumps(change.get("obligations", ())))][
                : 1 + len(changes)
            ]
            needs = [doc] if promise.ref in json.dumps(doc) else [made[1]] if len(made) > 1 else [doc]
            if self.likely(0.12, "unbilled"):
                continue
            parts = self.one_of(1, 1, 3, 4, 12)
            arrears = self.likely(0.4)
            named = LINE_PERIODS and self.likely(0.4)
            span = (promise.end - promise.start).days + 1
            for number in range(parts):
                start, end = (
                    days_on(promise.start, span * number // parts),
                    days_on(promise.start, span * (number + 1) // parts - 1),
                )
                day = days_on(end, self.one_of(0, 1, 5)) if arrears else days_on(start, self.one_of(0, 0, 0, 10, -5))
                day = max(day, date.fromisoformat(day_of(needs[0])))
                cents = share(promise.price, number + 1, parts) - share(promise.price, number, parts)
                if day > last or cents <= 0 or self.likely(0.05, "skipped"):
                    continue
                line: dict[str, Any] = {"kind": "service", "cents": cents, "obligation": promise.ref}
                if named and end >= start:
                    line |= {"start": start.isoformat(), "end": end.isoformat()}
                self.settle(self.bill(party, day, [line], *needs, term=(promise.start, promise.end)))

    def _whole(self, doc: Document, promises: list[Promise], party: dict[str, str], line: dict[str, Any]) -> None:
        cents = sum(promise.price for promise in promises)
        day = self.later(date.fromisoformat(doc["signed_on"]), 40)
        self.settle(self.bill(party, day, [{"kind": "service", "cents": cents, **line}], doc))

    # Invoices without a contract

    def invoices(self) -> None:
        """Service, one-time lines, an upgrade in mid-month, several lines with and without tax; corrected in all ways."""
        party, product = self.customer(), self.product()
        for _ in range(self.one_of(1, 1, 2, 3)):
            day = self.day(FIRST, date(2026, 8, 31))
            lines, term = [], None
            for _ in range(self.one_of(1, 1, 1, 2, 3)):
                if self.likely(0.75):
                    start = self.one_of(day, days_on(day, self.random.randint(-40, 40)))
                    start = max(start, FIRST)
                    end = self.one_of(
                        days_on(months_on(start, self.one_of(1, 3, 6, 12)), -1),
                        days_on(start, self.random.randint(1, 200)),
                    )
                    pattern = self.one_of("daily", "daily", "monthly", "monthly", "monthly_prorated")
                    lines.append(
                        {
                            "kind": "service", "product": self.product() if lines else product, "cents": self.cents(1_00, 500_00),
                            "start": start.isoformat(), "end": end.isoformat(), "pattern": pattern,
                        }
                    )  # fmt: skip
                    term = term or ((start, end) if len(lines) == 1 else None)
                else:
                    lines.append({"kind": "one_time", "product": product, "cents": self.cents(1_00, 500_00)})
            bill = self.bill(party, day, lines, term=term if len(lines) == 1 else None)
            if bill.term is not None and self.likely(0.25, "upgrade"):
                self._upgrade(bill)
            else:
                self.settle(bill)

    def _upgrade(self, bill: Bill) -> None:
        """In the middle of the term, what is left of a line goes back, and the dearer one is charged."""
        assert bill.term is not None
        start, end = bill.term
        day = max(self.day(start, end), bill.issued)
        if day > end or day > LAST:
            self.settle(bill)
            return
        rest = share(bill.net, (end - day).days + 1, (end - start).days + 1)
        old = bill.doc["lines"][0]
        line = {"kind": "service", "start": day.isoformat(), "end": end.isoformat(), "pattern": old["pattern"]}
        # another line of the product may cover these days, and which of them it is would be told by arrival
        target = {"obligation": f"{bill.doc['id']}/{old['id']}"}
        if rest <= 0:
            return
        self.bill(
            bill.party, day, [line | target | {"cents": -rest}, line | {"product": old["product"], "cents": rest * 2}],
            *([bill.doc] if self.chances.get("upgrade_needs", 1) else []),
        )  # fmt: skip
        # what goes back of a line that was credited by another invoice is told nowhere
        self.pay(bill, bill.gross)

    # Credits and usage

    def wallet(self) -> None:
        """Prepaid credits of a product of their own: billed before or after they are used, given back, expired, corrected."""
        party, product = self.customer(), self.product()
        face = self.random.randint(10, 400) * 2_00
        start = self.day(FIRST, date(2026, 5, 31))
        # half the face where it is not the face itself: fractions of what a credit earns add up by arrival
        price = self.one_of(face, face, face // 2)
        grant = {
            "type": "grant", "id": self.ref("G"), **party, "kind": "prepaid", "amount": text_of(face), "price": text_of(price),
            "effective_on": start.isoformat(), "products": [product],
        }  # fmt: skip
        if self.likely(0.6, "expires"):
            grant["expires_on"] = min(days_on(months_on(start, self.one_of(3, 6)), -1), LAST).isoformat()
        self.tell(grant)
        last = date.fromisoformat(grant.get("expires_on", LAST.isoformat()))
        left = face
        usage: list[Document] = []
        for _ in range(self.random.randint(0, 5)):
            cents = self.random.randint(0, left // 2) * 2 // 2
            cents -= cents % 2
            if cents > 0:
                left -= cents
                usage.append(self._use(party, product, self.day(start, last), cents, grant))
        line = {"kind": "prepaid", "grant": grant["id"], "cents": price, "product": product}
        bill = self.bill(party, self.later(start, 60), [line], grant)
        how = self.one_of("settle", "settle", "return", "correct")
        if how == "settle":
            self._back_not(bill)
        elif how == "return" and left > 0:
            day = max([date.fromisoformat(day_of(doc)) for doc in [bill.doc, *usage]])
            if day <= last:
                self.tell(
                    {
                        "type": "grant_return", "id": self.ref("Q"), "customer": party["customer"], "grant": grant["id"],
                        "date": self.day(day, last).isoformat(), "reason": "left", "amount": text_of(left),
                    },
                    grant, bill.doc, *usage,
                )  # fmt: skip
        elif how == "correct":
            # what is used counts by arrival: it comes before what takes its bill back
            day = max([date.fromisoformat(day_of(doc)) for doc in [bill.doc, *usage]])
            if self.likely(0.5):
                self._give_up(bill, self.part(bill.gross), *usage, last=day.isoformat())
            else:
                self.credit(bill, "1", self.part(bill.net), *usage, after=day)

    def _back_not(self, bill: Bill) -> None:
        if self.likely(0.8):
            self.pay(bill, bill.gross)

    def _use(self, party: dict[str, str], product: str, day: date, cents: int, *needs: Document) -> Document:
        return self.tell(
            {
                "type": "usage", "id": self.ref("U"), **party, "product": product, "date": day.isoformat(), "quantity": str(cents),
                "unit_price": "0.01",
            },
            *needs,
        )  # fmt: skip

    def order(self) -> None:
        """Paid credits with a bonus that shares their price; which of them a draw takes is told by arrival."""
        party, product = self.customer(), self.product()
        face = self.random.randint(10, 300) * 4_00
        start = self.day(FIRST, date(2026, 5, 31))
        order = self.ref("order")
        common = {"type": "grant", **party, "effective_on": start.isoformat(), "products": [product], "contract": order}
        if self.likely(0.6, "expires"):
            common["expires_on"] = LAST.isoformat()
        paid = self.tell(common | {"id": self.ref("G"), "kind": "prepaid", "amount": text_of(face)})
        bonus = {
            "id": self.ref("G"),
            "kind": "promotional",
            "amount": text_of(self.one_of(face, face // 4)),
            "priority": 1,
        }
        free = self.tell(common | bonus, paid)
        needs, left = [paid, free], face
        for _ in range(self.random.randint(1, 4)):
            cents = self.random.randint(1, left // 4 + 1) * 4
            if cents <= left:
                left -= cents
                needs.append(self._use(party, product, self.day(start, LAST), cents, *needs))
        line = {"kind": "prepaid", "grant": paid["id"], "cents": face, "product": product}
        self._back_not(self.bill(party, self.later(start, 60), [line], paid))

    def free(self) -> None:
        """Credits given away."""
        party, product = self.customer(), self.product()
        face = self.cents()
        start = self.day(FIRST, date(2026, 5, 31))
        grant = {
            "type": "grant", "id": self.ref("G"), **party, "kind": self.one_of("promotional", "pilot"), "amount": text_of(face),
            "effective_on": start.isoformat(), "products": [product], "expires_on": months_on(start, 5).isoformat(),
        }  # fmt: skip
        self.tell(grant)
        for _ in range(self.random.randint(0, 3)):
            cents = self.random.randint(0, face // 3)
            if cents:
                self._use(party, product, self.day(start, months_on(start, 5)), cents, grant)

    def commitment(self) -> None:
        """Usage that counts towards a commitment, its bills, and the shortfall."""
        party, product = self.customer(), self.product()
        face = self.cents(100_00)
        start = self.day(FIRST, date(2026, 4, 30))
        last = days_on(months_on(start, 3), -1)
        grant = self.tell(
            {
                "type": "grant", "id": self.ref("G"), **party, "kind": "commitment", "amount": text_of(face),
                "effective_on": start.isoformat(), "expires_on": last.isoformat(), "products": [product],
            }
        )  # fmt: skip
        used = [
            self._use(party, product, self.day(start, last), max(self.random.randint(1, face // 4), 1), grant)
            for _ in range(self.random.randint(0, 3))
        ]
        whole = sum(int(doc["quantity"]) for doc in used)
        if used and self.likely(0.7):
            day = max(date.fromisoformat(day_of(doc)) for doc in used)
            self.settle_usage(
                self.bill(party, self.later(day, 30), [{"kind": "usage", "product": product, "cents": whole}], *used)
            )
        if self.likely(0.7):
            line = {"kind": "shortfall", "grant": grant["id"], "cents": face - whole, "product": product}
            self._back_not(self.bill(party, self.later(last, 20), [line], grant))

    def metered(self) -> None:
        """Usage without credits, and what bills it."""
        party, product = self.customer(), self.product()
        used = [
            self._use(party, product, self.day(FIRST, date(2026, 9, 30)), self.cents(1_00, 300_00))
            for _ in range(self.one_of(1, 2, 4))
        ]
        whole = sum(int(doc["quantity"]) for doc in used)
        if self.likely(0.2, "corrected_usage"):
            old = self.random.choice(used)
            corrected = {
                **old, "id": self.ref("U"), "supersedes": old["id"],
                "quantity": str(int(old["quantity"]) + self.random.randint(-int(old["quantity"]) // 2, 5000)),
            }  # fmt: skip
            whole += int(corrected["quantity"]) - int(old["quantity"])
            used.append(self.tell(corrected, old))
        if self.likely(0.85):
            day = max(date.fromisoformat(day_of(doc)) for doc in used)
            self.settle_usage(
                self.bill(party, self.later(day, 40), [{"kind": "usage", "product": product, "cents": whole}], *used)
            )

    def settle_usage(self, bill: Bill) -> None:
        if self.likely(0.3, "credited_usage"):
            self.credit(bill, "1", self.part(bill.net // 2), after=bill.issued)
        else:
            self.settle(bill, depth=1)


STORIES = (
    "contract",
    "contract",
    "contract",
    "contract",
    "invoices",
    "invoices",
    "wallet",
    "order",
    "free",
    "commitment",
    "metered",
)


def tell(seed: int, *stories: str, count: int | None = None, **chances: float) -> History:
    """A history of a few stories."""
    teller = Teller(seed, chances)
    for _ in range(count or teller.one_of(1, 1, 2, 3)):
        getattr(teller, teller.one_of(*(stories or STORIES)))()
    return teller.history()
