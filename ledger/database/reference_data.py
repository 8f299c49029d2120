"""The chart's roles and the rulebook, as rows that an auditor can read."""

from __future__ import annotations

from sqlalchemy import Connection, text

from ledger.accounts.chart import ROLES
from ledger.accounts.rulebook import RULES


def reference_rows() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The chart's roles and the rulebook's rules, as they stand in the database."""
    roles: list[dict[str, object]] = [
        {"name": r.name, "kind": r.kind, "side": r.side, "subject": r.subject, "code": r.code, "title": r.title}
        for r in ROLES.values()
    ]
    rules: list[dict[str, object]] = [
        {
            "number": r.number,
            "code": r.code,
            "debit": r.debit or None,
            "credit": r.credit or None,
            "why": r.why,
            "citation": r.citation,
        }
        for r in RULES.values()
    ]
    return roles, rules


def reference_data_current(connection: Connection) -> bool:
    """Whether the database has the roles and rules of this release."""
    roles, rules = reference_rows()
    found_roles = [dict(row) for row in connection.execute(text("select * from role")).mappings()]
    found_rules = [dict(row) for row in connection.execute(text("select * from rule")).mappings()]
    return _sorted(found_roles, "name") == _sorted(roles, "name") and _sorted(found_rules, "code") == _sorted(
        rules, "code"
    )


def _sorted(rows: list[dict[str, object]], key: str) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: str(row[key]))


def write_reference_data(connection: Connection) -> None:
    """Write the chart's roles and the rulebook.

    So that an auditor with nothing but SQL can read them.
    """
    roles, rules = reference_rows()
    connection.execute(
        text(
            "insert into role (name, kind, side, subject, code, title) "
            "values (:name, :kind, :side, :subject, :code, :title) on conflict (name) do update "
            "set kind = excluded.kind, side = excluded.side, subject = excluded.subject, code = excluded.code, "
            "title = excluded.title"
        ),
        roles,
    )
    connection.execute(
        text(
            "insert into rule (number, code, debit, credit, why, citation) "
            "values (:number, :code, :debit, :credit, :why, :citation) on conflict (number) do update "
            "set code = excluded.code, debit = excluded.debit, credit = excluded.credit, why = excluded.why, "
            "citation = excluded.citation"
        ),
        rules,
    )
