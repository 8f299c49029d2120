"""The tables, declared for SQLAlchemy Core so that queries are built from names that exist.

What they are for, their constraints and triggers stand in migrations/; a test holds the two together.
Amounts are bigint minor units; `customer_id` leads every key of the journal (one customer's rows live together).
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def _text(name: str, *, key: bool = False, null: bool = False, default: str | None = None) -> Column[str]:
    server_default = None if default is None else text(f"'{default}'")
    return Column(name, Text, primary_key=key, nullable=null, server_default=server_default)


def _refers(name: str, target: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, ForeignKey(target), primary_key=key, nullable=null)


def _day(name: str, *, key: bool = False, null: bool = False) -> Column[object]:
    return Column(name, Date, primary_key=key, nullable=null)


def _moment(name: str, *, default: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()") if default else None)


role = Table(
    "role",
    metadata,
    _text("name", key=True),
    _text("kind"),
    _text("side"),
    _text("subject"),
    _text("code"),
    _text("title"),
)

rule = Table(
    "rule",
    metadata,
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False, unique=True),
    _refers("debit", "role.name", null=True),
    _refers("credit", "role.name", null=True),
    _text("why"),
    _text("citation"),
)

customer = Table(
    "customer",
    metadata,
    _number("customer_id", key=True),
    Column("ref", Text, nullable=False, unique=True),
    _text("name"),
    _text("country", null=True),
    _text("tax_id", null=True),
    _text("overage", default="bill"),
    _text("tax_status", default="taxable"),
    Column("tax_codes", ARRAY(Text)),
    Column("terms", Integer),
    _text("parent", null=True),
)

entity = Table(
    "entity",
    metadata,
    _text("entity", key=True),
    _text("name"),
    _text("currency"),
    _text("country", null=True),
    _text("time_zone"),
    _text("tax_rounding", default="line"),
    _text("invoice_prefix", null=True),
    Column("fiscal_year_start", SmallInteger, nullable=False, server_default=text("1")),
    Column("bills_within", Integer, nullable=False, server_default=text("60")),
    _text("arrears", default="when_billed"),
    Column("amount_tolerance", Integer, nullable=False, server_default=text("0")),
)

product = Table("product", metadata, _text("product", key=True), _text("name"))

gl_account = Table(
    "gl_account",
    metadata,
    _refers("entity", "entity.entity", key=True),
    _refers("role", "role.name", key=True),
    _text("product", key=True, default=""),
    _text("code"),
    _text("name"),
)

money_account = Table(
    "money_account",
    metadata,
    _text("account", key=True),
    _refers("entity", "entity.entity"),
    _text("name"),
    _text("kind"),
    _text("currency"),
    Column("overdraft", Boolean, nullable=False, server_default=text("false")),
)

tax_code = Table(
    "tax_code",
    metadata,
    _text("tax_code", key=True),
    _text("name"),
    Column("rate", Numeric, nullable=False),
    Column("fixed", Numeric, nullable=False),
    Column("inclusive", Boolean, nullable=False),
    Column("compound", Boolean, nullable=False),
    Column("countries", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)

document_key = Table(
    "document_key",
    metadata,
    _text("type", key=True),
    _text("ref", key=True),
    _number("customer_id"),
    _number("document_id"),
)

external_key = Table(
    "external_key",
    metadata,
    _text("system", key=True),
    _text("external_id", key=True),
    _text("type", key=True),
    _text("status", key=True),
    _number("customer_id"),
    _number("document_id"),
    Index("external_key_id", "external_id"),
)

document_reference = Table(
    "document_reference",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("reference"),
    Index("document_reference_text", "reference"),
)

document = Table(
    "document",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("type"),
    _text("ref"),
    _day("dated_on", null=True),
    _text("body"),
    Column("hash", LargeBinary, nullable=False),
    _moment("posted_at"),
    _text("posted_by"),
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
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("type"),
    _text("ref"),
    _text("entity", null=True),
    _day("dated_on", null=True),
    Column("commitment", LargeBinary, nullable=False),
    Column("salt", LargeBinary),
    _text("fields", null=True),
    Column("erased_at", DateTime(timezone=True)),
    _text("erased_by", null=True),
    _text("reason", null=True),
    Index("personal_fields_ref", "type", "ref"),
    Index("personal_fields_details", "customer_id", "dated_on", postgresql_where=text("type = 'details'")),
)

account = Table(
    "account",
    metadata,
    _number("customer_id", key=True),
    _number("account_id", key=True),
    _refers("entity", "entity.entity"),
    _refers("role", "role.name"),
    _text("currency"),
    _text("subject"),
    _text("product", default=""),
    UniqueConstraint("customer_id", "entity", "role", "currency", "subject", "product", name="account_identity"),
    Index("account_role", "role", "entity", "customer_id"),
    Index("account_range", "account_id", postgresql_using="brin"),
)

entry = Table(
    "entry",
    metadata,
    _number("customer_id", key=True),
    _number("entry_id", key=True),
    _number("document_id"),
    _moment("posted_at"),
    Column("reverses", BigInteger),
    _day("effective_on"),
    _day("occurred_on"),
    Column("posting_count", Integer, nullable=False),
    _text("posted_by"),
    Column("hash", LargeBinary, nullable=False),
    Index("entry_document", "document_id"),
    Index("entry_range", "entry_id", postgresql_using="brin"),
    Index("entry_reversed_once", "customer_id", "reverses", unique=True, postgresql_where=text("reverses IS NOT NULL")),
)

posting = Table(
    "posting",
    metadata,
    _number("customer_id", key=True),
    _number("entry_id", key=True),
    _number("debit_account"),
    _number("credit_account"),
    _number("amount"),
    _number("functional_amount"),
    _day("effective_on"),
    Column("line", SmallInteger, primary_key=True, nullable=False, autoincrement=False),
    Column("rule", SmallInteger, nullable=False),
    Index("posting_debit", "debit_account"),
    Index("posting_credit", "credit_account"),
    Index("posting_range", "entry_id", postgresql_using="brin"),
)

seal = Table(
    "seal",
    metadata,
    _number("seal_id", key=True),
    _number("first_entry"),
    _number("last_entry"),
    Column("entries", Integer, nullable=False),
    _number("postings"),
    _text("totals"),
    Column("root", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    _moment("sealed_at"),
    _text("sealed_by"),
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
    _number("row_log_id", key=True),
    _text("table_name"),
    _text("key"),
    Column("hash", LargeBinary, nullable=False),
    Column("change", SmallInteger, nullable=False),
    Index("row_log_range", "row_log_id", postgresql_using="brin"),
)

verification = Table(
    "verification",
    metadata,
    Column("verification_id", BigInteger, Identity(always=True), primary_key=True),
    _moment("at", default=True),
    _text("by"),
    Column("checks", Integer, nullable=False),
    Column("differing", Integer, nullable=False),
    _number("last_entry"),
    Column("head", LargeBinary),
)

daily_total = Table(
    "daily_total",
    metadata,
    _refers("entity", "entity.entity", key=True),
    _refers("role", "role.name", key=True),
    _text("product", key=True),
    _text("currency", key=True),
    _day("effective_on", key=True),
    *(Column(name, Numeric, nullable=False) for name in ("debit", "credit", "functional_debit", "functional_credit")),
)

open_receivable = Table(
    "open_receivable",
    metadata,
    _number("customer_id", key=True),
    _number("account_id", key=True),
    Column("amount", Numeric, nullable=False),
)

export_run = Table(
    "export_run",
    metadata,
    Column("export_id", BigInteger, Identity(always=True), primary_key=True),
    _text("target"),
    _refers("entity", "entity.entity"),
    _text("detail"),
    _text("mapping"),
    _number("through_entry"),
    Column("entries", Integer, nullable=False),
    _text("totals"),
    _text("file"),
    _moment("at", default=True),
    _text("by"),
)

export_part = Table(
    "export_part",
    metadata,
    _text("target", key=True),
    _refers("entity", "entity.entity", key=True),
    _day("month", key=True),
    _number("after_entry", key=True),
    Column("export_id", BigInteger, ForeignKey("export_run.export_id"), nullable=False),
    Index("export_part_export", "export_id"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("key_id", BigInteger, Identity(always=True), primary_key=True),
    _text("name"),
    _text("role"),
    Column("entities", ARRAY(Text)),
    Column("hash", LargeBinary, nullable=False),
    _moment("created_at", default=True),
    _text("created_by"),
    _day("expires_on"),
    Column("revoked_at", DateTime(timezone=True)),
    _text("revoked_by", null=True),
)

page_session = Table(
    "page_session",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("key_id", BigInteger, ForeignKey("api_key.key_id"), nullable=False),
    _moment("ends_at"),
    Index("page_session_ends", "ends_at"),
)

api_request = Table(
    "api_request",
    metadata,
    Column("key_id", BigInteger, primary_key=True),
    _text("idempotency_key", key=True),
    Column("content", LargeBinary, nullable=False),
    _moment("begun_at", default=True),
    Column("status", SmallInteger),
    _text("answer", null=True),
    Index("api_request_begun", "begun_at"),
)

posted_file = Table(
    "posted_file",
    metadata,
    Column("hash", LargeBinary, primary_key=True, nullable=False),
    _number("lines"),
    _number("bytes"),
    Column("finished", Boolean, nullable=False),
    _text("posted_by"),
    _moment("begun_at", default=True),
    _moment("posted_at", default=True),
)

request_count = Table(
    "request_count",
    metadata,
    _text("name", key=True),
    Column("hits", BigInteger, nullable=False),
    _moment("ends_at"),
    Index("request_count_ended", "ends_at"),
    prefixes=["unlogged"],
)

export_login = Table(
    "export_login",
    metadata,
    _text("target", key=True),
    _refers("entity", "entity.entity", key=True),
    _text("company"),
    _text("api"),
    _text("accounts"),
    _text("client"),
    _text("sealed"),
    _moment("at", default=True),
    _text("by"),
)

export_job = Table(
    "export_job",
    metadata,
    Column("job_id", BigInteger, Identity(always=True), primary_key=True),
    _text("target"),
    _refers("entity", "entity.entity"),
    _text("asked"),
    _text("state", default="waiting"),
    Column("done", Integer, nullable=False, server_default=text("0")),
    _text("said", default=""),
    _text("file", null=True),
    Column("content", LargeBinary),
    _moment("at", default=True),
    Column("ended_at", DateTime(timezone=True)),
    _text("by"),
)

export_item = Table(
    "export_item",
    metadata,
    Column("export_id", BigInteger, ForeignKey("export_run.export_id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    _text("kind"),
    _text("number"),
    _text("body"),
    Index("export_item_number", "kind", "number"),
)

export_attempt = Table(
    "export_attempt",
    metadata,
    Column("export_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    _text("company"),
    _text("request"),
    _moment("at", default=True),
    _text("by"),
    ForeignKeyConstraint(["export_id", "place"], ["export_item.export_id", "export_item.place"]),
)

export_answer = Table(
    "export_answer",
    metadata,
    Column("export_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    _text("outcome"),
    _text("their_id"),
    _text("said"),
    _moment("at", default=True),
    ForeignKeyConstraint(
        ["export_id", "place", "attempt"], [f"export_attempt.{name}" for name in ("export_id", "place", "attempt")]
    ),
)

fx_rate = Table(
    "fx_rate",
    metadata,
    _text("base", key=True),
    _text("quote", key=True),
    Column("date", Date, primary_key=True, nullable=False),
    Column("rate", Numeric, nullable=False),
)

closed_books = Table("closed_books", metadata, _refers("entity", "entity.entity", key=True), _day("closed_through"))

period_event = Table(
    "period_event",
    metadata,
    Column("period_event_id", BigInteger, Identity(always=True), primary_key=True),
    _refers("entity", "entity.entity"),
    _day("month"),
    _text("action"),
    _moment("at", default=True),
    _text("by"),
    _text("reason", default=""),
    Column("last_entry", BigInteger),
    Column("undone", ARRAY(Text), nullable=False, server_default=text("'{}'")),
)

approval_by_rule = Table(
    "approval_by_rule",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("rule"),
    Index("approval_by_rule_rule", "rule"),
)

credit_grant = Table(
    "credit_grant",
    metadata,
    _number("customer_id", key=True),
    _number("grant_id", key=True),
    _text("ref"),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _text("kind"),
    _number("face_minor"),
    _number("price_minor"),
    _day("effective_on"),
    _day("expires_on", null=True),
    Column("products", ARRAY(Text)),
    Column("priority", Integer),
    Column("expected_breakage", Numeric, nullable=False, server_default=text("0")),
    _text("contract", null=True),
    _text("carried_from", null=True),
    Column("free", Boolean, Computed("kind in ('promotional', 'pilot') and price_minor = 0"), nullable=False),
    Column(
        "in_memorandum",
        Boolean,
        Computed("kind = 'promotional' or price_minor <> face_minor or expected_breakage > 0 or contract is not null"),
        nullable=False,
    ),
    Column("expected_use", Numeric, nullable=False, server_default=text("1")),
    Index("credit_grant_ended", "expires_on"),
)

grant_balance = Table(
    "grant_balance",
    metadata,
    _number("customer_id", key=True),
    _number("grant_id", key=True),
    _number("face_minor"),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"))
        for name in (
            "drawn_face_minor",
            "expired_face_minor",
            "drawn_minor",
            "broken_minor",
            "moved_face_minor",
            "moved_minor",
        )
    ),
    _day("returned_on", null=True),
)

grant_move = Table(
    "grant_move",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("grant_id", key=True),
    _text("kind", key=True),
    _day("effective_on"),
    _number("face_minor"),
    _text("line", key=True, default=""),
    Column("amount_minor", BigInteger, nullable=False, server_default=text("0")),
)

usage_returned = Table(
    "usage_returned",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("entry_id", key=True),
    _text("subject", key=True),
    _number("face_minor"),
    Index("usage_returned_entry", "customer_id", "entry_id"),
)

breakage_estimate = Table(
    "breakage_estimate",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("ref"),
    _number("grant_id"),
    _day("effective_on"),
    Column("expected_breakage", Numeric, nullable=False),
    _text("reason"),
)

draw_order = Table(
    "draw_order",
    metadata,
    _number("customer_id", key=True),
    _text("contract", key=True),
    Column("kinds", ARRAY(Text), nullable=False),
)

usage_meter = Table(
    "usage_meter",
    metadata,
    _number("customer_id", key=True),
    _refers("entity", "entity.entity", key=True),
    _refers("product", "product.product", key=True),
    _text("currency", key=True),
    Column("rated", Numeric, nullable=False),
    _number("posted_minor"),
)

invoice = Table(
    "invoice",
    metadata,
    _number("customer_id", key=True),
    _number("invoice_id", key=True),
    _text("ref"),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _day("issued_on"),
    _day("due_on"),
    _number("total_minor"),
    _number("receivable_account"),
    _text("supersedes", null=True),
    Column("rate", Numeric),
    Column("number", BigInteger),
    _day("recorded_on", null=True),
    _text("master", null=True),
    Index("invoice_receivable", "receivable_account"),
    Index("invoice_recorded", "recorded_on", postgresql_where=text("recorded_on is not null")),
    Index("invoice_master", "customer_id", "master", postgresql_where=text("master is not null")),
)

invoice_counter = Table("invoice_counter", metadata, _text("entity", key=True), _number("last_number"))

wallet_alert = Table(
    "wallet_alert",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("ref"),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _number("threshold_minor"),
)

wallet_alert_event = Table(
    "wallet_alert_event",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    _text("crossed"),
    _number("left_minor"),
    _moment("at"),
)

wallet_alert_delivery = Table(
    "wallet_alert_delivery",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("event_id", key=True),
    _moment("delivered_at", default=True),
    ForeignKeyConstraint(
        ["customer_id", "document_id", "event_id"],
        ["wallet_alert_event.customer_id", "wallet_alert_event.document_id", "wallet_alert_event.event_id"],
    ),
)

invoice_line = Table(
    "invoice_line",
    metadata,
    _number("customer_id", key=True),
    _number("invoice_id", key=True),
    _text("line", key=True),
    _text("kind"),
    _number("amount_minor"),
    _refers("product", "product.product", null=True),
    _text("subject"),
    Column("own_obligation", Boolean, nullable=False, server_default=text("false")),
    _text("pattern", null=True),
    _day("starts_on", null=True),
    _day("ends_on", null=True),
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
    _number("customer_id", key=True),
    _number("invoice_id", key=True),
    _text("line", key=True),
    _text("subject", key=True),
    _number("amount_minor"),
    Index("invoice_line_part_subject", "customer_id", "subject"),
)

line_tax = Table(
    "line_tax",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("invoice_id", key=True),
    _text("line", key=True),
    Column("position", SmallInteger, primary_key=True, nullable=False, autoincrement=False),
    _refers("tax_code", "tax_code.tax_code"),
    _text("treatment"),
    Column("included", Boolean, nullable=False),
    _number("base_minor"),
    _number("tax_minor"),
    Column("computed_minor", BigInteger),
    Column("undoes", BigInteger, primary_key=True, nullable=False, server_default=text("0"), autoincrement=False),
    Index("line_tax_invoice", "customer_id", "invoice_id"),
)

credit_line = Table(
    "credit_line",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("line", key=True),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _text("invoice", null=True),
    _refers("product", "product.product"),
    _number("amount_minor"),
)

line_change = Table(
    "line_change",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("invoice_id", key=True),
    _text("line", key=True),
    _text("kind", key=True),
    _number("amount_minor"),
    _refers("product", "product.product", null=True),
    _text("subject"),
    Column("own_obligation", Boolean, nullable=False, server_default=text("false")),
    _day("starts_on", null=True),
    _day("ends_on", null=True),
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
    _number("customer_id", key=True),
    _number("use_id", key=True),
    _number("document_id"),
    _number("money_id"),
    _number("invoice_id"),
    _number("origin_id"),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _day("on_day"),
    _number("amount_minor"),
    _number("paid_minor"),
    _text("paid_currency"),
    Column("undoes", BigInteger, nullable=False, server_default=text("0")),
    Index("money_use_place", "customer_id", "invoice_id"),
    Index("money_use_money", "money_id", "customer_id"),
    Index("money_use_document", "document_id", "customer_id"),
)

coupon = Table(
    "coupon",
    metadata,
    _text("coupon", key=True),
    _text("name"),
    Column("percent", Numeric),
    Column("amount_minor", BigInteger),
    _text("currency", null=True),
    _text("duration"),
    Column("months", Integer),
    Column("products", ARRAY(Text)),
    _day("redeem_by", null=True),
)

coupon_use = Table(
    "coupon_use",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("invoice_id", key=True),
    _text("line", key=True),
    _refers("coupon", "coupon.coupon"),
    _refers("product", "product.product", null=True),
    _day("used_on"),
    _number("base_minor"),
    _number("discount_minor"),
    Index("coupon_use_invoice", "customer_id", "invoice_id"),
)

superseded_usage = Table(
    "superseded_usage",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("superseded_by"),
)

# Contracts are `revrec`'s; their tables stand here because a schema is migrated and compared as one.
contract = Table(
    "contract",
    metadata,
    _number("customer_id", key=True),
    _number("contract_id", key=True),
    _text("ref"),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _day("signed_on"),
    _number("price_minor"),
    _text("receivable", default="issued"),
    _text("package", null=True),
    _text("combined_because", null=True),
)

obligation = Table(
    "obligation",
    metadata,
    _number("customer_id", key=True),
    _number("contract_id", key=True),
    _text("ref", key=True),
    _refers("product", "product.product"),
    _number("price_minor"),
    Column("ssp_minor", BigInteger),
    _text("pattern"),
    _day("starts_on"),
    _day("ends_on", null=True),
    _number("deferred_account"),
    _number("unbilled_account"),
    _number("revenue_account"),
    Column("quantity", Numeric),
    _day("added_on", null=True),
    _number("document_id"),
    _text("treatment", null=True),
    _text("reason", null=True),
    _text("renews", null=True),
    ForeignKeyConstraint(
        ["customer_id", "contract_id"], ["contract.customer_id", "contract.contract_id"], name="obligation_contract"
    ),
    Index("obligation_ref", "ref"),
    Index("obligation_ended", "ends_on"),
)

obligation_terms = Table(
    "obligation_terms",
    metadata,
    _number("customer_id", key=True),
    _text("subject", key=True),
    Column("edition", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("segment", Integer, primary_key=True, autoincrement=False),
    _number("document_id"),
    _number("edition_by"),
    _day("from_day"),
    _text("treatment"),
    _text("reason"),
    _number("price_minor"),
    _number("change_minor"),
    _number("refund_minor"),
    _text("pattern"),
    _day("starts_on"),
    _day("ends_on", null=True),
    Column("quantity", Numeric),
    _day("counts_from"),
    _number("base_minor"),
    _number("reaches_minor"),
    Column("begins", Numeric, nullable=False),
    Column("ends", Numeric),
    Index("obligation_terms_ended", "from_day"),
)

terms_to_fold = Table(
    "terms_to_fold",
    metadata,
    _number("customer_id", key=True),
    _text("subject", key=True),
)

milestone = Table(
    "milestone",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("subject", key=True),
    _text("milestone", key=True),
    _number("amount_minor"),
    Index("milestone_subject", "customer_id", "subject"),
)

financing = Table(
    "financing",
    metadata,
    _number("customer_id", key=True),
    _number("document_id"),
    _text("subject", key=True),
    Column("rate", Numeric, nullable=False),
    _text("compounding"),
    _number("promised_minor"),
)

financed_payment = Table(
    "financed_payment",
    metadata,
    _number("customer_id", key=True),
    _text("subject", key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _day("paid_on"),
    _number("amount_minor"),
)

stand_alone_price = Table(
    "stand_alone_price",
    metadata,
    _number("document_id", key=True),
    _text("ref"),
    _refers("product", "product.product"),
    _text("currency"),
    _day("from_day"),
    Column("price", Numeric, nullable=False),
    Column("low", Numeric),
    Column("high", Numeric),
    Index("stand_alone_price_product", "product", "currency", "from_day"),
)

variable_estimate = Table(
    "variable_estimate",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("ref"),
    _text("contract"),
    _text("component"),
    _day("effective_on"),
    _text("method"),
    _number("expected_minor"),
    _number("included_minor"),
    _number("before_minor"),
    Column("obligations", ARRAY(Text)),
    Column("refund", Boolean, nullable=False, server_default=text("false")),
    _text("reason", null=True),
    Index("variable_estimate_contract", "customer_id", "contract", "component"),
)

contract_cost = Table(
    "contract_cost",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("ref"),
    _text("contract"),
    _refers("entity", "entity.entity"),
    _text("currency"),
    _text("kind", default="obtain"),
    _number("amount_minor"),
    _day("capitalised_on"),
    _text("pattern"),
    _day("starts_on"),
    _day("ends_on"),
    Index("contract_cost_contract", "customer_id", "contract"),
)

cost_impairment = Table(
    "cost_impairment",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _number("cost_id"),
    _day("impaired_on"),
    _number("amount_minor"),
)

contract_modification = Table(
    "contract_modification",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("ref"),
    _text("contract"),
    _day("effective_on"),
)

progress = Table(
    "progress",
    metadata,
    _number("customer_id", key=True),
    _number("document_id", key=True),
    _text("subject"),
    _day("effective_on"),
    Column("quantity", Numeric),
    Column("percent", Numeric),
    _text("milestone", null=True),
    Index("progress_subject", "customer_id", "subject", "effective_on"),
)

# All of them, what is referred to first.
TABLES: tuple[Table, ...] = tuple(metadata.sorted_tables)

# The document that an invoice `i` was posted by: what came before it made it what it is.
INVOICE_POSTED_AS = "coalesce((select m.invoice_id from invoice m where m.customer_id = i.customer_id and m.ref = i.master), i.invoice_id)"
