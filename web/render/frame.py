"""The frame of every page of the books: what it is narrowed to, kept while moving from page to page.

Six filters stand in the address of every page by the same names. A page says which of them it uses; the others go along to where they are
used. Where a link says a filter itself, because what it leads to is of that or of all, the one that was given goes along aside, as `kept_`
and its name, and holds again on the page after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Flask, current_app, g, request
from sqlalchemy import Connection, text

from ledger.amounts.dates import FIRST_DAY, LAST_DAY, read_moment
from ledger.errors import Refused
from ledger.reports.report import Filters, check_filters, period_end, period_start
from web.access.guard import engine, limited, require_entities, who

FILTERS: Mapping[str, str] = {
    "entity": "Entity", "customer": "Customer", "product": "Product", "period": "Period", "as_of": "As of", "known_at": "Known at",
}  # fmt: skip
_ASIDE = "kept_"
# Where a list goes on: of no other list.
_PLACES = ("before", "after")
_PERIOD = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2]|Q[1-4]))?")

_View = TypeVar("_View", bound=Callable[..., Any])
_Uses = Callable[[Mapping[str, Any]], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says of itself: the filters it uses, and whether it is always of one entity.

    `exact` is a page whose address says by these names what it is of: all of them go along aside. `older` names are still understood.
    """

    uses: _Uses
    of_one_entity: bool = False
    exact: bool = False
    older: tuple[tuple[str, str], ...] = ()


def framed(
    *uses: str, by: _Uses | None = None, of_one_entity: bool = False, exact: bool = False, **older: str
) -> Callable[[_View], _View]:
    """Let a view be a page of the books that uses these filters, or those told `by` its path; older names are given as old=new."""
    page = Page(by or (lambda _place: uses), of_one_entity, exact, tuple(older.items()))

    def declared(view: _View) -> _View:
        view.page = page  # type: ignore[attr-defined]
        return view

    return declared


def page_of(endpoint: str | None) -> Page | None:
    """What the page at an endpoint says of itself; None where that is no page of the books."""
    found: Page | None = getattr(current_app.view_functions.get(endpoint or ""), "page", None)
    return found


@dataclass(frozen=True, slots=True)
class Shown:
    """A filter that is given or kept, as the bar shows it: what it is called, what is asked for, and the address without it."""

    name: str
    title: str
    said: str
    holds: bool
    without: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The filters of a request: `given` hold on this page where it uses them, `aside` on others again; `wrong` are refused."""

    page: Page
    uses: tuple[str, ...]
    given: Mapping[str, str]
    aside: Mapping[str, str]
    wrong: tuple[str, ...]

    @property
    def kept(self) -> dict[str, str]:
        """What goes along to other pages: what is given, and what was put aside where nothing is."""
        return {name: said for name, said in {**self.aside, **self.given}.items() if name not in self.wrong}

    def said(self, name: str) -> str | None:
        """A filter that the page uses, as it is given; None where it is not."""
        assert name in self.uses, f"the page does not say that it uses {name}"
        return self.given.get(name)

    @property
    def moment(self) -> str:
        """The moment as a browser's field takes it, on the clock of this machine."""
        said = self.given.get("known_at")
        return f"{read_moment(said).astimezone():%Y-%m-%dT%H:%M:%S}" if said and "known_at" not in self.wrong else ""

    @property
    def shown(self) -> list[Shown]:
        """The filters that are given or kept, each with the address without it: of a list, from its start."""
        query = [(name, said) for name, said in request.args.items(multi=True) if name not in _PLACES]
        found = []
        for name, title in FILTERS.items():
            if name not in self.given and name not in self.aside:
                continue
            gone = {
                f"{_ASIDE}{name}",
                *([] if self.page.exact else [name]),
                *(old for old, new in self.page.older if new == name),
            }
            without = f"?{urlencode([(key, said) for key, said in query if key not in gone])}"
            said = self.given.get(name) or self.aside[name]
            found.append(Shown(name, title, said, name in self.uses and name in self.given, without))
        return found

    @property
    def sent_along(self) -> list[tuple[str, str]]:
        """What a form of this page sends along: what is kept and not in one of its fields."""
        return [
            (name if name in self.given else f"{_ASIDE}{name}", said)
            for name, said in self.kept.items()
            if name not in self.uses or name not in self.given
        ]

    def days(self) -> tuple[date | None, date | None]:
        """The first and the last day that the page is of: a period narrows them on both sides."""
        used = {name: self.given[name] for name in self.uses if name in self.given and name not in self.wrong}
        as_of = date.fromisoformat(used["as_of"]) if "as_of" in used else None
        if "period" not in used:
            return None, as_of
        last = period_end(used["period"])
        return period_start(used["period"]), last if as_of is None else min(as_of, last)

    def filters(self, entity: str | None = None, *, of_several: bool = False) -> Filters:
        """What the page uses, as filters of reports; of an entity, where the page has chosen one.

        Raises Refused for a day before the period, and where who asks has to name one of several entities, unless a page is `of_several`.
        """
        used = {name: self.given[name] for name in self.uses if name in self.given}
        since, as_of = self.days()
        if since is not None and as_of is not None and as_of < since:
            raise Refused("as_of", as_of, f"expected a day from {since} on: the period is {used['period']}")
        known_at = read_moment(used["known_at"]) if "known_at" in used else None
        found = Filters(
            since=since,
            as_of=as_of,
            known_at=known_at,
            entity=entity or used.get("entity"),
            customer=used.get("customer"),
            product=used.get("product"),
        )
        return limited(found) if "entity" in self.uses and not of_several else found


def frame() -> Frame:
    """The frame of the page that is asked for."""
    found = g.get("frame")
    assert isinstance(found, Frame), "asked of a page of the books"
    return found


def entities(connection: Connection) -> list[Any]:
    """The entities that who asks may see, each with its name and currency."""
    if "entities" not in g:
        rows = connection.execute(text("select entity, name, currency from entity order by entity")).all()
        g.entities = [row for row in rows if who().sees(row.entity)]
    found: list[Any] = g.entities
    return found


def chosen(connection: Connection) -> Any:
    """The entity that a page of one is of: the one that is given, else the first; None in books without any."""
    wanted = frame().said("entity")
    return next((row for row in entities(connection) if wanted in (None, row.entity)), None)


def _day(said: str) -> str:
    """A day as it is written, which books reach."""
    day = date.fromisoformat(said)
    return str(Filters(as_of=day).as_of)


def _moment(said: str) -> str:
    read_moment(said)
    return said


def _period(said: str) -> str:
    if not _PERIOD.fullmatch(said) or not FIRST_DAY.year <= int(said[:4]) <= LAST_DAY.year:
        raise ValueError(said)
    return said


_READ: Mapping[str, tuple[Callable[[str], str], str]] = {
    "period": (_period, "expected a month, a quarter or a year such as 2026-01, 2026-Q1 or 2026"),
    "as_of": (_day, "expected a date such as 2026-01-31"),
    "known_at": (_moment, "expected a moment such as 2026-01-31T18:00"),
}


def _checked(name: str, said: str) -> str:
    """A filter that can be read, or names something in the books. Raises Refused for another."""
    if name in _READ:
        read, expected = _READ[name]
        try:
            return read(said)
        except ValueError:
            raise Refused(name, said, expected) from None
    if name == "entity":
        require_entities([said])
    with engine().connect() as connection:
        named: dict[str, Any] = {name: said}
        check_filters(connection, Filters(**named))
    return said


def _read() -> None:
    """Read the filters of the page that is asked for. Raises Refused for the first that is wrong."""
    page = page_of(request.endpoint)
    if page is None or g.get("who") is None:
        return
    older = dict(page.older)
    said = {older.get(name, name): value for name, value in request.args.items() if value}
    found: dict[str, dict[str, str]] = {"": {}, _ASIDE: {}}
    wrong: dict[str, Refused] = {}
    for start, name in product([_ASIDE] if page.exact else found, FILTERS):
        if value := said.get(start + name):
            try:
                found[start][name] = _checked(name, value)
            except Refused as refused:
                found[start][name], wrong[name] = value, refused
    g.frame = Frame(page, page.uses(request.view_args or {}), found[""], found[_ASIDE], tuple(wrong))
    if wrong:
        raise next(iter(wrong.values()))


def _go_along(endpoint: str, values: dict[str, Any]) -> None:
    """Put what is kept into a link to a page of the books."""
    here, there = g.get("frame"), page_of(endpoint)
    if here is None or there is None:
        return
    if not there.exact:
        _leave_days_to_the_period(here, values)
    for name, said in here.kept.items():
        if there.exact or _is_in_path(endpoint, name) or (name in values and values[name] is None):
            values[f"{_ASIDE}{name}"] = said
        else:
            values.setdefault(name, said)


def _is_in_path(endpoint: str, name: str) -> bool:
    return any(name in rule.arguments for rule in current_app.url_map.iter_rules(endpoint))


def _leave_days_to_the_period(here: Frame, values: dict[str, Any]) -> None:
    """Where a link says the days that the period comes to, in place of it, the period says them."""
    is_narrowed = "period" in here.uses and "period" in here.given and "period" not in here.wrong
    if is_narrowed and "period" in values and (values.get("from"), values.get("as_of")) == here.days():
        for name in ("from", "as_of", "period"):
            values.pop(name, None)


def _shown() -> dict[str, Any]:
    """What the bar is made of, for templates."""
    found = g.get("frame")
    if found is None or "entity" not in found.uses:
        return {"frame": found, "frame_entities": []}
    with engine().connect() as connection:
        return {"frame": found, "frame_entities": entities(connection)}


def install(app: Flask) -> None:
    """Frame an application's pages; behind its guard."""
    app.before_request(_read)
    app.url_defaults(_go_along)
    app.context_processor(_shown)
