"""A small independent model of what documents do to balances: plain dictionaries, written from docs/documents.md.

One customer, one entity, one currency, no closed month. It takes the documents that were accepted and says what every
balance must be; where a document could not have been accepted, it says so by an assertion. Amounts are in cents.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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
        self.moves: list[tuple[str, str, int]] = []
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
        if "supersedes" in doc:
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
        settled: Counter[str] = Counter()
        for item in doc.get("applications", ()):
            self._settle(item["invoice"], cents(item["amount"]), doc["date"])
            settled[item["invoice"]] += cents(item["amount"])
        assert sum(settled.values()) <= amount
        self.payments[doc["id"]] = {"day": doc["date"], "left": amount, "settled": settled}

    def _settle(self, ref: str, amount: int, day: str) -> None:
        day = max(day, self.invoices[ref]["issued"])
        assert amount <= self.due[ref].available(day), "never more than is due"
        self.due[ref].add(day, -amount)
        self.balance.add(day, -amount)

    def _application(self, doc: dict[str, Any]) -> None:
        amount = cents(doc["amount"])
        day = max(doc["date"], self.invoices[doc["invoice"]]["issued"])
        if "from_invoice" in doc:
            day = max(day, self.invoices[doc["from_invoice"]]["issued"])
            self.moves.append((doc["from_invoice"], doc["invoice"], amount))
            self.due[doc["from_invoice"]].add(day, amount)
            self.balance.add(day, amount)
        else:
            assert amount <= self.balance.available(day), "never more than the customer has"
        self.balance.add(day, -amount)
        self.due[doc["invoice"]].add(day, -amount)

    def _reached(self, payment: dict[str, Any]) -> dict[str, int]:
        """Which invoices a payment settles by now, wherever it was moved."""
        reached: dict[str, int] = dict(payment["settled"])
        for source, target, amount in self.moves:
            moved = min(reached.get(source, 0), amount)
            if moved:
                reached[source] -= moved
                reached[target] = reached.get(target, 0) + moved
        return {ref: amount for ref, amount in reached.items() if amount}

    def _give_back(self, payment: dict[str, Any], amount: int, day: str) -> None:
        """Money of what a payment settled goes back: of each line in proportion to what is left of it."""
        for ref, paid in self._reached(payment).items():
            lines = self.invoices[ref]["lines"]
            of_invoice = min(amount, paid, sum(line.gross for line in lines))
            self._split(lines, of_invoice, day)
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
        unapplied = min(amount, self.balance.available(doc["date"]))
        self.balance.add(doc["date"], -unapplied)
        self._give_back(payment, amount - unapplied, doc["date"])

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
            for ref, paid in self._reached(payment).items()
        )
        of_invoices = min(amount, reach)
        assert amount - of_invoices <= self.balance.available(doc["date"])
        self.balance.add(doc["date"], of_invoices - amount)
        self._give_back(payment, of_invoices, doc["date"])

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
