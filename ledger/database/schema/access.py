"""Tables of keys and sessions, and of what was asked by them."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)

from ledger.database.schema.columns import day_column, metadata, moment_column, number_column, text_column

api_key = Table(
    "api_key",
    metadata,
    Column("key_id", BigInteger, Identity(always=True), primary_key=True),
    text_column("name"),
    text_column("role"),
    Column("entities", ARRAY(Text)),
    Column("hash", LargeBinary, nullable=False),
    moment_column("created_at", default=True),
    text_column("created_by"),
    day_column("expires_on"),
    Column("revoked_at", DateTime(timezone=True)),
    text_column("revoked_by", null=True),
)

page_session = Table(
    "page_session",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("key_id", BigInteger, ForeignKey("api_key.key_id"), nullable=False),
    moment_column("ends_at"),
    Index("page_session_ends", "ends_at"),
)

api_request = Table(
    "api_request",
    metadata,
    Column("key_id", BigInteger, primary_key=True),
    text_column("idempotency_key", key=True),
    Column("content", LargeBinary, nullable=False),
    moment_column("begun_at", default=True),
    Column("status", SmallInteger),
    text_column("answer", null=True),
    Index("api_request_begun", "begun_at"),
)

posted_file = Table(
    "posted_file",
    metadata,
    Column("hash", LargeBinary, primary_key=True, nullable=False),
    number_column("lines"),
    number_column("bytes"),
    Column("finished", Boolean, nullable=False),
    text_column("posted_by"),
    moment_column("begun_at", default=True),
    moment_column("posted_at", default=True),
)

request_count = Table(
    "request_count",
    metadata,
    text_column("name", key=True),
    Column("hits", BigInteger, nullable=False),
    moment_column("ends_at"),
    Index("request_count_ended", "ends_at"),
    prefixes=["unlogged"],
)
