"""Each type of document has a page, and each page says what is: its example is posted, its fields are the model's.

What an example posts, what is refused, and what reports answer is compared with what the page says; whichever digit of that were
another one, it would be seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ledger.amounts.dates import month_end, months_between
from ledger.database import connect
from revrec.documents.contracts import ContractObligation
from revrec.kinds import TYPES
from tests.conftest import Databases
from tests.pages import (
    MOMENT,
    SUM,
    Came,
    Step,
    fields_told,
    nothing_kept,
    prose,
    rows_of,
    steps,
    take,
    unexplained,
    wrong_sums,
)

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((DOCS / "documents").glob("*.md"))}
SECTIONS = ("When", "Example", "Fields", "What takes it back", "What is refused", "Late", "See also")
# Parts that several documents have, and the page that tells their fields.
TOLD_BY = {ContractObligation: "contract"}
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


@pytest.fixture(scope="module")
def books(databases: Databases) -> Iterator[Connection]:
    """A connection to books with nothing in them, of which each page leaves nothing."""
    name = databases.take()
    engine = connect.connect_engine(databases.url(name))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
    databases.drop(name)


def _other_digits(page: str) -> Iterator[str]:
    """The page with one digit of what it says came of a step changed, each in turn."""
    for part in re.finditer(r"^```text\n.*?^```$|^\| \d{4}-\d\d-\d\d \|[^\n]*$", page, re.MULTILINE | re.DOTALL):
        moments = [place for found in MOMENT.finditer(part[0]) for place in range(*found.span())]
        for digit in re.finditer(r"\d", part[0]):
            if digit.start() in moments:
                continue
            at = part.start() + digit.start()
            yield page[:at] + str((int(digit[0]) + 1) % 10) + page[at + 1 :]


def hold(page: str, books: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the steps of a page, and compare what came of them; and that no other figure would do."""
    came: list[Came] = []
    with nothing_kept(books):
        for step in steps(page):
            came.append(take(books, step, monkeypatch))
            assert came[-1].fits(step), f"{step.body}\n{came[-1].answer}\n" + "\n".join(
                map(" | ".join, came[-1].postings)
            )
    assert not wrong_sums(page)
    for other in _other_digits(page):
        assert not all(one.fits(step) for one, step in zip(came, steps(other), strict=True)), other


def _section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _lines(section: str) -> list[str]:
    """The documents of a section, a line each."""
    return [line for step in steps(section) if step.kind == "jsonl" for line in step.body.splitlines()]


def test_every_type_has_a_page_and_every_page_a_type() -> None:
    assert set(PAGES) == set(TYPES)
    overview = (DOCS / "documents.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| \[`(\w+)`\]\(documents/(\w+)\.md\) \|.*\| (.*) \|$", overview, re.MULTILINE)
    assert sorted((name, page) for name, page, _ in told) == [(name, name) for name in sorted(TYPES)]
    for name, _, undone_by in told:
        for other in re.findall(r"\]\(documents/(\w+)\.md\)", undone_by):
            assert f"`{other}`" in _section(PAGES[name], "What takes it back"), (name, other)


@pytest.mark.parametrize("name", TYPES)
def test_a_page_says_what_its_document_posts(name: str, books: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(PAGES[name], books, monkeypatch)


@pytest.mark.parametrize("name", TYPES)
def test_a_page_names_every_field(name: str) -> None:
    elsewhere = {part for part, page in TOLD_BY.items() if name != page and f"]({page}.md)" in PAGES[name]}
    assert fields_told(PAGES[name]) == rows_of(TYPES[name].model, elsewhere)


@pytest.mark.parametrize("name", TYPES)
def test_a_page_has_all_that_pages_have(name: str) -> None:
    page = PAGES[name]
    assert page.startswith(f"# `{name}`\n\n")
    assert [found for found in re.findall(r"^## (.+)$", page, re.MULTILINE) if found in SECTIONS] == list(SECTIONS)
    of_it = [step for step in steps(_section(page, "Example")) if f'{{"type": "{name}",' in step.body]
    assert of_it
    assert all(step.postings is not None for step in of_it), "what it posts"
    assert any(step.answer for step in steps(_section(page, "What is refused"))), "a refusal, as it is told"
    assert not unexplained(_section(page, "Example") + _section(page, "Other forms"))
    assert ("It has no day" in _section(page, "Late")) == (not TYPES[name].model.dated_by)


@pytest.mark.parametrize("name", [name for name in TYPES if TYPES[name].model.dated_by])
def test_what_comes_late_counts_in_the_first_open_month(
    name: str, books: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example again, its document once the month that it is dated in is recognised and closed."""
    before, late = [], ""
    for line in _lines(_section(PAGES[name], "Example")):
        if json.loads(line)["type"] == name:
            late = line
            break
        before.append(line)
    month = date.fromisoformat(json.loads(late)[TYPES[name].model.dated_by]).replace(day=1)
    closing = [f"tickmark close {earlier:%Y-%m}" for earlier in months_between(date(2026, 1, 1), month)]
    with nothing_kept(books):
        for step in (
            Step("jsonl", "\n".join(before)),
            Step("sh", "\n".join([f"tickmark recognize --through {month:%Y-%m}", *closing])),
        ):
            assert take(books, step, monkeypatch).answer == ""
        came = take(books, Step("jsonl", late), monkeypatch)
    assert came.answer == ""
    assert {posting[0] for posting in came.postings} <= {f"{month_end(month) + timedelta(days=1)}"}


RECIPES = re.split(r"^## (?=\d)", (DOCS / "recipes.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.partition("\n")[0] for recipe in RECIPES])
def test_a_recipe_says_what_its_documents_post(recipe: str, books: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "```mermaid\n" in recipe
    assert re.search(r"^```sh\ntickmark report .*\n```\n\n```text\n", recipe, re.MULTILINE), (
        "a report, and what it says"
    )
    assert SUM.search(prose(recipe)), "how its figures come about"
    assert not unexplained(recipe)
    _, *further = [step for step in steps(recipe) if step.kind == "jsonl"]
    assert all(step.postings is not None for step in further), "what they post"
    hold(recipe, books, monkeypatch)


def test_every_link_leads_somewhere() -> None:
    for path in DOCS.rglob("*.md"):
        for target, anchor in _LINK.findall(path.read_text(encoding="utf-8")):
            found = (path.parent / target).resolve() if target else path
            assert found.exists(), f"{path.name}: {target}"
            if anchor and found.suffix == ".md":
                titles = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {_anchor(title) for title in titles}, f"{path.name}: {target}#{anchor}"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    ("name", "said", "other"),
    [
        ("payment", "| customer_balance | accounts_receivable | 310.00 |", "| customer_balance | accounts_receivable | 311.00 |"),
        ("payment", "| 2026-01-20 | `payment.fee` | processing_fees | cash | 9.30 | policy: expensed as incurred |\n", ""),
        ("refund", "/ 31 = 100.00", "/ 31 = 101.00"),
        ("fee", "expected at most 7.00", "expected at most 8.00"),
    ],
)  # fmt: skip
def test_a_page_that_says_otherwise_is_seen(
    name: str, said: str, other: str, books: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in PAGES[name]
    with pytest.raises(AssertionError):
        hold(PAGES[name].replace(said, other), books, monkeypatch)


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ("| `rail` | `card`, `ach`", "| `rail` | `ach`"),
        ("| `date` | day | yes |", "| `date` | day | no |"),
        ("| `payer` |", "| `payee` |"),
    ],
)
def test_a_field_that_is_told_otherwise_is_seen(said: str, other: str) -> None:
    assert said in PAGES["payment"]
    assert fields_told(PAGES["payment"].replace(said, other)) != rows_of(TYPES["payment"].model)
