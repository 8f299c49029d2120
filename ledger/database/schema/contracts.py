"""Tables of contracts, obligations and their terms.

They are revenue's; they stand here because a schema is migrated and compared as one.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)

from ledger.database.schema.columns import day_column, metadata, number_column, reference_column, text_column

contract = Table(
    "contract",
    metadata,
    number_column("customer_id", key=True),
    number_column("contract_id", key=True),
    text_column("ref"),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    day_column("signed_on"),
    number_column("price_minor"),
    text_column("receivable", default="issued"),
    text_column("package", null=True),
    text_column("combined_because", null=True),
)

obligation = Table(
    "obligation",
    metadata,
    number_column("customer_id", key=True),
    number_column("contract_id", key=True),
    text_column("ref", key=True),
    reference_column("product", "product.product"),
    number_column("price_minor"),
    Column("ssp_minor", BigInteger),
    text_column("pattern"),
    day_column("starts_on"),
    day_column("ends_on", null=True),
    number_column("deferred_account"),
    number_column("unbilled_account"),
    number_column("revenue_account"),
    Column("quantity", Numeric),
    day_column("added_on", null=True),
    number_column("document_id"),
    text_column("treatment", null=True),
    text_column("reason", null=True),
    text_column("renews", null=True),
    ForeignKeyConstraint(
        ["customer_id", "contract_id"], ["contract.customer_id", "contract.contract_id"], name="obligation_contract"
    ),
    Index("obligation_ref", "ref"),
    Index("obligation_ended", "ends_on"),
)

obligation_terms = Table(
    "obligation_terms",
    metadata,
    number_column("customer_id", key=True),
    text_column("subject", key=True),
    Column("edition", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("segment", Integer, primary_key=True, autoincrement=False),
    number_column("document_id"),
    number_column("edition_by"),
    day_column("from_day"),
    text_column("treatment"),
    text_column("reason"),
    number_column("price_minor"),
    number_column("change_minor"),
    number_column("refund_minor"),
    text_column("pattern"),
    day_column("starts_on"),
    day_column("ends_on", null=True),
    Column("quantity", Numeric),
    day_column("counts_from"),
    number_column("base_minor"),
    number_column("reaches_minor"),
    Column("begins", Numeric, nullable=False),
    Column("ends", Numeric),
    Index("obligation_terms_ended", "from_day"),
)

terms_to_fold = Table(
    "terms_to_fold",
    metadata,
    number_column("customer_id", key=True),
    text_column("subject", key=True),
)

milestone = Table(
    "milestone",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("subject", key=True),
    text_column("milestone", key=True),
    number_column("amount_minor"),
    Index("milestone_subject", "customer_id", "subject"),
)

financing = Table(
    "financing",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id"),
    text_column("subject", key=True),
    Column("rate", Numeric, nullable=False),
    text_column("compounding"),
    number_column("promised_minor"),
)

financed_payment = Table(
    "financed_payment",
    metadata,
    number_column("customer_id", key=True),
    text_column("subject", key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    day_column("paid_on"),
    number_column("amount_minor"),
)

stand_alone_price = Table(
    "stand_alone_price",
    metadata,
    number_column("document_id", key=True),
    text_column("ref"),
    reference_column("product", "product.product"),
    text_column("currency"),
    day_column("from_day"),
    Column("price", Numeric, nullable=False),
    Column("low", Numeric),
    Column("high", Numeric),
    Index("stand_alone_price_product", "product", "currency", "from_day"),
)

variable_estimate = Table(
    "variable_estimate",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("ref"),
    text_column("contract"),
    text_column("component"),
    day_column("effective_on"),
    text_column("method"),
    number_column("expected_minor"),
    number_column("included_minor"),
    number_column("before_minor"),
    Column("obligations", ARRAY(Text)),
    Column("refund", Boolean, nullable=False, server_default=text("false")),
    text_column("reason", null=True),
    Index("variable_estimate_contract", "customer_id", "contract", "component"),
)

contract_cost = Table(
    "contract_cost",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("ref"),
    text_column("contract"),
    reference_column("entity", "entity.entity"),
    text_column("currency"),
    text_column("kind", default="obtain"),
    number_column("amount_minor"),
    day_column("capitalised_on"),
    text_column("pattern"),
    day_column("starts_on"),
    day_column("ends_on"),
    Index("contract_cost_contract", "customer_id", "contract"),
)

cost_impairment = Table(
    "cost_impairment",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    number_column("cost_id"),
    day_column("impaired_on"),
    number_column("amount_minor"),
)

contract_modification = Table(
    "contract_modification",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("ref"),
    text_column("contract"),
    day_column("effective_on"),
)

progress = Table(
    "progress",
    metadata,
    number_column("customer_id", key=True),
    number_column("document_id", key=True),
    text_column("subject"),
    day_column("effective_on"),
    Column("quantity", Numeric),
    Column("percent", Numeric),
    text_column("milestone", null=True),
    Index("progress_subject", "customer_id", "subject", "effective_on"),
)
