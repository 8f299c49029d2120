"""Tables of what was exported and sent."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    text,
)

from ledger.database.schema.columns import (
    day_column,
    metadata,
    moment_column,
    number_column,
    reference_column,
    text_column,
)

export_run = Table(
    "export_run",
    metadata,
    Column("export_id", BigInteger, Identity(always=True), primary_key=True),
    text_column("target"),
    reference_column("entity", "entity.entity"),
    text_column("detail"),
    text_column("mapping"),
    number_column("through_entry"),
    Column("entries", Integer, nullable=False),
    text_column("totals"),
    text_column("file"),
    moment_column("at", default=True),
    text_column("by"),
)

export_part = Table(
    "export_part",
    metadata,
    text_column("target", key=True),
    reference_column("entity", "entity.entity", key=True),
    day_column("month", key=True),
    number_column("after_entry", key=True),
    Column("export_id", BigInteger, ForeignKey("export_run.export_id"), nullable=False),
    Index("export_part_export", "export_id"),
)

export_login = Table(
    "export_login",
    metadata,
    text_column("target", key=True),
    reference_column("entity", "entity.entity", key=True),
    text_column("company"),
    text_column("api"),
    text_column("accounts"),
    text_column("client"),
    text_column("sealed"),
    moment_column("at", default=True),
    text_column("by"),
)

export_job = Table(
    "export_job",
    metadata,
    Column("job_id", BigInteger, Identity(always=True), primary_key=True),
    text_column("target"),
    reference_column("entity", "entity.entity"),
    text_column("asked"),
    text_column("state", default="waiting"),
    Column("done", Integer, nullable=False, server_default=text("0")),
    text_column("said", default=""),
    text_column("file", null=True),
    Column("content", LargeBinary),
    moment_column("at", default=True),
    Column("ended_at", DateTime(timezone=True)),
    text_column("by"),
)

export_item = Table(
    "export_item",
    metadata,
    Column("export_id", BigInteger, ForeignKey("export_run.export_id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    text_column("kind"),
    text_column("number"),
    text_column("body"),
    Index("export_item_number", "kind", "number"),
)

export_attempt = Table(
    "export_attempt",
    metadata,
    Column("export_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    text_column("company"),
    text_column("request"),
    moment_column("at", default=True),
    text_column("by"),
    ForeignKeyConstraint(["export_id", "place"], ["export_item.export_id", "export_item.place"]),
)

export_answer = Table(
    "export_answer",
    metadata,
    Column("export_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    text_column("outcome"),
    text_column("their_id"),
    text_column("said"),
    moment_column("at", default=True),
    ForeignKeyConstraint(
        ["export_id", "place", "attempt"], [f"export_attempt.{name}" for name in ("export_id", "place", "attempt")]
    ),
)
