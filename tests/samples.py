"""Documents that tests are told with."""

from __future__ import annotations

from typing import Any

PARTY = {"customer": "globex", "entity": "us", "currency": "USD"}


def parties() -> list[dict[str, Any]]:
    return [
        {"type": "entity", "id": "us", "name": "Acme AI Inc", "currency": "USD"},
        {"type": "customer", "id": "globex", "name": "Globex"},
        {"type": "product", "id": "tokens", "name": "Tokens"},
        {"type": "product", "id": "seats", "name": "Seats"},
    ]


def grant(ref: str = "G", amount: str = "100.00", start: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    return {
        "type": "grant",
        "id": ref,
        **PARTY,
        "kind": "prepaid",
        "amount": amount,
        "effective_on": start,
        **more,
    }


def promotion(ref: str, amount: str, start: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    return grant(ref, amount, start, **{"kind": "promotional", **more})


def usage(ref: str, amount: str, day: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "usage",
        "id": ref,
        **PARTY,
        "product": "tokens",
        "date": day,
        "quantity": amount,
        "unit_price": "1",
        **more,
    }


def invoice(ref: str, day: str, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "invoice", "id": ref, **PARTY, "issued_on": day, "due_on": day, "lines": list(items), **more}


def prepaid(amount: str, ref: str = "G", line: str = "1") -> dict[str, Any]:
    return {"id": line, "kind": "prepaid", "amount": amount, "grant": ref, "product": "tokens"}


def billed_usage(amount: str, line: str = "1") -> dict[str, Any]:
    return {"id": line, "kind": "usage", "amount": amount, "product": "tokens"}


def service(amount: str, start: str, end: str, line: str = "1", **more: Any) -> dict[str, Any]:
    return {"id": line, "kind": "service", "amount": amount, "product": "seats", "start": start, "end": end, **more}


def one_time(amount: str, line: str = "1") -> dict[str, Any]:
    return {"id": line, "kind": "one_time", "amount": amount, "product": "seats"}


def payment(ref: str, amount: str, day: str, *applied: tuple[str, str], **more: Any) -> dict[str, Any]:
    applications = [{"invoice": invoice_ref, "amount": part} for invoice_ref, part in applied]
    return {
        "type": "payment",
        "id": ref,
        **PARTY,
        "date": day,
        "rail": "wire",
        "amount": amount,
        "applications": applications,
        **more,
    }


def application(ref: str, amount: str, day: str, invoice_ref: str, **more: Any) -> dict[str, Any]:
    return {"type": "application", "id": ref, **PARTY, "date": day, "invoice": invoice_ref, "amount": amount, **more}


def credit_note(ref: str, day: str, amount: str, *, invoice: str = "I", line: str = "1", **more: Any) -> dict[str, Any]:
    lines = [{"line": line, "amount": amount}]
    return {"type": "credit_note", "id": ref, "invoice": invoice, "date": day, "lines": lines, **more}


def contract(ref: str, signed_on: str, *obligations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "contract",
        "id": ref,
        **PARTY,
        "signed_on": signed_on,
        "obligations": list(obligations),
        **more,
    }


def obligation(ref: str, price: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"id": ref, "product": "seats", "price": price, "start": start, "end": end, **more}
