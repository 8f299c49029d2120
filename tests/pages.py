"""Pages of documents that say what they post: read as steps, taken on the connection of a transaction, and compared.

A page is read from top to bottom. A block of documents (```jsonl) is posted, a block of commands (```sh) is run. What follows says
what came of it: a table of postings says all that the step before it posted ("It posts nothing" that there is none), a block of text (```text)
what was refused, or answered. Every page begins with books in which there is nothing.
"""

from __future__ import annotations

import re
import shlex
import types
import typing
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Le
from click.testing import CliRunner
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import Connection, text

from ledger.accounts.rulebook import RULES
from ledger.documents.models import Document
from ledger.intake.posting import post_lines
from ledger.journal import periods, revaluation
from revrec.earn.recognition import recognize
from revrec.kinds import TYPES
from web.cli import main

POSTED = "| on | rule | debit | credit | amount | basis |\n|---|---|---|---|--:|---|\n"
FIELDS = "| field | what it is | needed | what it says |\n|---|---|---|---|\n"
_PART = re.compile(
    rf"^```(?P<kind>jsonl|sh|text)\n(?P<body>.*?)^```$|^{re.escape(POSTED)}(?P<rows>(?:\|[^\n]*\n)+)"
    r"|^(?:It|They|That) posts? (?P<none>nothing)\b",
    re.MULTILINE | re.DOTALL,
)

_CITED = {rule.code: rule.citation for rule in RULES.values()}

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00")
# What a posting says: its day, its rule, the roles of its accounts, its amount in the currency of its entity, its paragraph.
Posting = tuple[str, str, str, str, str, str]


@dataclass
class Step:
    """Documents, or commands; and what a page says of what came of them, where it does."""

    kind: str
    body: str
    postings: list[Posting] | None = None
    answer: str | None = None


@dataclass(frozen=True)
class Came:
    """What came of a step in fact."""

    postings: list[Posting] = field(default_factory=list)
    answer: str = ""

    def fits(self, step: Step) -> bool:
        """Whether it is what the page says, of what it says anything of."""
        told = step.postings is None or Counter(step.postings) == Counter(self.postings)
        return told and settled(self.answer) == settled(step.answer or "")


def settled(told: str) -> str:
    """An answer without the moment at which it was given."""
    return MOMENT.sub("<moment>", told)


def steps(page: str) -> list[Step]:
    """The steps of a page, in their order."""
    found: list[Step] = []
    for part in _PART.finditer(page):
        if part["rows"] or part["none"]:
            assert found[-1].postings is None, "one table for a step"
            found[-1].postings = [_row(line) for line in (part["rows"] or "").splitlines()]
        elif part["kind"] == "text":
            assert found[-1].answer is None, "one answer for a step"
            found[-1].answer = part["body"].rstrip("\n")
        else:
            found.append(Step(part["kind"], part["body"]))
    return found


def _row(line: str) -> Posting:
    day, rule, debit, credit, amount, basis = (cell.strip().strip("`") for cell in line.strip().strip("|").split("|"))
    return day, rule, debit, credit, amount, basis


@contextmanager
def nothing_kept(connection: Connection) -> Iterator[Connection]:
    """A transaction of which nothing is left."""
    with connection.begin() as transaction:
        try:
            yield connection
        finally:
            transaction.rollback()


def take(connection: Connection, step: Step, monkeypatch: pytest.MonkeyPatch) -> Came:
    """Take a step in the caller's transaction."""
    before = connection.execute(text("select coalesce(max(entry_id), 0) from entry")).scalar_one()
    if step.kind == "sh":
        told = [_run(connection, shlex.split(line), monkeypatch) for line in step.body.splitlines()]
        return Came(_postings(connection, before), "\n".join(one for one in told if one))
    refused: list[str] = []
    with connection.begin_nested() as part:
        lines = step.body.encode().splitlines(keepends=True)
        post_lines(
            connection, lines, TYPES, "tester", lambda problem, _raw: refused.append(_without_line(str(problem)))
        )
        if refused:
            part.rollback()
    return Came(_postings(connection, before), "\n".join(refused))


def _without_line(refusal: str) -> str:
    return re.sub(r"^line \d+: ", "", refusal)


def _postings(connection: Connection, after: int) -> list[Posting]:
    rows = connection.execute(
        text(
            "select d.effective_on, d.rule, d.role as debit, c.role as credit, d.functional_amount as amount"
            " from journal_line d join journal_line c using (customer_id, entry_id, line)"
            " where d.side = 'debit' and c.side = 'credit' and entry_id > :after order by entry_id, line"
        ),
        {"after": after},
    ).all()
    return [
        (row.effective_on.isoformat(), row.rule, row.debit, row.credit, _shown(row.amount), _CITED[row.rule])
        for row in rows
    ]


def _shown(minor: int) -> str:
    """An amount of books that are kept in a currency of two decimal places, as all that pages keep are."""
    return f"{Decimal(minor) / 100:,.2f}"


def _month(told: str) -> date:
    return date.fromisoformat(f"{told}-01")


class _Books:
    """What commands that show are given instead of a database: the connection of the transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def connect(self) -> Any:
        return nullcontext(self.connection)


def _run(connection: Connection, words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command answers; of those that post, nothing."""
    program, command, *arguments = words
    assert program == "tickmark", words
    if command == "recognize":
        recognize(connection, _month(arguments[-1]), "tester")
    elif command == "revalue":
        for entity in periods.entities(connection):
            revaluation.revalue(connection, entity, _month(arguments[0]), "tester")
    elif command == "close":
        for entity in periods.entities(connection):
            periods.close(connection, entity, _month(arguments[0]), "tester")
    else:
        assert command in ("report", "invoice"), f"expected a command that shows: {words}"
        with monkeypatch.context() as patched:
            patched.setattr("ledger.database.connect.opened", lambda: nullcontext(_Books(connection)))
            shown = CliRunner().invoke(main, [command, *arguments], catch_exceptions=False)
        assert shown.exit_code == 0, shown.output
        return "\n".join(line.rstrip() for line in shown.output.strip("\n").splitlines())
    return ""


# --- the fields of a model, as a page has to name them ---------------------------------------------------------------

_COMMON = frozenset(Document.model_fields)
# What a value is in a page's words, by what checks it; the narrower first.
_WORD_OF = {
    "_ref": "id", "_label": "text, one line", "_code": "code", "_currency": "currency", "role_of_chart": "role", "_one_line": "text, one line",
    "_printable": "text", "_positive": "decimal above 0", "_not_negative": "decimal from 0", "_decimal": "decimal", "_day": "day",
}  # fmt: skip


def rows_of(model: type[BaseModel], known: typing.Collection[type[BaseModel]] = ()) -> dict[str, tuple[str, str]]:
    """Of each field of a model: what it is, and whether it is needed or what it is where it is left out.

    Fields of parts come after the part, as `lines[].amount`; those of a model that is told already, or in `known`, are not repeated.
    """
    return dict(_rows(model, "", set(known)))


def _rows(model: type[BaseModel], path: str, told: set[type[BaseModel]]) -> Iterator[tuple[str, tuple[str, str]]]:
    hints = get_type_hints(model, include_extras=True)
    elsewhere = {name for other in told if issubclass(model, other) for name in other.model_fields}
    told.add(model)
    for name, info in model.model_fields.items():
        if (not path and name in _COMMON) or name in elsewhere:
            continue
        yield path + name, (_words(hints[name], info.metadata), _needed(info))
        part = _part(hints[name])
        if part is not None and part not in told:
            yield from _rows(part, f"{path}{name}{'[]' if _is_list(hints[name]) else ''}.", told)


def _needed(info: FieldInfo) -> str:
    if info.is_required():
        return "yes"
    default = info.get_default(call_default_factory=True)
    if default is None or default == []:
        return "no"
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"no: `{shown}`"


def _bare(hint: Any) -> Any:
    """A type without None and what is said about it."""
    while get_origin(hint) in (Annotated, typing.Union, types.UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    return hint


def _is_list(hint: Any) -> bool:
    return get_origin(_bare(hint)) is list


def _part(hint: Any) -> type[BaseModel] | None:
    bare = _bare(hint)
    while get_origin(bare) is list:
        bare = _bare(get_args(bare)[0])
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _words(hint: Any, metadata: list[Any]) -> str:
    said = [*metadata]
    while get_origin(hint) in (Annotated, typing.Union, types.UnionType):
        if get_origin(hint) is Annotated:
            said += hint.__metadata__
        hint = next(one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is list:
        return f"list: {_words(get_args(hint)[0], [])}"
    if get_origin(hint) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "object"
    if hint is bool:
        return "`true`, `false`"
    if hint is int:
        low = next(one.ge for one in _flat(said) if isinstance(one, Ge))
        high = next(one.le for one in _flat(said) if isinstance(one, Le))
        return f"whole number, {low} to {high:,}"
    checks = {getattr(getattr(one, "func", None), "__name__", "") for one in said}
    return next((word for check, word in _WORD_OF.items() if check in checks), "text")


def _flat(said: list[Any]) -> Iterator[Any]:
    for one in said:
        yield one
        if isinstance(one, FieldInfo):
            yield from one.metadata


def fields_told(page: str) -> dict[str, tuple[str, str]]:
    """What a page says of fields: what each is, and whether it is needed."""
    table = page.partition(FIELDS)[2].partition("\n\n")[0]
    found: dict[str, tuple[str, str]] = {}
    for line in table.strip().splitlines():
        name, what, needed, meaning = (cell.strip() for cell in line.strip().strip("|").split("|"))
        assert len(meaning) > 3, line
        assert name.strip("`") not in found, line
        found[name.strip("`")] = (what, needed)
    return found


# --- the sums that a page works its figures out with ------------------------------------------------------------------

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_WORDS = r"(?: [A-Za-z]+)*"
AMOUNT = re.compile(r"(?<![\d.,])\d+(?:,\d{3})*\.\d\d(?!\d)")
SUM = re.compile(rf"({_NUMBER}{_WORDS}(?: [-+*/] {_NUMBER}{_WORDS})+) = (-?{_NUMBER})")


def prose(page: str) -> str:
    """The text without its blocks, on one line, with the signs of its sums as they are typed."""
    signs = str.maketrans({"\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "*", "|": "."})
    return " ".join(FENCED.sub("", page).replace("Python 3.11", "").translate(signs).split())


def number(told: str) -> Decimal:
    """A number as a page writes it."""
    return Decimal(told.replace(",", ""))


def worked_out(told: str) -> Decimal:
    """What a sum comes to: products before sums, words between its figures left out."""
    total, product, operator = Decimal(0), Decimal(1), "*"
    for part in re.findall(rf"{_NUMBER}|[-+*/]", told):
        if part in "+-":
            total, product, operator = total + product, Decimal(f"{part}1"), "*"
        elif part in "*/":
            operator = part
        else:
            product = product * number(part) if operator == "*" else product / number(part)
    return (total + product).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def wrong_sums(page: str) -> list[str]:
    """The sums of a page's text that do not come to what they say."""
    return [told[0] for told in SUM.finditer(prose(page)) if worked_out(told[1]) != number(told[2])]


def unexplained(text: str) -> list[str]:
    """Amounts that a text says and its blocks, its tables and its sums do not."""
    blocks = FENCED.findall(text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    said = prose("\n".join(line for line in text.splitlines() if not line.startswith("|")))
    told = [*(block for kind, block in blocks if kind != "mermaid"), *rows]
    known = {number(amount) for part in told for amount in AMOUNT.findall(part)}
    known.update(abs(number(found[2])) for found in SUM.finditer(said))
    drawn = "".join(block for kind, block in blocks if kind == "mermaid")
    return [amount for amount in AMOUNT.findall(SUM.sub("", said) + drawn) if number(amount) not in known]
