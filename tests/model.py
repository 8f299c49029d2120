"""A small independent model of what documents do to balances: plain dictionaries, written from what docs/documents.md and its pages say.

One customer, one entity, one currency, no closed month. It takes the documents that were accepted and says what every
balance must be; where a document could not have been accepted, it says so by an assertion. Amounts are in cents.

Beside it, `Earnings` says what contracts and invoices earn by month, and what corrections do to it, from the accounting policy's words.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

VAT = Fraction(19, 100)
KINDS = ["promotional", "pilot", "prepaid", "commitment"]  # the order in which usage draws on them
FOR_EVER = "9999-12-31"


def cents(amount: str) -> int:
    return int(Decimal(amount) * 100)


def part_of(total: int, part: int, whole: int) -> int:
    """A share, ties to even."""
    return round(Fraction(total * part, whole)) if whole else 0


def vat(net: int) -> int:
    """19 %, ties away from zero."""
    exact = net * VAT
    return int(exact + Fraction(1, 2)) if exact >= 0 else -int(-exact + Fraction(1, 2))


class Account:
    """Amounts by day; what may be taken on a day is the least the balance is from that day on."""

    def __init__(self) -> None:
        self.by_day: Counter[str] = Counter()

    def add(self, day: str, amount: int) -> None:
        self.by_day[day] += amount

    @property
    def total(self) -> int:
        return sum(self.by_day.values())

    def on(self, day: str) -> int:
        return sum(amount for known, amount in self.by_day.items() if known <= day)

    def available(self, day: str) -> int:
        return max(min(self.on(later) for later in [day, *(known for known in self.by_day if known > day)]), 0)


class Money:
    """Whose money lies where: by payment, invoice ("" for the balance) and, there, the invoice that left it; oldest first."""

    def __init__(self) -> None:
        self.lying: dict[tuple[str, str, str], Account] = {}

    def put(self, payment: str, invoice: str, origin: str, amount: int, day: str) -> None:
        self.lying.setdefault((payment, invoice, origin), Account()).add(day, amount)

    def standing(self, day: str, *, payment: str = "", invoice: str | None = None) -> list[list[Any]]:
        """[place, amount] of what lies somewhere from a day on, by the day it came there."""
        found = [
            [place, account.available(day)]
            for place, account in self.lying.items()
            if payment in ("", place[0]) and invoice in (None, place[1]) and account.available(day) > 0
        ]
        return sorted(found, key=lambda item: min(self.lying[item[0]].by_day))

    def move(
        self, amount: int, day: str, of: str, to: tuple[str, str], *, last: bool = False, payment: str = ""
    ) -> None:
        """Take from an invoice, or the balance, what lies there on the day; where that is not enough, what lies there at all."""
        for known in (day, FOR_EVER):
            pieces = self.standing(known, invoice=of, payment=payment)
            if sum(there for _, there in pieces) >= amount:
                break
        for place, there in reversed(pieces) if last else pieces:
            part = min(there, amount)
            if part:
                self.put(*place, -part, day)
                self.put(place[0], *to, part, day)
                amount -= part
        assert amount == 0, "never more than lies there"

    def off_balance(self, payment: str, amount: int, day: str) -> int:
        """Take a payment's money off the balance, or what changes places with it: what an invoice left that it settles."""
        whole = amount
        for place, there in self.standing(day, payment=payment, invoice=""):
            part = min(there, amount)
            self.put(*place, -part, day)
            amount -= part
        for own, settled in self.standing(day, payment=payment):
            lying = settled
            for place, there in self.standing(day, invoice=""):
                if own[1] and place[0] != payment and place[2] == own[1]:
                    part = min(there, lying, amount)
                    self.put(*place, -part, day)
                    self.put(place[0], own[1], "", part, day)
                    self.put(*own, -part, day)
                    lying -= part
                    amount -= part
        return whole - amount


class Line:
    """What an invoice line still bills, and of its tax."""

    def __init__(self, fields: dict[str, Any], subject: str) -> None:
        self.id, self.kind, self.subject = fields["id"], fields["kind"], subject
        self.net = cents(fields["amount"])
        self.taxed = bool(fields.get("tax_codes"))
        self.base = self.net if self.taxed else 0
        self.tax = vat(self.net) if self.taxed else 0

    @property
    def gross(self) -> int:
        return self.net + self.tax


class Model:
    def __init__(self) -> None:
        self.cash = self.fees = self.tax = self.base = self.opening = 0
        self.balance = Account()
        self.due: dict[str, Account] = defaultdict(Account)  # by invoice
        self.disputed: dict[str, Account] = defaultdict(Account)  # by payment
        # what was billed for a thing, less what was given back of it, wherever it stands by now
        self.billed: Counter[str] = Counter()
        self.recovered: Counter[str] = Counter()  # by invoice
        self.invoices: dict[str, dict[str, Any]] = {}
        self.payments: dict[str, dict[str, Any]] = {}
        self.money = Money()
        self.write_offs: dict[str, dict[str, Any]] = {}
        self.grants: dict[str, dict[str, Any]] = {}
        self.usage: dict[str, dict[str, Any]] = {}
        self.drawn: list[dict[str, Any]] = []  # what usage drew at once, as it came in
        self.again: list[tuple[str, int]] = []
        self.rated = Decimal(0)
        self.posted = 0

    def apply(self, doc: dict[str, Any]) -> None:
        getattr(self, f"_{doc['type']}")(doc)

    # Wallets and usage

    def _grant(self, doc: dict[str, Any]) -> None:
        free = doc["kind"] == "promotional" or (doc["kind"] == "pilot" and "price" not in doc)
        self.grants[doc["id"]] = {
            "ref": doc["id"], "kind": doc["kind"], "face": cents(doc["amount"]), "drawn": 0, "gone": 0, "free": free,
            "from": doc["effective_on"], "to": doc.get("expires_on", FOR_EVER), "money": Account(),
            # of its price: what was earned, what left it otherwise, and what of that may be billed again
            "earned": 0, "moved": 0, "voided": 0, "voided_face": 0,
        }  # fmt: skip

    @staticmethod
    def _left(grant: dict[str, Any]) -> int:
        return int(grant["face"] - grant["drawn"] - grant["gone"])

    @staticmethod
    def _price_left(grant: dict[str, Any]) -> int:
        return int(grant["face"] - grant["earned"] - grant["moved"])

    def _worth(self, grant: dict[str, Any], face: int) -> int:
        """What so many credits not used are worth: all credits at face value, until a part left at another."""
        if not grant["gone"] and not grant["moved"]:
            return face
        return min(part_of(self._price_left(grant), face, self._left(grant)), self._price_left(grant))

    def _usage(self, doc: dict[str, Any]) -> None:
        day = doc["date"]
        if "supersedes" in doc:
            old = self.usage.pop(doc["supersedes"])
            self.rated -= old["rated"]
            for entry in old["entries"]:
                self._return(entry, entry["over"] + sum(face for _, face in entry["draws"]), entry["day"])
        rated = Decimal(doc["amount"]) if "amount" in doc else Decimal(doc["quantity"]) * Decimal(doc["unit_price"])
        self.rated += rated
        assert self.rated >= 0, "no more falls than was rated"
        whole = int((self.rated * 100).to_integral_value(ROUND_HALF_EVEN))
        due = whole - self.posted
        self.usage[doc["id"]] = {"rated": rated, "entries": []}
        if due > 0:
            self.usage[doc["id"]]["entries"].append(self._draw(due, day))
        for entry in reversed(self.drawn):
            if due >= 0:
                break
            part = min(-due, entry["over"] + sum(face for _, face in entry["draws"]))
            self._return(entry, part, day)
            due += part
        assert due >= 0, "as much was drawn as falls"

    def _draw(self, wanted: int, day: str) -> dict[str, Any]:
        """Draw usage on what is left, in the order of the grants."""
        self.posted += wanted
        draws = []
        order = sorted(self.grants.values(), key=lambda g: (g["to"], KINDS.index(g["kind"]), g["from"], g["ref"]))
        for grant in order:
            face = min(wanted, self._left(grant)) if grant["from"] <= day <= grant["to"] else 0
            if face:
                money = self._worth(grant, face)
                grant["drawn"] += face
                grant["earned"] += money
                grant["money"].add(day, -money)
                draws.append((grant["ref"], face))
                wanted -= face
        self.drawn.append({"day": day, "draws": draws, "over": wanted})
        return self.drawn[-1]

    def _return(self, entry: dict[str, Any], amount: int, day: str) -> None:
        """Give back a part of what was drawn at once: what no grant covered first, then the last grant."""
        self.posted -= amount
        part = min(amount, entry["over"])
        entry["over"] -= part
        amount -= part
        while amount:
            ref, face = entry["draws"].pop()
            part = min(amount, face)
            if part < face:
                entry["draws"].append((ref, face - part))
            self._return_to(self.grants[ref], part, day)
            amount -= part

    def _return_to(self, grant: dict[str, Any], face: int, day: str) -> None:
        money = part_of(grant["earned"], face, grant["drawn"]) if grant["gone"] or grant["moved"] else face
        grant["drawn"] -= face
        grant["earned"] -= money
        grant["money"].add(day, money)

    def _take_credits(self, line: Line, amount: int, day: str, kind: str) -> tuple[int, int]:
        """A bill of credits is taken back: unused ones go with it, after what was drawn on a later day is drawn again."""
        grant = self.grants[line.subject.removeprefix("grant:")]
        money = grant["money"]
        again: list[tuple[str, int]] = []
        later = sorted(
            (entry for entry in self.drawn if entry["day"] > day), key=lambda entry: str(entry["day"])
        ) if kind != "void" else []  # fmt: skip
        for entry in reversed(later):
            for place, (ref, face) in reversed(list(enumerate(entry["draws"]))):
                needed = amount - money.available(day)
                if ref == grant["ref"] and needed > 0 and grant["earned"]:
                    part = min(face, -(-needed * grant["drawn"] // grant["earned"]))
                    entry["draws"][place : place + 1] = [(ref, face - part)] if part < face else []
                    self.posted -= part
                    self._return_to(grant, part, entry["day"])
                    again.insert(0, (entry["day"], part))
        unused = min(amount, money.available(day), self._price_left(grant))
        left = self._price_left(grant)
        face = self._left(grant) if unused == left else part_of(self._left(grant), unused, left)
        if unused:
            grant["gone"] += face
            grant["moved"] += unused
        money.add(day, -unused)
        used = amount - unused
        if kind == "void":
            money.add(day, -used)
            grant["voided"] += unused
            grant["voided_face"] += face if unused else 0
        elif kind == "credit":
            grant["earned"] -= used
            grant["moved"] += used
        self.again += again
        return (face, unused) if unused else (0, 0)

    def _draw_again(self) -> None:
        """What was drawn on credits that went with their bill."""
        again, self.again = self.again, []
        for day, face in again:
            self._draw(face, day)

    def _grant_return(self, doc: dict[str, Any]) -> None:
        grant = self.grants[doc["grant"]]
        face = cents(doc["amount"]) if "amount" in doc else self._left(grant)
        assert not grant["free"]
        assert 0 < face <= self._left(grant)
        worth = self._worth(grant, face)
        credited = min(worth, grant["money"].available(doc["date"]))
        grant["gone"] += face
        grant["moved"] += worth
        for ref in reversed(self.invoices):
            lines = [line for line in self.invoices[ref]["lines"] if line.subject == f"grant:{doc['grant']}"]
            if lines and credited:
                net = min(credited, lines[0].net)
                self._credit(ref, doc["date"], [self._lower(lines[0], net)])
                grant["money"].add(doc["date"], -net)
                credited -= net

    # Invoices

    def _subject(self, ref: str, line: dict[str, Any]) -> str:
        if line["kind"] in ("prepaid", "shortfall"):
            return f"grant:{line['grant']}"
        if line["kind"] == "usage":
            return f"usage:{line['product']}"
        return f"obligation:{line.get('obligation') or ref + '/' + line['id']}"

    def _invoice(self, doc: dict[str, Any]) -> None:
        if "supersedes" in doc and any(
            line.gross for line in self.invoices[doc["supersedes"]]["lines"]
        ):  # else a void did
            self._take_back(doc["supersedes"], doc["issued_on"])
        lines = [Line(line, self._subject(doc["id"], line)) for line in doc["lines"]]
        self.invoices[doc["id"]] = {"issued": doc["issued_on"], "lines": lines}
        for line in lines:
            self.billed[line.subject] += line.net
            self.tax += line.tax
            self.base += line.base
            self._fund(line, line.net, doc["issued_on"])
        self.due[doc["id"]].add(doc["issued_on"], sum(line.gross for line in lines))

    def _fund(self, line: Line, amount: int, day: str) -> None:
        """What a line means for its grant: money for it, and where it is billed again, the credits that had gone."""
        if line.kind != "prepaid":
            return
        grant = self.grants[line.subject.removeprefix("grant:")]
        used = max(-grant["money"].total, 0)
        back = min(grant["voided"], max(amount - used, 0))
        if back:
            face = (
                grant["voided_face"]
                if back == grant["voided"]
                else part_of(grant["voided_face"], back, grant["voided"])
            )
            grant["gone"] -= face
            grant["moved"] -= back
            grant["voided"] -= back
            grant["voided_face"] -= face
        grant["money"].add(day, amount)

    def _lower(self, line: Line, net: int, subject: str | None = None) -> int:
        """Take an amount of a line back with its share of tax; what that is together."""
        tax, base = (
            (line.tax, line.base)
            if net == line.net
            else (part_of(line.tax, net, line.net), part_of(line.base, net, line.net))
        )
        assert 0 <= net <= line.net
        self._give(line, net, tax, base)
        if subject is not None:
            self.billed[line.subject] += net
            self.billed[subject] -= net
        return net + tax

    def _lower_gross(self, line: Line, gross: int) -> tuple[int, int, int]:
        """Take a gross amount of a line back; its net amount, tax and taxable base."""
        whole = line.gross
        tax, base = part_of(line.tax, gross, whole), part_of(line.base, gross, whole)
        self._give(line, gross - tax, tax, base)
        return gross - tax, tax, base

    def _give(self, line: Line, net: int, tax: int, base: int) -> None:
        line.net -= net
        line.tax -= tax
        line.base -= base
        self.billed[line.subject] -= net
        self.tax -= tax
        self.base -= base

    def _credit(self, ref: str, day: str, amounts: list[int]) -> None:
        """A credit settles what is due, the rest is the customer's."""
        total = sum(amounts)
        settled = min(total, self.due[ref].available(day))
        self.due[ref].add(day, -settled)
        self.balance.add(day, total - settled)
        self.money.move(total - settled, day, ref, ("", ref), last=True)

    def _take_back(self, ref: str, day: str) -> None:
        invoice = self.invoices[ref]
        assert day >= invoice["issued"]
        whole = sum(line.gross for line in invoice["lines"])
        assert whole > 0
        assert self.due[ref].available(day) == whole, "nothing was paid of it"
        for line in invoice["lines"]:
            if line.kind == "prepaid":
                self._take_credits(line, line.net, day, "void")
            self._lower(line, line.net)
        self.due[ref].add(day, -whole)

    def _invoice_void(self, doc: dict[str, Any]) -> None:
        self._take_back(doc["invoice"], doc["date"])

    def _credit_note(self, doc: dict[str, Any]) -> None:
        invoice = self.invoices[doc["invoice"]]
        assert doc["date"] >= invoice["issued"]
        amounts = []
        for asked in doc["lines"]:
            (line,) = [line for line in invoice["lines"] if line.id == asked["line"]]
            own = f"obligation:{doc['id']}/{line.id}" if "start" in asked else None
            if own is None and line.kind == "prepaid":
                self._take_credits(line, cents(asked["amount"]), doc["date"], "credit")
            amounts.append(self._lower(line, cents(asked["amount"]), own))
        self._credit(doc["invoice"], doc["date"], amounts)
        self._draw_again()

    # Money

    def _payment(self, doc: dict[str, Any]) -> None:
        amount = cents(doc["amount"])
        self.cash += amount - cents(doc.get("fee", "0"))
        self.fees += cents(doc.get("fee", "0"))
        self.balance.add(doc["date"], amount)
        self.money.put(doc["id"], "", "", amount, doc["date"])
        for item in doc.get("applications", ()):
            self._settle(item["invoice"], cents(item["amount"]), doc["date"], doc["id"])
        self.payments[doc["id"]] = {"day": doc["date"], "left": amount}

    def _settle(self, ref: str, amount: int, day: str, payment: str = "") -> None:
        day = max(day, self.invoices[ref]["issued"])
        assert amount <= self.due[ref].available(day), "never more than is due"
        self.due[ref].add(day, -amount)
        self.balance.add(day, -amount)
        self.money.move(amount, day, "", (ref, ""), payment=payment)

    def _application(self, doc: dict[str, Any]) -> None:
        amount = cents(doc["amount"])
        day = max(doc["date"], self.invoices[doc["invoice"]]["issued"])
        if "from_invoice" in doc:
            day = max(day, self.invoices[doc["from_invoice"]]["issued"])
            self.due[doc["from_invoice"]].add(day, amount)
            self.due[doc["invoice"]].add(day, -amount)
            self.money.move(amount, day, doc["from_invoice"], (doc["invoice"], ""), last=True)
            return
        assert amount <= self.balance.available(day), "never more than the customer has"
        self._settle(doc["invoice"], amount, day)

    def _reached(self, payment: str, day: str) -> dict[str, int]:
        """Which invoices a payment settles from a day on, by how much; and, where its money is put there later, from then on."""
        by_then = self.money.standing(day, payment=payment)
        found = {place[1]: amount for place, amount in by_then if place[1]}
        if sum(amount for _, amount in by_then) < self.payments[payment]["left"]:
            for place, amount in self.money.standing(FOR_EVER, payment=payment):
                if place[1]:
                    found[place[1]] = max(amount, found.get(place[1], 0))
        return found

    def _give_back(self, payment: str, amount: int, day: str) -> None:
        """Money of what a payment settled goes back: of each line in proportion to what is left of it."""
        for ref, paid in self._reached(payment, day).items():
            lines = self.invoices[ref]["lines"]
            of_invoice = min(amount, paid, sum(line.gross for line in lines))
            self._split(lines, of_invoice, day)
            self.money.put(payment, ref, "", -of_invoice, day)
            amount -= of_invoice
        self._draw_again()
        assert amount == 0, "never more than was settled"

    def _split(self, lines: list[Line], amount: int, day: str) -> list[dict[str, Any]]:
        whole, reached, before, found = sum(line.gross for line in lines), 0, 0, []
        for line in lines:
            reached += line.gross
            now = part_of(amount, reached, whole)
            net, tax, base = self._lower_gross(line, now - before)
            face, money = self._take_credits(line, net, day, "back") if line.kind == "prepaid" else (0, 0)
            found.append({"line": line, "net": net, "tax": tax, "base": base, "face": face, "money": money})
            before = now
        return found

    def _refund(self, doc: dict[str, Any]) -> None:
        payment, amount = self.payments[doc["payment"]], cents(doc["amount"])
        assert amount <= payment["left"]
        payment["left"] -= amount
        self.cash -= amount
        most = min(amount, self.balance.available(doc["date"]))
        unapplied = self.money.off_balance(doc["payment"], most, doc["date"])
        self.balance.add(doc["date"], -unapplied)
        self._give_back(doc["payment"], amount - unapplied, doc["date"])

    def _dispute(self, doc: dict[str, Any]) -> None:
        payment, amount = self.payments[doc["payment"]], cents(doc["amount"])
        held = self.disputed[doc["payment"]]
        if doc["status"] == "opened":
            assert amount <= payment["left"] - held.available(doc["date"])
            self.cash -= amount
            held.add(doc["date"], amount)
            return
        assert amount <= held.available(doc["date"])
        held.add(doc["date"], -amount)
        if doc["status"] == "won":
            self.cash += amount
            return
        payment["left"] -= amount
        reach = sum(
            min(paid, sum(line.gross for line in self.invoices[ref]["lines"]))
            for ref, paid in self._reached(doc["payment"], doc["date"]).items()
        )
        of_invoices = min(amount, reach)
        assert amount - of_invoices <= self.balance.available(doc["date"])
        self._give_back(doc["payment"], of_invoices, doc["date"])
        rest = amount - of_invoices
        assert self.money.off_balance(doc["payment"], rest, doc["date"]) == rest
        self.balance.add(doc["date"], -rest)

    def _write_off(self, doc: dict[str, Any]) -> None:
        due = self.due[doc["invoice"]].available(doc["date"])
        amount = cents(doc["amount"]) if "amount" in doc else due
        assert 0 < amount <= due
        parts = self._split(self.invoices[doc["invoice"]]["lines"], amount, doc["date"])
        self._draw_again()
        self.due[doc["invoice"]].add(doc["date"], -amount)
        self.write_offs[doc["id"]] = {"invoice": doc["invoice"], "amount": amount, "back": 0, "parts": parts}

    def _recovery(self, doc: dict[str, Any]) -> None:
        lost, amount = self.write_offs[doc["write_off"]], cents(doc["amount"])
        before, after = lost["back"], lost["back"] + amount
        assert after <= lost["amount"]
        lost["back"] = after
        self.cash += amount
        written = lost["amount"]
        taxes = before_taxes = 0
        for part in lost["parts"]:
            before_taxes += part_of(part["tax"], before, written)
            taxes += part_of(part["tax"], after, written) - part_of(part["tax"], before, written)
            self.base += part_of(part["base"], after, written) - part_of(part["base"], before, written)
        self.tax += taxes
        # bad debt first, then what is to come: the credits that went with the bill
        credits_taken = sum(part["money"] for part in lost["parts"])
        bad_debt = sum(part["net"] for part in lost["parts"]) - credits_taken
        start = before - before_taxes - bad_debt
        first, last = (min(max(point, 0), credits_taken) for point in (start, start + amount - taxes))
        reached = 0
        for part in lost["parts"]:
            if part["money"]:
                was, now = (min(max(point - reached, 0), part["money"]) for point in (first, last))
                reached += part["money"]
                grant = self.grants[part["line"].subject.removeprefix("grant:")]
                face = part_of(part["face"], now, part["money"]) - part_of(part["face"], was, part["money"])
                grant["gone"] -= face
                grant["moved"] -= now - was
                grant["money"].add(doc["date"], now - was)
                self.billed[part["line"].subject] += now - was
        self.recovered[lost["invoice"]] += amount - taxes - (last - first)

    # The rest

    def _manual_entry(self, doc: dict[str, Any]) -> None:
        for line in doc["lines"]:
            subject = line["credit_subject"]
            self.opening -= cents(line["amount"])
            self.billed[subject] += cents(line["amount"])
            self.grants[subject.removeprefix("grant:")]["money"].add(doc["date"], cents(line["amount"]))

    def _contract(self, _doc: dict[str, Any]) -> None:
        """What is promised posts nothing."""

    _contract_modification = _contract_renewal = _contract_termination = _estimate = _contract


# What is earned, and what corrections do to it: a second opinion, day by day


def _day(text: str) -> date:
    return date.fromisoformat(text)


class Promised:
    """An obligation as amounts by the day they are of and the day from which they count: nothing is rounded.

    `of` maps (day of service, day it counts from) to an amount. What is earned by a day is the sum of what counts by then. The
    `edition` is what is earned since the last modification, by day of service: a credit note is spread as that is.
    """

    def __init__(
        self,
        price: Fraction,
        pattern: str,
        start: date,
        end: date,
        known: date,
        *,
        contract: str | None = None,
        ssp: int | None = None,
    ) -> None:
        self.contract, self.ssp = contract, ssp
        self.said = price  # by its documents, whatever pooling made of it
        self.agreed = self.stated = price  # `stated` last by a document: of one that ended, it may still be billed
        # what credit notes and write-offs take off the price lies on top of what later modifications state
        self.on_top = Fraction(0)
        self.of: defaultdict[tuple[date, date], Fraction] = defaultdict(Fraction)
        # what was earned before the terms were caught up, taken back on that day
        self.caught: defaultdict[tuple[date, date], Fraction] = defaultdict(Fraction)
        self.curve: dict[date, Fraction] = weights(pattern, start, end)
        self.edition: dict[date, Fraction] = {}
        self.ended = False
        self._spread(price, date.min, known)

    def _spread(self, rest: Fraction, since: date, known: date) -> None:
        """Earn an amount over what remains of the curve from a day on; at once where nothing remains."""
        left = {day: part for day, part in self.curve.items() if day >= since}
        whole = sum(left.values())
        self.edition = {day: rest * part / whole for day, part in left.items()} if whole else {known: rest}
        for day, amount in self.edition.items():
            self.of[day, max(day, known)] += amount

    def earned(self, by: date) -> Fraction:
        return sum((amount for (_, counts), amount in self._all() if counts <= by), Fraction(0))

    def _all(self) -> list[tuple[tuple[date, date], Fraction]]:
        return [*self.of.items(), *self.caught.items()]

    def by_given(self) -> list[tuple[date, date, Fraction]]:
        """Days of service, when each is given, and amounts: what a credit note takes off is of the days it was given on."""
        return [
            (service, min(service, counts) if amount < 0 else counts, amount)
            for (service, counts), amount in self.of.items()
        ] + [(service, counts, amount) for (service, counts), amount in self.caught.items()]

    def within(self, start: date, end: date) -> Fraction:
        """What is earned over a period."""
        return sum((amount for service, _, amount in self.by_given() if start <= service <= end), Fraction(0))

    def given(self, by: date, start: date, end: date) -> Fraction:
        """How much of what a period covers is given by a day: what is earned of it, of all that is."""
        covered = [(counts, amount) for service, counts, amount in self.by_given() if start <= service <= end]
        whole = self.within(start, end)
        return min(
            max(sum((amount for counts, amount in covered if counts <= by), Fraction(0)) / whole, Fraction(0)),
            Fraction(1),
        )

    @property
    def price(self) -> Fraction:
        return sum((amount for _, amount in self._all()), Fraction(0))

    def left(self, day: date) -> Fraction:
        """What is still to be earned from a day on."""
        return self.price - self.earned(day - timedelta(days=1))

    def _forget_from(self, day: date) -> Fraction:
        """Drop what would count from a day on; what was earned before."""
        for kept in (self.of, self.caught):
            for key in [key for key in kept if key[1] >= day]:
                del kept[key]
        return self.price

    def prospective(self, day: date, agreed: Fraction) -> None:
        """What was earned by the day before stays; what is left of the price is earned over what remains of the term."""
        self.agreed = agreed
        before = self._forget_from(day)
        self._spread(agreed + self.on_top - before, day, day)

    def catch_up(self, day: date, agreed: Fraction) -> None:
        """The price counts from the start, the difference at once."""
        self.agreed = agreed
        self._forget_from(day)
        for service, _, amount in [*self.by_given()]:
            self.caught[service, day] -= amount
        self._spread(agreed + self.on_top, date.min, day)

    def stop(self, last: date, day: date = date.max) -> None:
        """Nothing is promised after a day: what is given until then is earned as it was."""
        for kept in (self.of, self.caught):
            for key in [key for key in kept if key[0] > last]:
                del kept[key]
        # with notice the price is still spread over what is given until then
        self.edition = {service: amount for service, amount in self.edition.items() if day <= last and service <= last}
        self.agreed = self.price - self.on_top
        self.ended = True

    def to_come_ends(self, day: date, amount: Fraction) -> Fraction:
        """A part of what is to come is given up: the rest of it is earned over what remains. What is more than there is is returned."""
        # what was given is not to come, though it counts only now: of a bill, or a modification, of this day
        coming = {key: value for key, value in self.of.items() if key[0] >= day and key[1] >= day}
        whole = sum(coming.values(), Fraction(0))
        asked, amount = amount, min(amount, max(whole, Fraction(0)))
        taken = {key: value * amount / whole for key, value in coming.items()} if amount else {}
        for key, value in taken.items():
            self.of[key] -= value
        self.on_top -= amount
        for (service, _), value in taken.items():
            if service in self.edition:
                self.edition[service] -= value
        return asked - amount

    def lower(self, day: date, amount: Fraction, until: date = date.max) -> None:
        """A lower price: what was given of it is earned less at once, spread as the price is since its last modification.

        What is more than that comes out of what was earned before, at once (silent in the policy: otherwise the months
        after would earn less than nothing for no document of theirs).
        """
        edition = {service: value for service, value in self.edition.items() if service <= until}
        whole = sum(edition.values(), Fraction(0))
        spread = min(amount, max(whole, Fraction(0)))
        for service, value in edition.items() if spread else ():
            self.of[service, max(service, day)] -= spread * value / whole
            self.edition[service] -= spread * value / whole
        self.of[day, day] -= amount - spread
        self.on_top -= amount

    def lower_over(self, day: date, amount: Fraction, start: date, end: date, beyond: Fraction = Fraction(0)) -> None:
        """What was promised over a period ends, in proportion to what is still earned over it; what is more is a lower price."""
        by_day: defaultdict[date, Fraction] = defaultdict(Fraction)
        for (service, _), value in self._all():
            if start <= service <= end:
                by_day[service] += value
        whole = sum(by_day.values(), Fraction(0))
        within = min(amount, max(whole, Fraction(0)))
        for service, value in by_day.items() if within else ():
            self.of[service, max(service, day)] -= within * value / whole
            if service in self.edition:
                self.edition[service] -= within * value / whole
        self.on_top -= within
        if amount - within > beyond:
            # the months after the period carry nothing of it; what was billed beyond the price goes back before the price falls
            self.lower(day, amount - within - beyond, end)

    def take_back(self, day: date) -> None:
        """A void of the bill that is its price: all of it, what was earned too."""
        for (service, counts), value in list(self.of.items()):
            self.of[service, max(counts, day)] -= value
        self.edition = {}


def weights(pattern: str, start: date, end: date) -> dict[date, Fraction]:
    """How a price is earned by day: each day counts as one, as its part of its month, or a month counts on the day it begins."""
    days = [start + timedelta(days=number) for number in range((end - start).days + 1)]
    if pattern == "point_in_time":
        return {start: Fraction(1)}
    if pattern == "daily":
        return dict.fromkeys(days, Fraction(1))
    if pattern == "monthly_prorated":
        return {day: Fraction(1, monthrange(day.year, day.month)[1]) for day in days}
    assert pattern == "monthly"
    return {day: Fraction(1) for day in days if day.day == min(start.day, monthrange(day.year, day.month)[1])}


class Covering:
    """A line of a bill, and what it covers of its obligation."""

    def __init__(self, bill: str, line: dict[str, Any], promised: Promised, issued: date, *, own: bool) -> None:
        self.bill, self.id, self.promised, self.issued, self.own = bill, line["id"], promised, issued, own
        self.net = Fraction(line["amount"])
        self.tax = Fraction(1, 10) if line.get("tax_codes") else Fraction(0)
        self.left = self.net  # what it still bills
        self.covers = self.net  # of the price
        self.coming_lost = Fraction(0)  # of what it covers and is to come, given back without a lower price
        self.given_lost = Fraction(0)
        self.bad = Fraction(0)  # of what was given, written off
        self.back = Fraction(0)  # money that went back of a contract's bill
        self.period = (_day(line["start"]), _day(line["end"])) if "start" in line else None
        self.void = False

    @property
    def covered(self) -> tuple[date, date] | None:
        """The period it names, where anything is earned over it: what was cancelled covers none, and bills go by their order."""
        return self.period if self.period is not None and self.promised.within(*self.period) > 0 else None


def _in_order(line: Covering) -> tuple[date, str]:
    """The order in which bills cover a price: those of one day by their names."""
    return line.issued, line.bill


def _undone_by(doc: dict[str, Any], documents: list[dict[str, Any]]) -> list[str]:
    """The documents that one undoes."""
    if doc["type"] == "dispute" and doc["status"] == "reinstated":
        return [one["id"] for one in documents if one.get("status") == "lost" and one["payment"] == doc["payment"]]
    return [
        doc[name]
        for name in ("refund", "credit_note")
        if doc["type"] in ("refund_reversal", "credit_note_void") and name in doc
    ]


class Earnings:
    """What contracts and invoices earn by month, from their documents alone.

    Knows contracts, modifications, renewals, terminations, invoices, credit notes, voids, payments, refunds, disputes, write-offs and
    recoveries; not estimates, nor progress, nor credits. What undoes itself leaves nothing but its history, from the day both are in:
    what is recovered by a day was not written off, whatever asked for it in between.
    """

    ROLES = ("revenue", "bad_debt", "refunds", "disputes", "position")

    def tell(self, documents: list[dict[str, Any]]) -> None:
        self._recoveries = sorted((doc for doc in documents if doc["type"] == "recovery"), key=lambda doc: doc["date"])
        # what a document undoes is, from its day on, as if it had never been
        self._undone = {ref: _day(doc["date"]) for doc in documents for ref in _undone_by(doc, documents)}
        aside = ("recovery", "refund_reversal", "credit_note_void", "payment_reversal", "unapplication")
        self._documents = [doc for doc in documents if doc["type"] not in aside and doc.get("status") != "reinstated"]
        self._told: dict[tuple[frozenset[str], tuple[str, ...]], _Telling] = {}
        self.owners = set(self._by(date.max).owner.values())

    def _by(self, day: date) -> _Telling:
        """The history without what was recovered, or undone, by a day."""
        known = [doc for doc in self._recoveries if _day(doc["date"]) <= day]
        return self._by_recoveries(known, frozenset(ref for ref, undone_on in self._undone.items() if undone_on <= day))

    def _by_recoveries(self, known: list[dict[str, Any]], undone: frozenset[str]) -> _Telling:
        key = undone, tuple(doc["id"] for doc in known)
        if key not in self._told:
            before = self._by_recoveries(known[:-1], undone) if known else None
            lost = before.lost | self._left(before, known[-1], undone) if before else {}
            self._told[key] = _Telling([doc for doc in self._documents if doc["id"] not in undone], lost)
        return self._told[key]

    def _left(
        self, before: _Telling, recovery: dict[str, Any], undone: frozenset[str]
    ) -> dict[str, dict[str, Fraction]]:
        """What is still written off of each line after a recovery: it brings in bad debt of all lines first, then what was to come."""
        ref = recovery["write_off"]
        written = next(doc for doc in self._documents if doc["id"] == ref)
        lost, bad = before.lost[ref], before.bad[ref]
        first = self._by_recoveries([], undone).lost[ref]
        amount = Fraction(recovery["amount"]) * sum(first.values()) / Fraction(written["amount"])
        left = dict(lost)
        for most in (bad, {line: lost[line] - bad.get(line, 0) for line in lost}):
            whole = sum(most.values(), Fraction(0))
            now = min(amount, whole)
            amount -= now
            for line, there in most.items():
                left[line] -= now * there / whole if whole else 0
        return {ref: left}

    def balances(self, owner: str, by: date) -> dict[str, Fraction]:
        """What has come together by a day."""
        return self._by(by).balances(owner, by)


class _Telling:
    """Documents in the order of their dates, as the policy says.

    On one day contracts, modifications, then what they are billed, then credit notes, then disputes, refunds and write-offs.
    """

    _ORDER = (
        "contract", "contract_modification", "contract_renewal", "contract_termination", "invoice", "invoice_void", "payment", "application",
        "credit_note", "dispute", "refund", "write_off",
    )  # fmt: skip

    def __init__(self, documents: list[dict[str, Any]], lost: dict[str, dict[str, Fraction]]) -> None:
        # of each write-off what it takes of each line, net of tax, where something of it was recovered; and what of that was given
        self.lost: dict[str, dict[str, Fraction]] = dict(lost)
        self.bad: dict[str, dict[str, Fraction]] = {}
        self.promised: dict[str, Promised] = {}
        self.lines: dict[str, list[Covering]] = {}
        self.owner: dict[str, str] = {}
        self.of_obligation: dict[str, str] = {}
        self.payments: dict[str, dict[str, Any]] = {}
        # by (role, customer): (day, amount)
        self.moved: defaultdict[tuple[str, str], list[tuple[date, Fraction]]] = defaultdict(list)
        self.products: dict[str, dict[str, Any]] = {}
        # contracts of which a bill named one obligation for more than was ever agreed of it
        self.as_one: set[str] = set()

        def when(doc: dict[str, Any]) -> tuple[str, int]:
            day = doc.get("issued_on") or doc.get("signed_on") or doc.get("date") or ""
            return day, self._ORDER.index(doc["type"])

        for doc in sorted(documents, key=when):
            owner = (
                doc.get("customer")
                or self.owner[next(doc[name] for name in ("contract", "invoice", "payment") if name in doc)]
            )
            self.owner[doc["id"]] = owner
            getattr(self, f"_{doc['type']}")(doc, _day(when(doc)[0]), owner)

    def balances(self, owner: str, by: date) -> dict[str, Fraction]:
        """What has come together by a day."""
        found = {
            role: sum((amount for day, amount in self.moved[role, owner] if day <= by), Fraction(0))
            for role in Earnings.ROLES
            if role != "revenue"
        }
        found["revenue"] = sum(
            (promised.earned(by) for ref, promised in self.promised.items() if self.of_obligation[ref] == owner),
            Fraction(0),
        )
        found["position"] -= found["revenue"]
        return found

    # Contracts

    def _promise(self, owner: str, contract: str, item: dict[str, Any], price: Fraction, known: date) -> None:
        start = _day(item["start"])
        self.of_obligation[item["id"]] = owner
        self.promised[item["id"]] = Promised(
            price, item.get("pattern", "daily"), start, _day(item.get("end", item["start"])), known, contract=contract,
            ssp=_whole(item.get("ssp")),
        )  # fmt: skip
        self.products[item["id"]] = item

    def _contract(self, doc: dict[str, Any], day: date, owner: str) -> None:
        items = doc["obligations"]
        whole = sum(Fraction(item.get("ssp", 0)) for item in items)
        for item in items:
            price = (
                Fraction(doc["price"]) * Fraction(item["ssp"]) / whole if "price" in doc else Fraction(item["price"])
            )
            self._promise(owner, doc["id"], item, price, day)

    def _contract_modification(self, doc: dict[str, Any], day: date, owner: str) -> None:
        for ref in doc.get("cancel", ()):
            self.promised[ref].stop(day - timedelta(days=1))
        apart = []
        for item in doc.get("obligations", ()):
            price = Fraction(item["price"])
            promised = self.promised.get(item["id"])
            if promised is None:
                ssp = _whole(item.get("ssp"))
                if doc.get("treatment", "auto") == "auto" and ssp is not None and ssp != cents(item["price"]):
                    apart.append((item, price, Fraction(ssp, 100)))
                else:
                    self._promise(owner, doc["contract"], item, price, day)
                continue
            curve = weights(item.get("pattern", "daily"), _day(item["start"]), _day(item.get("end", item["start"])))
            promised.ssp = _whole(item["ssp"]) if "ssp" in item else promised.ssp
            self.products[item["id"]] = self.products[item["id"]] | item
            if curve == promised.curve and cents(item["price"]) == round(promised.said * 100):
                # what states the terms that hold changes nothing: what undoes itself leaves nothing
                continue
            promised.curve, promised.stated, promised.said = curve, price, price
            if doc.get("treatment", "auto") == "catch_up":
                promised.catch_up(day, price)
            else:
                promised.prospective(day, price)
        if apart:
            self._pool(doc["contract"], owner, day, apart)

    def _pool(
        self, contract: str, owner: str, day: date, apart: list[tuple[dict[str, Any], Fraction, Fraction]]
    ) -> None:
        """What is left of the price and what is added are shared by stand-alone prices over what remains (25-13(a))."""
        left = [
            one for one in self.promised.values() if one.contract == contract and not one.ended and one.left(day) > 0
        ]
        if not left or any(one.ssp is None for one in left):
            for item, price, _ in apart:
                self._promise(owner, contract, item, price, day)
            return
        worth = []
        for one in left:
            whole = sum(one.curve.values())
            worth.append(Fraction(one.ssp or 0, 100) * sum(part for on, part in one.curve.items() if on >= day) / whole)
        pool = sum((one.left(day) for one in left), Fraction(0)) + sum(price for _, price, _ in apart)
        together = sum(worth) + sum(ssp for *_, ssp in apart)
        for one, alone in zip(left, worth, strict=True):
            before = one.price - one.left(day)
            one.prospective(day, before + pool * alone / together - one.on_top)
            one.stated = one.agreed
        for item, _, alone in apart:
            self._promise(owner, contract, item, pool * alone / together, day)
            self.promised[item["id"]].said = Fraction(item["price"])

    def _contract_renewal(self, doc: dict[str, Any], day: date, owner: str) -> None:
        for item in doc["obligations"]:
            old = self.products[item["renews"]]
            start = item.get("start") or (_day(old["end"]) + timedelta(days=1)).isoformat()
            # at the price that its documents state, however it is shared
            price = Fraction(item.get("price", old.get("price", self.promised[item["renews"]].agreed)))
            fields = (
                {name: value for name, value in old.items() if name != "ssp"} | {"ssp": item["ssp"]}
                if "ssp" in item
                else old
            )
            self._promise(
                owner, doc["contract"], fields | {"id": item["id"], "start": start, "end": item["end"]}, price, day
            )

    def _contract_termination(self, doc: dict[str, Any], day: date, _owner: str) -> None:
        last = _day(doc["ends"]) if "ends" in doc else day - timedelta(days=1)
        for one in self.promised.values():
            if one.contract == doc["contract"] and not one.ended:
                one.stop(last, day)

    # Bills

    def _invoice(self, doc: dict[str, Any], day: date, owner: str) -> None:
        if "supersedes" in doc:
            self._void(doc["supersedes"], day, owner)
        found = self.lines[doc["id"]] = []
        for line in doc["lines"]:
            amount = Fraction(line["amount"])
            self._move("position", owner, day, amount)
            if "obligation" in line:
                promised = self.promised[line["obligation"]]
                found.append(Covering(doc["id"], line, promised, day, own=False))
                billed = self._billed([promised])
                if promised.contract and billed > max(promised.price, promised.stated):
                    self.as_one.add(promised.contract)
                continue
            if amount < 0:
                start, end = _day(line["start"]), _day(line["end"])
                corrected = self._corrected(owner, line, start, end, day)
                if corrected is not None:
                    corrected.promised.lower_over(day, -amount, start, end)
                    corrected.covers += amount
                    continue
            ref = f"{doc['id']}/{line['id']}"
            self.of_obligation[ref] = owner
            self.products[ref] = line | {"customer": owner}
            start, end = line.get("start", doc["issued_on"]), line.get("end", doc["issued_on"])
            pattern = line.get("pattern", "daily") if line["kind"] == "service" else "point_in_time"
            # service that only an invoice tells of is caught up in the invoice's month
            promised = self.promised[ref] = Promised(amount, pattern, _day(start), _day(end), day)
            bare = {name: value for name, value in line.items() if name not in ("start", "end")}
            found.append(Covering(doc["id"], bare, promised, day, own=True))

    def _corrected(self, owner: str, line: dict[str, Any], start: date, end: date, day: date) -> Covering | None:
        """The customer's line of the product whose period covers that of a line below zero, the latest one before it."""
        fitting = [
            covering
            for ref, coverings in self.lines.items()
            for covering in coverings
            if covering.own and self.owner[ref] == owner and not covering.void and covering.issued <= day
            and (about := self.products[f"{ref}/{covering.id}"])["product"] == line["product"]
            and about.get("start") and _day(about["start"]) <= start and end <= _day(about["end"])
        ]  # fmt: skip
        return max(fitting, key=lambda covering: covering.issued, default=None)

    def _invoice_void(self, doc: dict[str, Any], day: date, owner: str) -> None:
        self._void(doc["invoice"], day, owner)

    def _void(self, ref: str, day: date, owner: str) -> None:
        """A bill is no price: a contract keeps its own; an obligation that the invoice itself made has none any more."""
        for line in self.lines[ref]:
            self._move("position", owner, day, -line.left)
            line.void = True
            if line.own:
                line.promised.take_back(day)

    def _credit_note(self, doc: dict[str, Any], day: date, owner: str) -> None:
        for asked in doc["lines"]:
            line = next(line for line in self.lines[doc["invoice"]] if line.id == asked["line"])
            amount = Fraction(asked["amount"])
            self._move("position", owner, day, -amount)
            beyond = min(self._beyond(line), amount)
            line.left -= amount
            line.covers -= amount
            if "start" in asked:
                line.promised.lower_over(day, amount, _day(asked["start"]), _day(asked["end"]), beyond)
            elif amount > beyond:
                self._lower(line, amount - beyond, day)

    def _lower(self, line: Covering, amount: Fraction, day: date) -> None:
        """A lower price: of others of the contract as the bill was for them, and where its own would be below nothing."""
        others = (
            [one for one in self._alike(line) if one is not line.promised and one.price > 0] if not line.own else []
        )
        theirs = amount * self._for_others(line) / line.net if others else Fraction(0)
        there = sum((one.price for one in others), Fraction(0))
        elsewhere = min(max(theirs, amount - max(line.promised.price, Fraction(0))), there) if others else Fraction(0)
        shares = [elsewhere * one.price / there for one in others]
        line.promised.lower(day, amount - elsewhere)
        for one, part in zip(others, shares, strict=True):
            if part:
                one.lower(day, part)

    def _for_others(self, line: Covering) -> Fraction:
        """What of a bill is beyond what was agreed of its obligation, by the bills before it."""
        reached = Fraction(0)
        alike = (other for lines in self.lines.values() for other in lines if other.promised is line.promised)
        for other in sorted(alike, key=_in_order):
            reached += Fraction(0) if other.void else other.net
            if other is line:
                break
        return max(min(reached - line.promised.agreed, line.net), Fraction(0))

    def _billed(self, promised: list[Promised]) -> Fraction:
        """What bills of obligations say, less what was credited and what was given back of what was to come."""
        return sum(
            (
                line.left + line.given_lost
                for lines in self.lines.values()
                for line in lines
                if line.promised in promised and not line.void
            ),
            Fraction(0),
        )

    def _beyond(self, line: Covering) -> Fraction:
        """What is billed beyond the price: of its obligation, or of the contract once a bill of one was for others too."""
        if line.own:
            return Fraction(0)
        alike = self._alike(line)
        return max(self._billed(alike) - sum((one.price for one in alike), Fraction(0)), Fraction(0))

    def _alike(self, line: Covering) -> list[Promised]:
        if line.promised.contract in self.as_one:
            return [one for _, one in sorted(self.promised.items()) if one.contract == line.promised.contract]
        return [line.promised]

    # What a bill covers, and what of it is given

    def _given(self, line: Covering, day: date) -> Fraction:
        """What of what a line covers is given by the end of the day before."""
        before = day - timedelta(days=1)
        if line.own:
            # its price is what it bills: what is not to come of it is given
            given = (
                amount for (service, counts), amount in line.promised.of.items() if service <= before and counts <= day
            )
            return sum(given, Fraction(0)) - line.given_lost
        if line.covered is not None:
            return line.covers * line.promised.given(before, *line.covered)
        others = [
            other for lines in self.lines.values() for other in lines
            if other.promised is line.promised and not other.void and other.issued <= day
        ]  # fmt: skip
        # a credit note of this very day has lowered what was given before it
        reached = sum((amount for _, counts, amount in line.promised.by_given() if counts <= before), Fraction(0))
        for other in others:
            if other.covered is not None:
                start, end = other.covered
                there = sum(
                    (amount for service, counts, amount in line.promised.by_given() if counts <= before and start <= service <= end),
                    Fraction(0),
                )  # fmt: skip
                reached -= min(other.covers * line.promised.given(before, start, end), max(there, Fraction(0)))
        reached = max(reached, Fraction(0))
        for other in sorted((other for other in others if other.covered is None), key=_in_order):
            if other is line:
                break
            reached -= other.covers - other.coming_lost
        return min(max(reached, Fraction(0)), line.covers)

    def _parts(self, ref: str, gross: Fraction) -> list[tuple[Covering, Fraction]]:
        """What is taken of an invoice, by line in proportion to what is left of each; net of tax."""
        lines = self.lines[ref]
        whole = sum(line.left * (1 + line.tax) for line in lines)
        return [(line, gross * line.left / whole) for line in lines if line.left]

    def _write_off(self, doc: dict[str, Any], day: date, owner: str) -> None:
        """Of what the bill covers first what is to come, then what was earned; what is billed beyond the price lowers none."""
        lost = self.lost.setdefault(
            doc["id"], {line.id: net for line, net in self._parts(doc["invoice"], Fraction(doc["amount"]))}
        )
        bad = self.bad[doc["id"]] = {}
        for line in self.lines[doc["invoice"]]:
            if line.id not in lost:
                continue
            net = lost[line.id]
            given = self._given(line, day)
            coming = min(
                net, max(line.left - given if line.own else (line.covers - given) * self._not_back(line), Fraction(0))
            )
            more = line.promised.to_come_ends(day, coming - min(coming, self._beyond(line)))
            for other in self._alike(line) if not line.own else ():
                more = other.to_come_ends(day, more)  # the bill was for them too
            coming -= more if not line.own else 0  # nothing of it is to come anywhere: it was given
            line.left -= net
            line.covers -= coming
            line.given_lost += net - coming
            line.bad += net - coming
            bad[line.id] = net - coming
            self._move("bad_debt", owner, day, net - coming)
            self._move("position", owner, day, -coming)

    def _payment(self, doc: dict[str, Any], _day: date, _owner: str) -> None:
        self.payments[doc["id"]] = doc

    def _application(self, _doc: dict[str, Any], _day: date, _owner: str) -> None:
        """Money moves, and nothing is earned by it."""

    def _refund(self, doc: dict[str, Any], day: date, owner: str) -> None:
        # without an invoice it is money that a credit note, or too much of a payment, left with the customer
        if "invoice" in doc:
            self._money_back("refunds", doc["invoice"], Fraction(doc["amount"]), day, owner)

    def _dispute(self, doc: dict[str, Any], day: date, owner: str) -> None:
        if doc["status"] == "lost":
            (item,) = self.payments[doc["payment"]]["applications"]
            self._money_back("disputes", item["invoice"], Fraction(doc["amount"]), day, owner)

    def _money_back(self, role: str, ref: str, amount: Fraction, day: date, owner: str) -> None:
        """In the proportion in which the part that the bill covers is given."""
        for line, net in self._parts(ref, amount):
            given = self._given(line, day)
            # money back leaves a contract's bill evenly, and its price stays (silent in the policy)
            whole = line.left if line.own else line.covers - line.bad
            given -= Fraction(0) if line.own else line.bad
            earned = net * min(max(given, Fraction(0)), whole) / whole if whole else net
            coming = net - earned
            self._move(role, owner, day, earned)
            self._move("position", owner, day, -coming)
            line.left -= net
            line.given_lost += earned
            if line.own:
                line.promised.to_come_ends(day, coming)
                line.covers -= coming
            else:
                line.coming_lost += coming
                line.back += net

    @staticmethod
    def _not_back(line: Covering) -> Fraction:
        """What part of what a bill covers money did not go back of."""
        whole = line.covers - line.bad
        return (whole - line.back) / whole if whole > 0 else Fraction(0)

    def _move(self, role: str, owner: str, day: date, amount: Fraction) -> None:
        self.moved[role, owner].append((day, amount))


def _whole(amount: str | None) -> int | None:
    return None if amount is None else cents(amount)
