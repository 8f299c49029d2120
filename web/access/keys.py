"""Who may use the API and the pages: keys of persons and systems, each with a role, the entities it is for, and a last day.

A key is shown once, when it is made: kept is the SHA-256 of its 256 random bits, which nobody can try through. So it is of a session,
which the pages exchange a key for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from ledger.errors import Refused, UnknownReference
from ledger.letters import unseen
from ledger.reports.report import Column, Report

# Each may do what those before it may: see everything; post documents; close, recognise, seal and export; make keys.
ROLES = ("viewer", "operator", "controller", "admin")
DAYS = 365  # how long a key holds where nothing else is said
SESSION_SECONDS = 12 * 3600
_KEY = re.compile(r"tm_(\d{1,18})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: by which key, as what, for the books of which entities (None: all)."""

    key_id: int
    name: str
    role: str
    entities: tuple[str, ...] | None = None

    def may(self, role: str) -> bool:
        """Whether it may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, entity: str) -> bool:
        """Whether an entity's books are open to it."""
        return self.entities is None or entity in self.entities


def create(
    connection: Connection, name: str, role: str, by: str, entities: Sequence[str] = (), expires_on: date | None = None
) -> str:
    """Make a key, and return it: it can't be shown again. Raises Refused for a name, role, entity or day that is none."""
    if not name.strip() or len(name) > 100:
        raise Refused("name", name, "expected the name of a person or a system, of at most 100 characters")
    if hidden := unseen(name.strip()):
        raise Refused("name", name, f"expected a name of letters that can be seen: not {hidden}")
    if role not in ROLES:
        raise Refused("role", role, f"expected one of {', '.join(ROLES)}")
    last = expires_on or datetime.now(UTC).date() + timedelta(days=DAYS)
    if last < datetime.now(UTC).date():
        raise Refused("expires", last, "expected today or later")
    known = set(connection.scalars(text("select entity from entity")))
    for entity in entities:
        if entity not in known:
            raise UnknownReference("entity", entity, "expected the id of an entity in the books")
    secret = secrets.token_urlsafe(32)
    key_id = connection.scalar(
        text(
            "insert into api_key (name, role, entities, hash, created_by, expires_on)"
            " values (:name, :role, :entities, :hash, :by, :last) returning key_id"
        ),
        {
            "name": name.strip(), "role": role, "entities": sorted(set(entities)) or None, "hash": _hash(secret), "by": by, "last": last,
        },
    )  # fmt: skip
    return f"tm_{key_id}_{secret}"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def find(connection: Connection, key: str) -> Who | None:
    """Who a key is of; None for one that is not, no more, or not any longer."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    row = _row(connection, int(found[1]))
    if row is None or not hmac.compare_digest(bytes(row.hash), _hash(found[2])):
        return None
    return _holding(row)


def begin_session(connection: Connection, key_id: int) -> str:
    """Begin a session of a key, and return what its cookie is to hold; those that have ended since are cleared away."""
    connection.execute(text("delete from page_session where ends_at < now()"))
    session = secrets.token_urlsafe(32)
    connection.execute(
        text(
            "insert into page_session (hash, key_id, ends_at) values (:hash, :key, now() + make_interval(secs => :seconds))"
        ),
        {"hash": _hash(session), "key": key_id, "seconds": SESSION_SECONDS},
    )
    return session


def in_session(connection: Connection, session: str) -> Who | None:
    """Who signed in, as long as neither the session nor the key has ended."""
    row = connection.execute(
        text(
            "select k.* from page_session s join api_key k using (key_id) where s.hash = :hash and s.ends_at >= now()"
        ),
        {"hash": _hash(session)},
    ).first()
    return None if row is None else _holding(row)


def end_session(connection: Connection, session: str) -> None:
    """End a session, whoever has its cookie."""
    connection.execute(text("delete from page_session where hash = :hash"), {"hash": _hash(session)})


def _row(connection: Connection, key_id: int) -> Any:
    return connection.execute(text("select * from api_key where key_id = :key"), {"key": key_id}).first()


def _holding(row: Any) -> Who | None:
    if row.revoked_at is not None or row.expires_on < datetime.now(UTC).date():
        return None
    return Who(row.key_id, row.name, row.role, None if row.entities is None else tuple(row.entities))


def revoke(connection: Connection, key_id: int, by: str) -> None:
    """Let a key hold no more, from now on. Raises UnknownReference, or Refused where it does not hold already."""
    row = _row(connection, key_id)
    if row is None:
        raise UnknownReference("key", key_id, "expected the number of a key")
    if row.revoked_at is not None:
        raise Refused(
            "key", key_id, f"expected a key that holds: it was revoked on {row.revoked_at:%Y-%m-%d} by {row.revoked_by}"
        )
    connection.execute(
        text("update api_key set revoked_at = now(), revoked_by = :by where key_id = :key"), {"key": key_id, "by": by}
    )


def keys(connection: Connection) -> Report:
    """All keys there are and were, without what they are made of."""
    rows = connection.execute(text("select * from api_key order by key_id"))
    today = datetime.now(UTC).date()
    columns = (
        Column("key", "Key"), Column("name", "Name"), Column("role", "Role"), Column("entities", "Entities"), Column("state", "State"),
        Column("expires_on", "Last day", "date"), Column("created_at", "Made"), Column("created_by", "By"),
    )  # fmt: skip
    found = [
        {
            "key": str(row.key_id), "name": row.name, "role": row.role, "entities": ", ".join(row.entities or ("all",)),
            "state": "revoked" if row.revoked_at else "expired" if row.expires_on < today else "holds",
            "expires_on": row.expires_on, "created_at": row.created_at.isoformat(timespec="seconds"), "created_by": row.created_by,
        }
        for row in rows
    ]  # fmt: skip
    return Report(
        "keys",
        "Keys",
        columns,
        tuple(found),
        empty="No key was made: `tickmark key create NAME --role viewer` makes one.",
    )
