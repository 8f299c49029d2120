"""Which accounts, customers and dimensions of another system ours are: a TOML file a target and entity, checked before use.

An `[[account]]` names a role, and may narrow it to a product, customer or currency; the narrowest that fits is taken. Without a
file, ours are taken as they are: general-ledger codes and names as gl_account documents gave them, customers by id and name.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.documents import parse
from ledger.documents.models import Code, Name
from ledger.errors import Problem, ProblemList, Refused, shortened
from ledger.letters import can_be_kept

Detail = Literal["entry", "document", "day", "month"]
# What is made there besides journal entries: nothing, customers, or all that has an object of its own there.
Objects = Literal["none", "customers", "all"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AccountRule(_Part):
    """Which account of the target a role's amounts go to, as narrow as the rule says, and the dimensions they carry there."""

    role: Literal[tuple(ROLES)]  # type: ignore[valid-type] # the chart's roles
    product: Name | None = None
    customer: Name | None = None
    currency: Name | None = None
    account: Code
    name: Name | None = None
    item: Name | None = None
    department: Name | None = None
    class_: Annotated[Name | None, Field(alias="class")] = None
    location: Name | None = None


class CustomerRule(_Part):
    """Who a customer is in the target, where a customer may be one for each currency."""

    customer: Name
    currency: Name | None = None
    id: Name
    name: Name | None = None


class File(_Part):
    """A mapping file. `detail` says what becomes one entry there, `amounts` in which currency it is, `objects` what else is made."""

    target: Name
    entity: Name
    detail: Detail | None = None
    amounts: Literal["functional", "transaction"] = "functional"
    objects: Objects = "none"
    periods: Literal["any", "closed", "open"] = "any"
    lines_max: Annotated[int, Field(ge=2)] | None = None
    account: list[AccountRule] = Field(default_factory=list)
    customer: list[CustomerRule] = Field(default_factory=list)
    columns: dict[str, str] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)


class Place(NamedTuple):
    """An account of the target, with the dimensions that a line there carries."""

    account: str
    name: str
    department: str = ""
    class_: str = ""
    location: str = ""
    item: str = ""  # what is sold there, where the mapping names it


class Kind(NamedTuple):
    """What of ours is mapped: an empty customer is any."""

    role: str
    product: str
    customer: str
    currency: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where ours go in one target, for one entity."""

    target: str
    entity: str
    file: File | None
    detail: Detail  # what becomes one entry there
    own: MappingOf[tuple[str, str], tuple[str, str]]  # code and name by role and product
    own_form: str = "{code}"
    fingerprint: str = ""

    @property
    def in_transaction_currency(self) -> bool:
        """Whether entries are in the currency of what happened, where one rate says what it counts for."""
        return self.file is not None and self.file.amounts == "transaction"

    @property
    def makes_customers(self) -> bool:
        """Whether customers that the file does not name are made there."""
        return self.file is not None and self.file.objects != "none"

    @property
    def makes_documents(self) -> bool:
        """Whether invoices, credit notes and payments go out as what they are there."""
        return self.file is not None and self.file.objects == "all"

    @property
    def by_customer(self) -> bool:
        """Whether some account depends on the customer."""
        return self.file is not None and any(rule.customer for rule in self.file.account)

    def field(self, name: str, default: str = "") -> str:
        """A setting of the target's own, such as a subsidiary."""
        return self.file.fields.get(name, default) if self.file else default

    def lines_max(self, limit: int | None) -> int | None:
        """How many lines an entry there may have: as the file says, else as the target does."""
        return self.file.lines_max if self.file and self.file.lines_max else limit

    def place(self, kind: Kind) -> Place | None:
        """The account for what is mapped, or None where the file has none."""
        if self.file is None:
            code, name = self.own.get((kind.role, kind.product)) or self.own[kind.role, ""]
            return Place(self.own_form.format(code=code, name=name), name)
        rule = self._rule(kind)
        if rule is None:
            return None
        name = rule.name or self.own.get((kind.role, kind.product), self.own[kind.role, ""])[1]
        return Place(rule.account, name, rule.department or "", rule.class_ or "", rule.location or "", rule.item or "")

    def _rule(self, kind: Kind) -> AccountRule | None:
        assert self.file is not None, "asked where there is one"
        fitting = [
            rule
            for rule in self.file.account
            if rule.role == kind.role
            and rule.product in (None, kind.product)
            and rule.customer in (None, kind.customer)
            and rule.currency in (None, kind.currency)
        ]
        return max(fitting, key=_narrowness, default=None)

    def customer(self, ref: str, name: str, currency: str = "") -> tuple[str, str]:
        """Who a customer is there: id and name. `currency` is given where it is not the entity's.

        One that is made there has no id yet: Customer:globex stands for it.
        """
        rule = self.customer_rule(ref, currency)
        if rule is not None:
            return rule.id, rule.name or name
        return (stand_in("Customer", f"{ref} {currency}".rstrip()), name) if self.makes_customers else (ref, name)

    def accounts_named(self, name: str) -> set[str]:
        """The accounts that go by a name there: namesakes have to be told apart."""
        return {
            rule.account
            for rule in (self.file.account if self.file else ())
            if (rule.name or self.own.get((rule.role, rule.product or ""), self.own[rule.role, ""])[1]) == name
        } or {name}

    def items(self) -> dict[str, str]:
        """The account of each item that the file names, by the item's id."""
        return {rule.item: rule.account for rule in self.file.account if rule.item} if self.file else {}

    def customer_rule(self, ref: str, currency: str = "") -> CustomerRule | None:
        """What the file says of a customer, the narrowest."""
        fitting = [
            rule
            for rule in (self.file.customer if self.file else ())
            if rule.customer == ref and rule.currency in (None, currency)
        ]
        return max(fitting, key=lambda rule: rule.currency is not None, default=None)


def stand_in(kind: str, key: str) -> str:
    """What stands for the id of something that is made there by the same export, until it is sent."""
    return f"{kind}:{key}"


def _narrowness(rule: AccountRule) -> int:
    return sum(value is not None for value in (rule.product, rule.customer, rule.currency))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for a target where no mapping file says otherwise: `own` is how it names our accounts.

    `asked` is the detail that is asked for, whatever a file says.
    """

    detail: Detail
    own: str
    currencies: bool = True
    objects: bool = False
    receivable_by_currency: bool = True
    columns: tuple[str, ...] = ()
    asked: Detail | None = None

    def detail_of(self, file: File | None) -> Detail:
        """What becomes one entry there."""
        return self.asked or (file.detail if file else None) or self.detail


def read(connection: Connection, target: str, entity: str, path: Path | None, defaults: Defaults) -> Mapping:
    """The mapping of a file, or of none. Raises Refused, or a ProblemList naming everything that is wrong with it."""
    own = _own(connection, entity)
    if path is None:
        if defaults.columns:
            raise Refused(
                "mapping",
                "missing",
                f"expected a mapping file whose [columns] name {', '.join(defaults.columns)} of {target}",
            )
        return Mapping(target, entity, None, defaults.detail_of(None), own, defaults.own)
    content = path.read_bytes()
    try:
        data: dict[str, Any] = tomllib.loads(content.decode())
        _require_kept(path, data)
        file = parse.check(File, data)
    except ValueError as error:  # no TOML, no UTF-8, or an integer of thousands of digits
        raise Refused("mapping", path.name, f"expected a TOML file: {shortened(str(error))}") from None
    except RecursionError:
        raise Refused("mapping", path.name, "expected a TOML file nested a few levels deep") from None
    problems = _problems(file, target, entity, defaults)
    if problems:
        raise ProblemList(problems)
    return Mapping(
        target, entity, file, defaults.detail_of(file), own, defaults.own, hashlib.sha256(content).hexdigest()
    )


def _require_kept(path: Path, data: dict[str, Any]) -> None:
    """Raise Refused for texts that the database can't keep, or be asked for."""
    if not can_be_kept(data):
        raise Refused("mapping", path.name, "expected texts without NUL")


def _problems(file: File, target: str, entity: str, defaults: Defaults) -> list[Problem]:
    """Everything that a file as a whole says wrong."""
    problems = [
        Problem(field, found, f"expected {wanted}, which is exported")
        for field, found, wanted in (("target", file.target, target), ("entity", file.entity, entity))
        if found != wanted
    ]
    problems += [
        Problem(f"columns.{name}", "missing", f"expected the heading that {target} gives it") for name in defaults.columns
        if name not in file.columns
    ]  # fmt: skip
    if file.amounts == "transaction" and not defaults.currencies:
        problems.append(
            Problem("amounts", file.amounts, f"expected functional: entries of {target} are in one currency")
        )
    if file.amounts == "transaction" and defaults.detail_of(file) not in ("entry", "document"):
        problems.append(
            Problem(
                "amounts",
                "transaction",
                "expected with detail entry or document: an entry there has one rate, a summary many",
            )
        )
    return [*problems, *_objects(file, target, defaults), *_ambiguities(file)]


def _objects(file: File, target: str, defaults: Defaults) -> Iterator[Problem]:
    """What stands against making more than journal entries there."""
    if file.objects != "none" and not defaults.objects:
        yield Problem("objects", file.objects, f"expected none: {target} takes journal entries only")
    if file.objects != "all":
        return
    for number, rule in enumerate(file.account):
        if rule.role in ("accounts_receivable", "tax_payable") and (rule.customer or rule.product):
            wanted = "expected it for all customers with objects = all: there is one such account a currency there"
            yield Problem(f"account.{number}", rule.role, wanted)
        elif rule.role == "accounts_receivable" and rule.currency and not defaults.receivable_by_currency:
            wanted = f"expected it for all currencies with objects = all: {target} has one such account"
            yield Problem(f"account.{number}", rule.role, wanted)
        other = next((one for one in file.account[:number] if one.item and one.item == rule.item), rule)
        if other.account != rule.account:
            wanted = f"expected account {other.account}, which that item has above"
            yield Problem(f"account.{number}.account", rule.account, wanted)


def _ambiguities(file: File) -> Iterator[Problem]:
    """Accounts that are mapped twice, or either way."""
    for number, rule in enumerate(file.account):
        for earlier, other in enumerate(file.account[:number]):
            if _narrowed(rule) == _narrowed(other):
                yield Problem(f"account.{number}", rule.role, f"expected once: account.{earlier} maps the same")
            elif _either_way(rule, other):
                expected = f"expected it or account.{earlier} to be narrower: some amounts would fit both"
                yield Problem(f"account.{number}", rule.role, expected)


def _narrowed(rule: AccountRule) -> tuple[str | None, ...]:
    return rule.role, rule.product, rule.customer, rule.currency


def _either_way(one: AccountRule, other: AccountRule) -> bool:
    """Whether amounts could fit both rules, neither being the narrower."""
    if one.role != other.role or _narrowness(one) != _narrowness(other):
        return False
    pairs = [(one.product, other.product), (one.customer, other.customer), (one.currency, other.currency)]
    return any(a != b for a, b in pairs) and all(a is None or b is None or a == b for a, b in pairs)


def _own(connection: Connection, entity: str) -> dict[tuple[str, str], tuple[str, str]]:
    rows = connection.execute(
        text(
            "select r.name as role, '' as product, coalesce(g.code, r.code) as code, coalesce(g.name, r.title) as title from role r "
            "left join gl_account g on g.entity = :entity and g.role = r.name and g.product = '' "
            "union all select role, product, code, name from gl_account where entity = :entity and product <> ''"
        ),
        {"entity": entity},
    )
    # no file keeps spaces around a name
    return {(row.role, row.product): (row.code, row.title.strip()) for row in rows}
