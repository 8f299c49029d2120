"""QuickBooks Online and Zoho Books as their documentation says they behave, on this machine, with faults on demand.

They keep what is made in dictionaries and check what the real ones do: tokens, references, numbers used twice, sizes of a batch. A
fault is asked for by the number of a POST to the API: `after` it was done or before, the connection is cut, or an error answered.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import simplejson

SECRET = "the client's secret"  # noqa: S105 - of a fake


class Service:
    """What both have: tokens, faults, and a record of what was asked."""

    scheme = "Bearer"

    def __init__(self, company: str) -> None:
        self.company = company
        self.objects: dict[str, dict[str, Any]] = {}  # by id
        self.kinds: dict[str, str] = {}
        self.waited_for = False  # whether who asked did not give up
        self.faults: dict[int, str] = {}  # by the number of a POST to the API, from 1
        self.posts = 0
        self.refreshes = 0
        self.token = "first"  # noqa: S105 - of a fake
        self.refresh_token = "refresh-0"  # noqa: S105 - of a fake
        self.expires_in = 3600
        self.lock = threading.Lock()
        self.url = ""

    def token_answer(self, form: dict[str, str], basic: str) -> tuple[int, Any]:
        """The token endpoint: a code is good for the first tokens, and each refresh token for one refresh."""
        secret = (
            base64.b64decode(basic.removeprefix("Basic ")).decode().partition(":")[2]
            if basic
            else form.get("client_secret")
        )
        if secret != SECRET:
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "authorization_code":
            if form["code"] != "good-code":
                return 400, {"error": "invalid_grant", "error_description": "code"}
        elif form["refresh_token"] != self.refresh_token:
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        self.refreshes += 1
        self.token, self.refresh_token = f"token-{self.refreshes}", f"refresh-{self.refreshes}"
        return 200, {
            "access_token": self.token, "refresh_token": self.refresh_token, "token_type": "bearer", "expires_in": self.expires_in,
        }  # fmt: skip

    def make(self, kind: str, form: dict[str, Any]) -> str:
        """Make an object; its id."""
        made = str(len(self.objects) + 101)
        self.objects[made] = form
        self.kinds[made] = kind
        return made

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was made of a kind."""
        return [form for made, form in self.objects.items() if self.kinds[made] == kind]

    def has(self, kind: str, their_id: str) -> bool:
        """Whether there is such an object."""
        return self.kinds.get(their_id) == kind

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        raise NotImplementedError


class QuickBooksService(Service):
    """A company of QuickBooks Online: batches, whose answers are repeated with their requestid."""

    def __init__(self, company: str = "9130") -> None:
        super().__init__(company)
        self.answered: dict[str, Any] = {}
        self.batches: list[list[dict[str, Any]]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        assert query["minorversion"] == "75"
        if method == "GET":
            return self._query(query["query"])
        assert path == f"/v3/company/{self.company}/batch", path
        assert len(query["requestid"]) <= 36
        if query["requestid"] not in self.answered:
            items = body["BatchItemRequest"]
            assert 1 <= len(items) <= 30
            assert all(len(item["bId"]) <= 10 and item["operation"] == "create" for item in items)
            self.batches.append(items)
            before = set(self.objects)  # nothing sees what the same batch makes
            self.answered[query["requestid"]] = {"BatchItemResponse": [self._create(item, before) for item in items]}
        return 200, self.answered[query["requestid"]]

    def _create(self, item: dict[str, Any], before: set[str]) -> dict[str, Any]:
        ((kind, form),) = [(name, value) for name, value in item.items() if name not in ("bId", "operation")]
        wrong = self._wrong(kind, form, before)
        if wrong is not None:
            code, message = wrong
            return {
                "bId": item["bId"],
                "Fault": {
                    "Error": [{"code": code, "Message": message, "Detail": "as said"}],
                    "type": "ValidationFault",
                },
            }
        return {"bId": item["bId"], kind: form | {"Id": self.make(kind, form), "SyncToken": "0"}}

    def _wrong(self, kind: str, form: dict[str, Any], before: set[str]) -> tuple[str, str] | None:
        for field in ("DisplayName", "Name"):
            if field in form and any(form[field] == other.get(field) for other in self.of(kind)):
                return "6240", "Duplicate Name Exists Error"
        if kind in ("Invoice", "CreditMemo") and any(
            form["DocNumber"] == other["DocNumber"] for other in self.of(kind)
        ):
            return "6140", "Duplicate Document Number Exists Error"
        for wanted, their_id in _refers(form):
            if their_id not in before or not self.has(wanted, their_id):
                return "2500", f"Invalid Reference Id: {wanted} {their_id}"
        if kind == "JournalEntry":
            sides = [(line["Amount"], line["JournalEntryLineDetail"]["PostingType"]) for line in form["Line"]]
            if sum(amount if side == "Debit" else -amount for amount, side in sides):
                return "6000", "Debits and credits do not match"
        return None

    def _query(self, said: str) -> tuple[int, Any]:
        asked = re.fullmatch(r"select \* from (\w+) where (\w+) = '(.*)'", said)
        assert asked, said
        kind, field, value = asked.groups()
        wanted = value.replace("\\'", "'").replace("\\\\", "\\")
        found = [
            form | {"Id": made}
            for made, form in self.objects.items()
            if self.kinds[made] == kind and form.get(field) == wanted
        ]
        return 200, {"QueryResponse": {kind: found} if found else {}}


def _refers(form: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "CustomerRef" in form:
        yield "Customer", form["CustomerRef"]["value"]
    for line in form.get("Line", ()):
        detail = line.get("JournalEntryLineDetail") or line.get("SalesItemLineDetail") or {}
        if "Entity" in detail:
            yield "Customer", detail["Entity"]["EntityRef"]["value"]
        if "ItemRef" in detail:
            yield "Item", detail["ItemRef"]["value"]
        for linked in line.get("LinkedTxn", ()):
            yield linked["TxnType"], linked["TxnId"]


class ZohoService(Service):
    """An organization of Zoho Books: no idempotency at all."""

    scheme = "Zoho-oauthtoken"

    def __init__(self, company: str = "60001") -> None:
        super().__init__(company)
        self.sent: list[str] = []
        self.credited: list[tuple[str, str, Decimal]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        assert query["organization_id"] == self.company
        parts = path.removeprefix("/books/v3/").split("/")
        if parts[0] == "invoices" and parts[-1] == "sent":
            self.sent.append(parts[1])
            return 200, {"code": 0, "message": "marked"}
        if parts[0] == "creditnotes" and parts[-1] == "invoices":
            return self._credits(method, parts[1], body)
        if method == "GET":
            asked = {name: value for name, value in query.items() if name != "organization_id"}
            found = [
                form | {self._id(parts[0]): made} for made, form in self.objects.items()
                if self.kinds[made] == parts[0] and all(form.get(name) == value for name, value in asked.items())
            ]  # fmt: skip
            return 200, {"code": 0, parts[0]: found}
        return self._create(parts[0], body)

    @staticmethod
    def _id(place: str) -> str:
        return "payment_id" if place == "customerpayments" else f"{place.removesuffix('s')}_id"

    def _credits(self, method: str, credit: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, {
                "code": 0,
                "invoices_credited": [{"invoice_id": invoice} for of, invoice, _ in self.credited if of == credit],
            }
        for applied in body["invoices"]:
            if not self.has("creditnotes", credit) or not self.has("invoices", applied["invoice_id"]):
                return 400, {"code": 1002, "message": "does not exist"}
            self.credited.append((credit, applied["invoice_id"], applied["amount_applied"]))
        return 201, {"code": 0, "invoices": body["invoices"]}

    def _create(self, place: str, body: dict[str, Any]) -> tuple[int, Any]:
        unique = {
            "contacts": "contact_name",
            "items": "name",
            "invoices": "invoice_number",
            "creditnotes": "creditnote_number",
        }.get(place)
        if unique and any(body[unique] == other[unique] for other in self.of(place)):
            return 400, {"code": 3062, "message": f"{body[unique]} already exists."}
        refers = [("contacts", body["customer_id"])] if "customer_id" in body else []
        refers += [("contacts", line["customer_id"]) for line in body.get("line_items", ()) if "customer_id" in line]
        refers += [("items", line["item_id"]) for line in body.get("line_items", ()) if "item_id" in line]
        refers += [("invoices", paid["invoice_id"]) for paid in body.get("invoices", ())]
        for wanted, their_id in refers:
            if not self.has(wanted, their_id):
                return 400, {"code": 1002, "message": f"{wanted} {their_id} does not exist."}
        called = "payment" if place == "customerpayments" else place.removesuffix("s")
        return 201, {"code": 0, "message": "created", called: body | {self._id(place): self.make(place, body)}}


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a fault a branch
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, method: str) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            where = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            with service.lock:
                if "/oauth" in where.path:
                    form = {name: values[0] for name, values in parse_qs(content.decode()).items()}
                    self._say(*service.token_answer(form, self.headers.get("Authorization", "")))
                    return
                fault = ""
                if method == "POST":
                    service.posts += 1
                    fault = service.faults.get(service.posts, "")
                if fault == "stale":
                    service.token = "of somebody else's refresh"  # noqa: S105 - of a fake
                if self.headers.get("Authorization") != f"{service.scheme} {service.token}":
                    self._say(401, {"fault": {"error": [{"message": "AuthenticationFailed"}]}})
                    return
                if fault == "429":
                    self._say(429, {"message": "throttled"}, {"Retry-After": "7"})
                    return
                if fault == "500 before":
                    self._say(500, {})
                    return
                body = simplejson.loads(content, use_decimal=True) if content else None
                answer = service.answer(method, where.path, query, body)
            if fault == "timeout after":
                self.connection.settimeout(10)
                try:
                    self.rfile.read(1)  # until who asked gives up
                except TimeoutError:
                    service.waited_for = True
            if fault in ("timeout after", "cut after"):
                self.close_connection = True
                return
            self._say(*((500, {}) if fault == "500 after" else answer))

        def _say(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
            content = simplejson.dumps(answer, use_decimal=True).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler


@contextmanager
def served(service: Service) -> Iterator[Service]:
    """The service, listening at its `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
