"""Tables of documents, of how they are found, and of what is personal in them."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, Integer, LargeBinary, Table, text

from ledger.database.schema.columns import day_column, metadata, moment_column, number_column, text_column

document_key = Table(
    "document_key",
    metadata,
    text_column("type", key=True),
    text_column("ref", key=True),
    number_column("customer_id"),
    number_column("document_id"),
)

external_key = Table(
    "external_key",
    metadata,
    text_column("system", key=True),
    text_column("external_id", key=True),
    text_column("type", key=True),
    text_column("status", key=True),
    number_column("customer_id"),
    number_column("document_id"),
    Index("external_key_id", "external_id"),
)

document_reference = Table(
    "document_reference",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("reference"),
    Index("document_reference_text", "reference"),
)

document = Table(
    "document",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("type"),
    text_column("ref"),
    day_column("dated_on", null=True),
    text_column("body"),
    Column("hash", LargeBinary, nullable=False),
    moment_column("posted_at"),
    text_column("posted_by"),
    Column("entry_count", Integer),
    Index("document_manual", "customer_id", postgresql_where=text("type = 'manual_entry'")),
    Index("document_kind", "customer_id", "type", postgresql_where=text("type <> 'usage'")),
    Index("document_posted", "posted_at", postgresql_using="brin"),
    Index("document_range", "document_id", postgresql_using="brin"),
    Index("document_customer_change", "customer_id", "dated_on", postgresql_where=text("type = 'customer_change'")),
)

personal_fields = Table(
    "personal_fields",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("type"),
    text_column("ref"),
    text_column("entity", null=True),
    day_column("dated_on", null=True),
    Column("commitment", LargeBinary, nullable=False),
    Column("salt", LargeBinary),
    text_column("fields", null=True),
    Column("erased_at", DateTime(timezone=True)),
    text_column("erased_by", null=True),
    text_column("reason", null=True),
    Index("personal_fields_ref", "type", "ref"),
    Index("personal_fields_details", "customer_id", "dated_on", postgresql_where=text("type = 'details'")),
)

approval_by_rule = Table(
    "approval_by_rule",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("rule"),
    Index("approval_by_rule_rule", "rule"),
)

superseded_usage = Table(
    "superseded_usage",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("superseded_by"),
)
