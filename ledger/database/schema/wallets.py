"""Tables of grants, of what was drawn on them, and of alerts."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
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

credit_grant = Table(
    "credit_grant",
    metadata,
    number_column("customer_id", key=True),
    number_column("grant_id", key=True),
    text_column("ref"),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    text_column("kind"),
    number_column("face_minor"),
    number_column("price_minor"),
    day_column("effective_on"),
    day_column("expires_on", null=True),
    Column("products", ARRAY(Text)),
    Column("priority", Integer),
    Column("expected_breakage", Numeric, nullable=False, server_default=text("0")),
    text_column("contract", null=True),
    text_column("carried_from", null=True),
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
    number_column("customer_id", key=True),
    number_column("grant_id", key=True),
    number_column("face_minor"),
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
    day_column("returned_on", null=True),
)

grant_move = Table(
    "grant_move",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("grant_id", key=True),
    text_column("kind", key=True),
    day_column("effective_on"),
    number_column("face_minor"),
    text_column("line", key=True, default=""),
    Column("amount_minor", BigInteger, nullable=False, server_default=text("0")),
)

usage_returned = Table(
    "usage_returned",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("entry_id", key=True),
    text_column("subject", key=True),
    number_column("face_minor"),
    Index("usage_returned_entry", "customer_id", "entry_id"),
)

breakage_estimate = Table(
    "breakage_estimate",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("ref"),
    number_column("grant_id"),
    day_column("effective_on"),
    Column("expected_breakage", Numeric, nullable=False),
    text_column("reason"),
)

draw_order = Table(
    "draw_order",
    metadata,
    number_column("customer_id", key=True),
    text_column("contract", key=True),
    Column("kinds", ARRAY(Text), nullable=False),
)

usage_meter = Table(
    "usage_meter",
    metadata,
    number_column("customer_id", key=True),
    reference_column("entity", "entity.entity", key=True),
    reference_column("product", "product.product", key=True),
    text_column("currency", key=True),
    Column("rated", Numeric, nullable=False),
    number_column("posted_minor"),
)

wallet_alert = Table(
    "wallet_alert",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("ref"),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    number_column("threshold_minor"),
)

wallet_alert_event = Table(
    "wallet_alert_event",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    text_column("crossed"),
    number_column("left_minor"),
    moment_column("at"),
)

wallet_alert_delivery = Table(
    "wallet_alert_delivery",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("event_id", key=True),
    moment_column("delivered_at", default=True),
    ForeignKeyConstraint(
        ["customer_id", "document_id", "event_id"],
        ["wallet_alert_event.customer_id", "wallet_alert_event.document_id", "wallet_alert_event.event_id"],
    ),
)
