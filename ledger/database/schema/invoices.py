"""Tables of invoices, what changed them, and whose money lies on them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Numeric, SmallInteger, Table, text

from ledger.database.schema.columns import day_column, metadata, number_column, reference_column, text_column

invoice = Table(
    "invoice",
    metadata,
    number_column("customer_id", key=True),
    number_column("invoice_id", key=True),
    text_column("ref"),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    day_column("issued_on"),
    day_column("due_on"),
    number_column("total_minor"),
    number_column("receivable_account"),
    text_column("supersedes", null=True),
    Column("rate", Numeric),
    Column("number", BigInteger),
    day_column("recorded_on", null=True),
    text_column("master", null=True),
    Index("invoice_receivable", "receivable_account"),
    Index("invoice_recorded", "recorded_on", postgresql_where=text("recorded_on is not null")),
    Index("invoice_master", "customer_id", "master", postgresql_where=text("master is not null")),
)

invoice_counter = Table("invoice_counter", metadata, text_column("entity", key=True), number_column("last_number"))

invoice_line = Table(
    "invoice_line",
    metadata,
    number_column("customer_id", key=True),
    number_column("invoice_id", key=True),
    text_column("line", key=True),
    text_column("kind"),
    number_column("amount_minor"),
    reference_column("product", "product.product", null=True),
    text_column("subject"),
    Column("own_obligation", Boolean, nullable=False, server_default=text("false")),
    text_column("pattern", null=True),
    day_column("starts_on", null=True),
    day_column("ends_on", null=True),
    Column("deferred_account", BigInteger),
    Column("unbilled_account", BigInteger),
    Column("revenue_account", BigInteger),
    Column("discount_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("computed_minor", BigInteger),
    Index("invoice_line_obligation", "subject", postgresql_where=text("own_obligation")),
    Index("invoice_line_subject", "customer_id", "subject"),
    Index("invoice_line_ended", "ends_on", postgresql_where=text("own_obligation")),
)

invoice_line_part = Table(
    "invoice_line_part",
    metadata,
    number_column("customer_id", key=True),
    number_column("invoice_id", key=True),
    text_column("line", key=True),
    text_column("subject", key=True),
    number_column("amount_minor"),
    Index("invoice_line_part_subject", "customer_id", "subject"),
)

line_tax = Table(
    "line_tax",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("invoice_id", key=True),
    text_column("line", key=True),
    Column("position", SmallInteger, primary_key=True, nullable=False, autoincrement=False),
    reference_column("tax_code", "tax_code.tax_code"),
    text_column("treatment"),
    Column("included", Boolean, nullable=False),
    number_column("base_minor"),
    number_column("tax_minor"),
    Column("computed_minor", BigInteger),
    Column("undoes", BigInteger, primary_key=True, nullable=False, server_default=text("0"), autoincrement=False),
    Index("line_tax_invoice", "customer_id", "invoice_id"),
)

credit_line = Table(
    "credit_line",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("line", key=True),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    text_column("invoice", null=True),
    reference_column("product", "product.product"),
    number_column("amount_minor"),
)

line_change = Table(
    "line_change",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("invoice_id", key=True),
    text_column("line", key=True),
    text_column("kind", key=True),
    number_column("amount_minor"),
    reference_column("product", "product.product", null=True),
    text_column("subject"),
    Column("own_obligation", Boolean, nullable=False, server_default=text("false")),
    day_column("starts_on", null=True),
    day_column("ends_on", null=True),
    Column("deferred_account", BigInteger),
    Column("unbilled_account", BigInteger),
    Column("revenue_account", BigInteger),
    Column("rebill", Boolean, nullable=False, server_default=text("false")),
    Column("undoes", BigInteger, primary_key=True, nullable=False, server_default=text("0"), autoincrement=False),
    Column("part", Integer, primary_key=True, nullable=False, server_default=text("0"), autoincrement=False),
    Index("line_change_invoice", "customer_id", "invoice_id"),
    Index("line_change_subject", "customer_id", "subject"),
)

money_use = Table(
    "money_use",
    metadata,
    number_column("customer_id", key=True),
    number_column("use_id", key=True),
    number_column("document_id"),
    number_column("money_id"),
    number_column("invoice_id"),
    number_column("origin_id"),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    day_column("on_day"),
    number_column("amount_minor"),
    number_column("paid_minor"),
    text_column("paid_currency"),
    Column("undoes", BigInteger, nullable=False, server_default=text("0")),
    Index("money_use_place", "customer_id", "invoice_id"),
    Index("money_use_money", "money_id", "customer_id"),
    Index("money_use_document", "document_id", "customer_id"),
)

coupon_use = Table(
    "coupon_use",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("invoice_id", key=True),
    text_column("line", key=True),
    reference_column("coupon", "coupon.coupon"),
    reference_column("product", "product.product", null=True),
    day_column("used_on"),
    number_column("base_minor"),
    number_column("discount_minor"),
    Index("coupon_use_invoice", "customer_id", "invoice_id"),
)

# The document that an invoice `i` was posted by: what came before it made it what it is.
INVOICE_POSTED_AS = "coalesce((select m.invoice_id from invoice m where m.customer_id = i.customer_id and m.ref = i.master), i.invoice_id)"
