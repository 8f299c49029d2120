"""Tables of the journal: accounts, entries, postings, and the months that are closed."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
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

role = Table(
    "role",
    metadata,
    text_column("name", key=True),
    text_column("kind"),
    text_column("side"),
    text_column("subject"),
    text_column("code"),
    text_column("title"),
)

rule = Table(
    "rule",
    metadata,
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False, unique=True),
    reference_column("debit", "role.name", null=True),
    reference_column("credit", "role.name", null=True),
    text_column("why"),
    text_column("citation"),
)

account = Table(
    "account",
    metadata,
    number_column("customer_id", key=True),
    number_column("account_id", key=True),
    reference_column("entity", "entity.entity"),
    reference_column("role", "role.name"),
    text_column("currency"),
    text_column("subject"),
    text_column("product", default=""),
    UniqueConstraint("customer_id", "entity", "role", "currency", "subject", "product", name="account_identity"),
    Index("account_role", "role", "entity", "customer_id"),
    Index("account_range", "account_id", postgresql_using="brin"),
)

entry = Table(
    "entry",
    metadata,
    number_column("customer_id", key=True),
    number_column("entry_id", key=True),
    number_column("document_id"),
    moment_column("posted_at"),
    Column("reverses", BigInteger),
    day_column("effective_on"),
    day_column("occurred_on"),
    Column("posting_count", Integer, nullable=False),
    text_column("posted_by"),
    Column("hash", LargeBinary, nullable=False),
    Index("entry_document", "document_id"),
    Index("entry_range", "entry_id", postgresql_using="brin"),
    Index("entry_reversed_once", "customer_id", "reverses", unique=True, postgresql_where=text("reverses IS NOT NULL")),
)

posting = Table(
    "posting",
    metadata,
    number_column("customer_id", key=True),
    number_column("entry_id", key=True),
    number_column("debit_account"),
    number_column("credit_account"),
    number_column("amount"),
    number_column("functional_amount"),
    day_column("effective_on"),
    Column("line", SmallInteger, primary_key=True, nullable=False, autoincrement=False),
    Column("rule", SmallInteger, nullable=False),
    Index("posting_debit", "debit_account"),
    Index("posting_credit", "credit_account"),
    Index("posting_range", "entry_id", postgresql_using="brin"),
)

daily_total = Table(
    "daily_total",
    metadata,
    reference_column("entity", "entity.entity", key=True),
    reference_column("role", "role.name", key=True),
    text_column("product", key=True),
    text_column("currency", key=True),
    day_column("effective_on", key=True),
    *(Column(name, Numeric, nullable=False) for name in ("debit", "credit", "functional_debit", "functional_credit")),
)

open_receivable = Table(
    "open_receivable",
    metadata,
    number_column("customer_id", key=True),
    number_column("account_id", key=True),
    Column("amount", Numeric, nullable=False),
)

closed_books = Table(
    "closed_books", metadata, reference_column("entity", "entity.entity", key=True), day_column("closed_through")
)

period_event = Table(
    "period_event",
    metadata,
    Column("period_event_id", BigInteger, Identity(always=True), primary_key=True),
    reference_column("entity", "entity.entity"),
    day_column("month"),
    text_column("action"),
    moment_column("at", default=True),
    text_column("by"),
    text_column("reason", default=""),
    Column("last_entry", BigInteger),
    Column("undone", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)
