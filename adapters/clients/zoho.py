"""Zoho Books' API (v3), thing by thing.

It keeps no idempotency key for journals, so that nothing is sent again before it was looked for by its number. Limit: 100 requests
a minute for an organization.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from adapters.clients import http as http_module
from adapters.clients.client import Answer, Body, Format, Sending
from adapters.clients.http import Http, Uncertain

LIMITS = ("100/minute",)

# Of each kind: where it is made, what the answer calls it, the name of its id there, and the field it is looked for by.
_PLACES = {
    "contact": ("contacts", "contact", "contact_id", "contact_name"),
    "item": ("items", "item", "item_id", "name"),
    "invoice": ("invoices", "invoice", "invoice_id", "invoice_number"),
    "creditnote": ("creditnotes", "creditnote", "creditnote_id", "creditnote_number"),
    "customerpayment": ("customerpayments", "payment", "payment_id", "reference_number"),
    "journal": ("journals", "journal", "journal_id", "reference_number"),
}
# A list of them goes by the name of its place; of payments, its documentation spells it another way.
_LISTS = {"customerpayments": "customer_payments"}
# What has to be the same besides the number or name, where others may use that too.
_SAME = {"customerpayment": ("date", "amount"), "item": ("account_id",)}


def _without(kind: str, body: Body, missing: frozenset[str]) -> Body | None:
    """A payment of invoices that are no invoices there stays the customer's; a credit that can't be applied so stays open."""
    if kind == "creditapplied":
        return None
    if kind != "customerpayment":
        return body
    rest = {name: value for name, value in body.items() if name not in ("invoice_id", "amount_applied")}
    return rest | {"invoices": [invoice for invoice in body["invoices"] if invoice["invoice_id"] not in missing]}


FORMAT = Format(
    stands={"contact": "Customer", "item": "Item", "invoice": "Invoice", "creditnote": "CreditMemo"},
    references=frozenset({"customer_id", "item_id", "invoice_id", "creditnote_id"}),
    without=_without,
)


class Zoho:
    """An organization of Zoho Books."""

    size = 1

    def __init__(self, http: Http) -> None:
        self._http = http
        self._organization = {"organization_id": http.login.company}

    def send(self, request: str, things: Sequence[Sending]) -> Iterator[Answer]:
        """Make things, one after the other. Zoho knows no id of a request: the number of a thing is what it is known by."""
        del request
        for thing in things:
            yield self._make(thing)

    def _make(self, thing: Sending) -> Answer:
        uncertain = thing.again

        def once() -> Answer:
            nonlocal uncertain
            if uncertain:
                their_id = self._there(thing)
                if their_id:
                    return Answer(thing.place, "made", their_id)
            uncertain = True
            return self._ask(thing)

        retrying = Retrying(
            stop=stop_after_attempt(http_module.ATTEMPTS_MAX), wait=wait_random_exponential(multiplier=1, max=60),
            retry=retry_if_exception_type(Uncertain), sleep=http_module.wait, reraise=True,
        )  # fmt: skip
        answer: Answer = retrying(once)
        if thing.kind == "invoice" and answer.their_id:
            # until it is marked as sent, an invoice there is a draft and no receivable
            self._http.ask("POST", f"/books/v3/invoices/{answer.their_id}/status/sent", self._organization)
        return answer

    def _ask(self, thing: Sending) -> Answer:
        if thing.kind == "creditapplied":
            path, called, name = f"creditnotes/{thing.body['creditnote_id']}/invoices", "", ""
            body: Body = {"invoices": thing.body["invoices"]}
        else:
            path, called, name, _ = _PLACES[thing.kind]
            body = thing.body
        params = self._organization | ({"ignore_auto_number_generation": "true"} if thing.kind == "invoice" else {})
        status, answer = self._http.ask("POST", f"/books/v3/{path}", params, body, repeat=False)
        if status in (requests.codes.ok, requests.codes.created) and answer.get("code") == 0:
            return Answer(thing.place, "made", str(answer[called][name]) if called else thing.body["creditnote_id"])
        said = f"{answer.get('message', '')} (code {answer.get('code', '')})"
        if thing.kind in ("contact", "item"):
            their_id = self._there(thing)
            if their_id:
                return Answer(thing.place, "found", their_id, said)
        return Answer(thing.place, "refused", said=said)

    def _there(self, thing: Sending) -> str:
        """The id of what is there already under its number or name."""
        if thing.kind == "creditapplied":
            return self._applied_there(thing)
        path, _, name, field = _PLACES[thing.kind]
        answer = self._list(path, {field: str(thing.body[field])})
        same = (field, *_SAME.get(thing.kind, ()))
        for found in answer.get(path, answer.get(_LISTS.get(path, ""), ())):
            if all(found.get(name) == thing.body[name] for name in same):
                return str(found[name])
        return ""

    def _applied_there(self, thing: Sending) -> str:
        credit = str(thing.body["creditnote_id"])
        applied = self._list(f"creditnotes/{credit}/invoices", {}).get("invoices_credited", ())
        wanted = {invoice["invoice_id"] for invoice in thing.body["invoices"]}
        return credit if wanted <= {str(found["invoice_id"]) for found in applied} else ""

    def _list(self, path: str, params: dict[str, str]) -> Any:
        status, answer = self._http.ask("GET", f"/books/v3/{path}", self._organization | params)
        if status != requests.codes.ok:
            raise Uncertain(f"HTTP {status}: {answer.get('message', '')}")
        return answer
