"""A client of the HTTP API, typed: `Tickmark("http://127.0.0.1:8000", key).post([...])`.

Writes carry an Idempotency-Key of their own, so that one that got no answer is sent again and done once. Amounts come and go as decimal
strings, never as floats: a document may hold a `moneyed.Money` instead, and `money(row)` makes one of an answer's amount.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Literal, Self, cast
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from web.client.amounts import money, plain
from web.client.answers import Entry, Item, Job, Period, Posted, Problem, Report, Trace

__all__ = ["Document", "List", "Refused", "Tickmark", "money"]

TIMEOUT_SECONDS = 120
_PASSING = (429, 502, 503, 504)
List = Literal["documents", "customers", "invoices", "grants", "contracts", "obligations", "accounts", "seals"]
Document = Mapping[str, Any]


class Refused(Exception):
    """The API refused a request: nothing of it was done. `problems` has what was wrong: the first 100 things, and `more` are not in it."""

    def __init__(self, status: int, title: str, problems: list[Problem], more: int = 0) -> None:
        self.status = status
        self.title = title
        self.problems = problems
        self.more = more
        told = "; ".join([*(_told(problem) for problem in problems), *([f"and {more:,} more"] if more else [])])
        super().__init__(f"{status} {title}" + (f": {told}" if told else ""))


class Tickmark:
    """The books behind an address, as a key opens them. All methods raise Refused, or what requests raises where nothing answers."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/") + "/v1/"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        # what makes a key is sent once: its answer is kept nowhere
        self._unrepeated = requests.Session()
        self._unrepeated.headers["Authorization"] = f"Bearer {key}"
        # a write may be repeated: its key says that it is the same
        retry = Retry(
            total=5, backoff_factor=0.5, status_forcelist=_PASSING, allowed_methods=None, raise_on_status=False
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give its connections back."""
        self._session.close()
        self._unrepeated.close()

    def post(self, documents: Iterable[Document], *, idempotency_key: str | None = None) -> Posted:
        """Post documents: all of them, or none."""
        body = "".join(json.dumps(plain(document), ensure_ascii=False) + "\n" for document in documents)
        headers = {"Content-Type": "application/x-ndjson"}
        return cast("Posted", self._write("documents", body.encode(), headers, idempotency_key))

    def draft(self, invoice: Document) -> dict[str, Any]:
        """An invoice as it would be, and the entries it would post. Posts nothing."""
        return cast("dict[str, Any]", self._write("drafts", *_json(plain(invoice))))

    def report(self, name: str, **filters: str | date | datetime | bool | None) -> Report:
        """A report, with the filters of the command line: as_of, known_at, entity ...; `from` is given as `since`."""
        query = {
            ("from" if key == "since" else key): _shown(value) for key, value in filters.items() if value is not None
        }
        return cast("Report", self._read(f"reports/{name}", query))

    def entries(self, after: int = 0, customer: str | None = None) -> Iterator[Entry]:
        """Every entry after one, as they come."""
        query = {"after": str(after)} | ({"customer": customer} if customer else {})
        with self._session.get(
            self._url + "entries",
            params=query,
            headers={"Accept": "application/x-ndjson"},
            timeout=TIMEOUT_SECONDS,
            stream=True,
        ) as response:
            _check(response)
            for line in response.iter_lines():
                yield cast("Entry", json.loads(line))

    def entry(self, number: int) -> Entry:
        """One entry."""
        return cast("Entry", self._read(f"entries/{number}"))

    def trace(self, ref: str) -> Trace:
        """Where something comes from, and what it led to: an entry's number, invoice:INV-1, TM-us-2026-01."""
        return cast("Trace", self._read(f"trace/{quote(ref)}"))

    def invoice(self, ref: str) -> dict[str, Any]:
        """An invoice as its reader sees it."""
        return cast("dict[str, Any]", self._read(f"invoices/{quote(ref)}"))

    def all(
        self,
        name: List,
        *,
        entity: str | None = None,
        customer: str | None = None,
        external: str | None = None,
        reference: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Every row of a list, page after page; of documents, those that are called so in another system (stripe:ch_1), or refer so."""
        given = {"entity": entity, "customer": customer, "external": external, "reference": reference}
        query = {key: value for key, value in given.items() if value is not None}
        after: str | None = None
        while True:
            page: Any = self._read(name, query | {"limit": "500"} | ({} if after is None else {"after": after}))
            yield from page["rows"]
            after = page["next"]
            if after is None:
                return

    def period(self, entity: str) -> Period:
        """How far an entity's books are closed."""
        return cast("Period", self._read(f"periods/{quote(entity)}"))

    def checklist(self, entity: str, month: str) -> list[Item]:
        """What a month (2026-01) waits for before it closes."""
        return cast("list[Item]", self._read(f"periods/{quote(entity)}/{month}/checklist"))

    def close_month(self, entity: str, month: str, anyway_because: str | None = None) -> Period:
        """Close a month of which nothing is undone, or for a reason anyway, and seal what is posted."""
        anyway = {} if anyway_because is None else {"anyway": True, "reason": anyway_because}
        return cast("Period", self._write(f"periods/{quote(entity)}", *_json({"month": month, **anyway})))

    def reopen_month(self, entity: str, month: str, reason: str) -> Period:
        """Open the last closed month again."""
        return cast(
            "Period",
            self._write(f"periods/{quote(entity)}", *_json({"month": month, "reopen": True, "reason": reason})),
        )

    def recognize(self, through: str) -> dict[str, Any]:
        """Recognise the revenue that is due through a month (2026-01)."""
        return cast("dict[str, Any]", self._write("recognitions", *_json({"through": through})))

    def seal(self) -> dict[str, Any]:
        """Seal what is posted."""
        return cast("dict[str, Any]", self._write("seals", b"", {}))

    def exports(self, target: str, entity: str | None = None) -> dict[str, Any]:
        """What went out for an accounting system, and what is new."""
        return cast("dict[str, Any]", self._read(f"exports/{quote(target)}", {"entity": entity} if entity else {}))

    def ask_export(self, target: str, entity: str, **options: str | bool) -> Job:
        """Ask for an export, with its mapping's text, detail, from, to and new; see `job` and `job_file`."""
        body = {("from" if key == "since" else key): value for key, value in options.items()}
        return cast("Job", self._write("exports", *_json({"target": target, "entity": entity, **body})))

    def job(self, number: int) -> Job:
        """How far an export is."""
        return cast("Job", self._read(f"jobs/{number}"))

    def job_file(self, number: int) -> bytes:
        """What an export wrote; it is kept for a day."""
        return self._bytes(f"jobs/{number}/file")

    def printed(self, kind: str, ref: str, form: str = "pdf", **options: str) -> bytes:
        """An invoice, credit_note, invoice_void, credit_note_void or payment_reversal, or the statement of a customer (with entity, from and as_of), as it is sent: pdf or html."""
        query = {("from" if key == "since" else key): value for key, value in options.items()}
        return self._bytes(f"print/{kind}/{quote(ref)}", {"format": form, **query})

    def erase(self, customer: str, reason: str) -> int:
        """Erase for good what documents say of a customer's persons; of how many documents."""
        return int(self._write("erasures", *_json({"customer": customer, "reason": reason}))["documents"])

    def erasures(self) -> list[dict[str, str]]:
        """What was erased, when, by whom and why."""
        return cast("list[dict[str, str]]", self._read("erasures"))

    def _bytes(self, path: str, query: dict[str, str] | None = None) -> bytes:
        return _check(self._session.get(f"{self._url}{path}", params=query, timeout=TIMEOUT_SECONDS)).content

    def rules(self) -> list[dict[str, Any]]:
        """The rulebook."""
        return cast("list[dict[str, Any]]", self._read("rules"))

    def list_keys(self) -> list[dict[str, str]]:
        """All keys there are and were."""
        return cast("list[dict[str, str]]", self._read("keys"))

    def make_key(self, name: str, role: str, entities: Iterable[str] = (), expires_on: date | None = None) -> str:
        """Make a key; it is not shown again."""
        body: dict[str, Any] = {"name": name, "role": role, "entities": list(entities)}
        if expires_on is not None:
            body["expires_on"] = expires_on.isoformat()
        response = self._unrepeated.post(self._url + "keys", json=body, timeout=TIMEOUT_SECONDS)
        return str(_check(response).json()["key"])

    def revoke_key(self, number: int) -> None:
        """Let a key hold no more."""
        _check(self._session.delete(f"{self._url}keys/{number}", timeout=TIMEOUT_SECONDS))

    def _read(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return _check(self._session.get(self._url + path, params=dict(query or {}), timeout=TIMEOUT_SECONDS)).json()

    def _write(self, path: str, body: bytes, headers: Mapping[str, str], key: str | None = None) -> Any:
        once = {"Idempotency-Key": key or str(uuid.uuid4())}
        response = self._session.post(
            self._url + path, data=body, headers=dict(headers) | once, timeout=TIMEOUT_SECONDS
        )
        return _check(response).json()


def _told(problem: Problem) -> str:
    """What was wrong, in words: of a document, where it is of one."""
    named = f"{problem['document']}: " if problem.get("document") else ""
    return f"{named}{problem.get('field') or ''} = {problem.get('value')}: {problem.get('expected') or ''}"


def _json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}


def _shown(value: str | date | datetime | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _check(response: requests.Response) -> requests.Response:
    """The response. Raises Refused where it is no success."""
    if response.ok:
        return response
    try:
        said = response.json()
    except ValueError:
        said = {}
    problems = said.get("problems")
    if not problems and said.get("field"):
        problems = [{key: said[key] for key in ("field", "value", "expected") if key in said}]
    raise Refused(response.status_code, said.get("title", response.reason), problems or [], said.get("more", 0))
