"""What pages call accounts, roles, rules and things, and where these link to."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, g, url_for

from ledger.accounts.chart import ROLES
from ledger.amounts.dates import parse_month
from ledger.journal import entries
from ledger.reports.trial_balance import GlAccounts
from web.access.guard import engine
from web.render.links import drill, report_link
from web.render.wording import day, money

blueprint = Blueprint("pages", __name__)

blueprint.add_app_template_filter(day, "day")
blueprint.add_app_template_filter(money, "money")


@blueprint.app_template_filter("month")
def month(value: str | date) -> str:
    """A month as people read it: January 2026."""
    first = parse_month(value) if isinstance(value, str) else value
    return f"{first:%B %Y}"


@blueprint.app_template_filter("role_title")
def role_title(name: str) -> str:
    """A role's plain name."""
    return ROLES[name].title


@blueprint.app_template_global()
def gl_account(entity: str, role: str, product: str = "") -> str:
    """A general-ledger account as its entity calls it: code and name."""
    return " ".join(gl_accounts().of(entity, role, product))


@blueprint.app_template_global()
def account_short(line: entries.JournalLine) -> str:
    """What a line's account is called in a list: the entity's own code and name, else the role's plain name."""
    if gl_accounts().is_own(line.entity, line.role, line.product):
        return gl_account(line.entity, line.role, line.product)
    return role_short(line.role)


def gl_accounts() -> GlAccounts:
    """The accounts as entities call them, read once a request."""
    if "gl_accounts" not in g:
        with engine().connect() as connection:
            g.gl_accounts = GlAccounts(connection)
    found: GlAccounts = g.gl_accounts
    return found


@blueprint.app_template_filter("role_short")
def role_short(name: str) -> str:
    """A role's name without what stands behind it in brackets."""
    return ROLES[name].title.partition(" (")[0]


@blueprint.app_template_global()
def rule_said(code: str) -> str:
    """A rule's code in words: draw.prepaid_unbilled as "Draw, prepaid unbilled"."""
    family, _, what = code.partition(".")
    return (
        f"{family.replace('_', ' ').capitalize()}, {what.replace('_', ' ')}"
        if what
        else family.replace("_", " ").capitalize()
    )


blueprint.add_app_template_global(drill)
blueprint.add_app_template_global(report_link)


@blueprint.app_template_global()
def role_kind(name: str) -> str:
    """What kind of account a role is: asset, liability, memorandum..."""
    return ROLES[name].kind


@blueprint.app_template_global()
def link_to(ref: str) -> str | None:
    """The page of a thing named kind:ref, or None where it has none."""
    kind, _, rest = ref.partition(":")
    if kind == "entry":
        return url_for("pages.entry", entry_id=int(rest.replace(",", "")))
    if kind in ("export", "line"):
        return url_for("pages.thing", kind="export", ref=rest)
    if kind in ("more", "sealed", "stated"):
        return None
    if kind in ("exported", "sent"):
        return url_for("desk.exports")
    if kind == "ledger":
        entity, _, role = rest.rpartition("/")
        return url_for("pages.ledger_account", entity=entity, role=role)
    return None if kind == "events" else url_for("pages.thing", kind=kind, ref=rest)


@blueprint.app_template_global()
def subject_link(subject: str) -> str | None:
    """The page of what an account is about, or None where that is no document or obligation."""
    return link_to(subject) if subject.startswith(("grant:", "invoice:", "obligation:", "credit_note:")) else None
