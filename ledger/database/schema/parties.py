"""Tables of entities and customers, and of what is agreed before anything is billed."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, Integer, Numeric, SmallInteger, Table, Text, text

from ledger.database.schema.columns import day_column, metadata, number_column, reference_column, text_column

customer = Table(
    "customer",
    metadata,
    number_column("customer_id", key=True),
    Column("ref", Text, nullable=False, unique=True),
    text_column("name"),
    text_column("country", null=True),
    text_column("tax_id", null=True),
    text_column("overage", default="bill"),
    text_column("tax_status", default="taxable"),
    Column("tax_codes", ARRAY(Text)),
    Column("terms", Integer),
    text_column("parent", null=True),
)

entity = Table(
    "entity",
    metadata,
    text_column("entity", key=True),
    text_column("name"),
    text_column("currency"),
    text_column("country", null=True),
    text_column("time_zone"),
    text_column("tax_rounding", default="line"),
    text_column("invoice_prefix", null=True),
    Column("fiscal_year_start", SmallInteger, nullable=False, server_default=text("1")),
    Column("bills_within", Integer, nullable=False, server_default=text("60")),
    text_column("arrears", default="when_billed"),
    Column("amount_tolerance", Integer, nullable=False, server_default=text("0")),
)

product = Table("product", metadata, text_column("product", key=True), text_column("name"))

gl_account = Table(
    "gl_account",
    metadata,
    reference_column("entity", "entity.entity", key=True),
    reference_column("role", "role.name", key=True),
    text_column("product", key=True, default=""),
    text_column("code"),
    text_column("name"),
)

money_account = Table(
    "money_account",
    metadata,
    text_column("account", key=True),
    reference_column("entity", "entity.entity"),
    text_column("name"),
    text_column("kind"),
    text_column("currency"),
    Column("overdraft", Boolean, nullable=False, server_default=text("false")),
)

tax_code = Table(
    "tax_code",
    metadata,
    text_column("tax_code", key=True),
    text_column("name"),
    Column("rate", Numeric, nullable=False),
    Column("fixed", Numeric, nullable=False),
    Column("inclusive", Boolean, nullable=False),
    Column("compound", Boolean, nullable=False),
    Column("countries", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)

fx_rate = Table(
    "fx_rate",
    metadata,
    text_column("base", key=True),
    text_column("quote", key=True),
    Column("date", Date, primary_key=True, nullable=False),
    Column("rate", Numeric, nullable=False),
)

coupon = Table(
    "coupon",
    metadata,
    text_column("coupon", key=True),
    text_column("name"),
    Column("percent", Numeric),
    Column("amount_minor", BigInteger),
    text_column("currency", null=True),
    text_column("duration"),
    Column("months", Integer),
    Column("products", ARRAY(Text)),
    day_column("redeem_by", null=True),
)
