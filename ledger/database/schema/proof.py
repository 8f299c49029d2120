"""Tables of what is sealed, logged and verified."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, LargeBinary, SmallInteger, Table

from ledger.database.schema.columns import metadata, moment_column, number_column, text_column

seal = Table(
    "seal",
    metadata,
    number_column("seal_id", key=True),
    number_column("first_entry"),
    number_column("last_entry"),
    Column("entries", Integer, nullable=False),
    number_column("postings"),
    text_column("totals"),
    Column("root", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    moment_column("sealed_at"),
    text_column("sealed_by"),
    Column("last_document", BigInteger),
    Column("documents", Integer),
    Column("documents_root", LargeBinary),
    Column("last_account", BigInteger),
    Column("accounts", Integer),
    Column("accounts_root", LargeBinary),
    Column("last_row", BigInteger),
    Column("rows", BigInteger),
    Column("rows_root", LargeBinary),
)

seal_leaves = Table(
    "seal_leaves",
    metadata,
    Column("seal_id", BigInteger, ForeignKey("seal.seal_id"), primary_key=True, autoincrement=False),
    Column("entries", LargeBinary, nullable=False),
    Column("documents", LargeBinary, nullable=False),
    Column("accounts", LargeBinary, nullable=False),
    Column("rows", LargeBinary),
)

row_log = Table(
    "row_log",
    metadata,
    number_column("row_log_id", key=True),
    text_column("table_name"),
    text_column("key"),
    Column("hash", LargeBinary, nullable=False),
    Column("change", SmallInteger, nullable=False),
    Index("row_log_range", "row_log_id", postgresql_using="brin"),
)

verification = Table(
    "verification",
    metadata,
    Column("verification_id", BigInteger, Identity(always=True), primary_key=True),
    moment_column("at", default=True),
    text_column("by"),
    Column("checks", Integer, nullable=False),
    Column("differing", Integer, nullable=False),
    number_column("last_entry"),
    Column("head", LargeBinary),
)
