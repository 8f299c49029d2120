"""QuickBooks Online's API (v3), in batches of thirty.

Intuit answers a repeated `requestid` with what it answered first, so a batch may be sent again whatever became of it. Within a batch,
nothing sees what the batch makes. Limits: developer.intuit.com, limits and throttles (40 batches a minute, 10 requests a second).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import requests

from adapters.clients.client import Answer, Body, Format, Sending
from adapters.clients.http import Http, Uncertain

LIMITS = ("10/second", "40/minute")
_MINOR_VERSION = "75"
# "Duplicate Name Exists", "Duplicate Document Number"
_DUPLICATES = ("6240", "6140")
_NAMED_BY = {"Customer": "DisplayName", "Item": "Name"}


def _without(kind: str, body: Body, missing: frozenset[str]) -> Body | None:
    """A payment of invoices that are no invoices there stays the customer's; a credit that can't be applied so stays open."""
    if kind != "Payment":
        return body
    lines = [line for line in body["Line"] if not any(linked["TxnId"] in missing for linked in line["LinkedTxn"])]
    if not body["TotalAmt"]:
        return body if len(lines) == len(body["Line"]) else None
    rest = {name: value for name, value in body.items() if name != "Line"}
    return rest | ({"Line": lines} if lines else {})


FORMAT = Format(
    stands={"Customer": "Customer", "Item": "Item", "Invoice": "Invoice", "CreditMemo": "CreditMemo"},
    references=frozenset({"value", "TxnId"}),
    without=_without,
)


class QuickBooks:
    """A company of QuickBooks Online."""

    size = 30

    def __init__(self, http: Http) -> None:
        self._http = http
        self._company = f"/v3/company/{http.login.company}"

    def send(self, request: str, things: Sequence[Sending]) -> Iterator[Answer]:
        """Make things in one batch, each by its place in the export: a batch that is sent again may have lost what was answered."""
        asked = [{"bId": str(thing.place), "operation": "create", thing.kind: thing.body} for thing in things]
        status, answer = self._http.ask(
            "POST", f"{self._company}/batch", {"requestid": request, "minorversion": _MINOR_VERSION}, {"BatchItemRequest": asked}
        )  # fmt: skip
        if status != requests.codes.ok:
            yield from (Answer(thing.place, "refused", said=_faults(answer, status)) for thing in things)
            return
        by_place = {found["bId"]: found for found in answer.get("BatchItemResponse", ())}
        for thing in things:
            if str(thing.place) in by_place:
                yield self._answer(thing, by_place[str(thing.place)], status)

    def _answer(self, thing: Sending, found: Any, status: int) -> Answer:
        if thing.kind in found:
            return Answer(thing.place, "made", found[thing.kind]["Id"])
        said = _faults(found, status)
        codes = {error.get("code") for error in found.get("Fault", {}).get("Error", ())}
        if codes & set(_DUPLICATES):
            their_id = self._there(thing)
            if their_id:
                return Answer(thing.place, "found", their_id, said)
        return Answer(thing.place, "refused", said=said)

    def _there(self, thing: Sending) -> str:
        """The id of what is there already: a customer or an item of that name, or a document that is this one."""
        field = _NAMED_BY.get(thing.kind, "DocNumber")
        quoted = str(thing.body[field]).replace("\\", "\\\\").replace("'", "\\'")
        status, answer = self._http.ask(
            "GET", f"{self._company}/query",
            {"query": f"select * from {thing.kind} where {field} = '{quoted}'", "minorversion": _MINOR_VERSION},
        )  # fmt: skip
        if status != requests.codes.ok:
            raise Uncertain(_faults(answer, status))
        for found in answer.get("QueryResponse", {}).get(thing.kind, ()):
            if _is_it(thing, found):
                return str(found["Id"])
        return ""


def _is_it(thing: Sending, found: Body) -> bool:
    """Whether what is there is what was to be made: an item has to sell to the same account, a document to be ours."""
    if thing.kind == "Customer":
        return True
    if thing.kind == "Item":
        return bool(found.get("IncomeAccountRef", {}).get("value") == thing.body["IncomeAccountRef"]["value"])
    return bool(found.get("PrivateNote") == thing.body["PrivateNote"])


def _faults(answer: Any, status: int) -> str:
    """What QuickBooks says is wrong."""
    errors: Any = answer.get("Fault", answer.get("fault", {})) if isinstance(answer, dict) else {}
    said = [
        f"{error.get('Message', error.get('message', ''))}: {error.get('Detail', error.get('detail', ''))} (code {error.get('code', '')})"
        for error in errors.get("Error", errors.get("error", ()))
    ]
    return "; ".join(said) or f"HTTP {status}"
