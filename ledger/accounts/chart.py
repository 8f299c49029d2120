"""The chart of accounts: the roles an account can play.

With the code and name each has by default. Postings know roles only. A user's own codes are laid over them per entity, and per product
where wanted, by `gl_account` documents, so that a remapped chart never touches a posting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["debit", "credit"]


@dataclass(frozen=True, slots=True)
class Role:
    """What a general-ledger account is for.

    `side` is its normal side: the side on which it increases. `subject` says what each of its sub-ledger accounts
    is about. `memorandum` accounts stand off the balance sheet. A `clearing` account is empty after every entry, so none is made
    on it by hand.
    """

    name: str
    kind: Literal["asset", "liability", "equity", "revenue", "expense", "income", "memorandum"]
    side: Side
    subject: str
    code: str
    title: str
    clearing: bool = False

    @property
    def memorandum(self) -> bool:
        """Whether the account stands off the balance sheet."""
        return self.kind == "memorandum"

    @property
    def sign(self) -> int:
        """+1 where a debit increases the account, -1 where a credit does."""
        return 1 if self.side == "debit" else -1


_ROLES = (
    Role("cash", "asset", "debit", "account or rail", "1000", "Cash"),
    Role("accounts_receivable", "asset", "debit", "invoice", "1200", "Accounts receivable"),
    Role("unbilled_receivable", "asset", "debit", "obligation", "1250", "Unbilled receivable (contract asset)"),
    Role("due_from_entities", "asset", "debit", "other entity", "1300", "Due from other entities"),
    Role("contract_costs", "asset", "debit", "cost", "1400", "Contract costs, capitalised"),
    Role("currency_exchange", "asset", "debit", "currency", "1360", "Currency exchange (clearing)", clearing=True),
    Role("disputed_funds", "asset", "debit", "payment", "1350", "Disputed funds"),
    Role("tax_withheld", "asset", "debit", "tax code", "1370", "Tax withheld by customers"),
    Role("customer_clearing", "asset", "debit", "claimed or owed", "1380", "Between customers (clearing)"),
    Role("customer_balance", "liability", "credit", "customer", "2050", "Customer balances, unapplied"),
    Role("due_to_entities", "liability", "credit", "other entity", "2060", "Due to other entities"),
    Role("unidentified_receipts", "liability", "credit", "receipt", "2070", "Unidentified receipts"),
    Role("tax_payable", "liability", "credit", "tax code", "2100", "Tax payable"),
    Role("customer_credits", "liability", "credit", "grant", "2150", "Customer credits (prepaid)"),
    Role("deferred_revenue", "liability", "credit", "obligation", "2200", "Deferred revenue"),
    Role("refund_liability", "liability", "credit", "obligation", "2250", "Refund liabilities"),
    Role("opening_balances", "equity", "credit", "entity", "3000", "Opening balances (taken over)"),
    Role("revenue", "revenue", "credit", "product", "4000", "Revenue"),
    Role("breakage_revenue", "revenue", "credit", "grant", "4100", "Breakage revenue"),
    Role("promotional_credits", "revenue", "debit", "grant", "4900", "Promotional credits (contra revenue)"),
    Role("refunds", "revenue", "debit", "obligation", "4910", "Refunds (contra revenue)"),
    Role("disputes", "revenue", "debit", "obligation", "4920", "Lost disputes (contra revenue)"),
    Role("bad_debt", "expense", "debit", "obligation", "6100", "Bad debt"),
    Role("processing_fees", "expense", "debit", "account or rail", "6200", "Payment processing fees"),
    Role("commissions", "expense", "debit", "cost", "6300", "Commissions"),
    Role("fulfilment_costs", "expense", "debit", "cost", "6320", "Costs to fulfil contracts"),
    Role("cost_impairment", "expense", "debit", "cost", "6310", "Impairment of contract costs"),
    Role("interest_income", "income", "credit", "obligation", "7000", "Interest income of financing"),
    Role("interest_expense", "expense", "debit", "obligation", "7010", "Interest expense of financing"),
    Role("fx_gain", "income", "credit", "currency", "7100", "Exchange gains"),
    Role("fx_loss", "expense", "debit", "currency", "7200", "Exchange losses"),
    Role("memo_credits_issued", "memorandum", "debit", "grant", "9000", "Memo: credits issued"),
    Role("memo_credits_outstanding", "memorandum", "credit", "grant", "9010", "Memo: credits outstanding"),
    Role("memo_commitments_made", "memorandum", "debit", "grant", "9050", "Memo: commitments made"),
    Role("memo_commitments_outstanding", "memorandum", "credit", "grant", "9060", "Memo: commitments outstanding"),
    Role("memo_taxable_base", "memorandum", "debit", "tax code", "9100", "Memo: taxable base"),
    Role("memo_taxable_contra", "memorandum", "credit", "tax code", "9110", "Memo: taxable base, contra"),
)

ROLES: dict[str, Role] = {role.name: role for role in _ROLES}

# Items that are money or a claim to it: they are revalued at each month's end (ASC 830-10-45-18 names those that aren't).
MONETARY = (
    "cash", "accounts_receivable", "customer_balance", "due_from_entities", "due_to_entities", "refund_liability",
    "tax_payable", "disputed_funds", "tax_withheld", "unidentified_receipts",
)  # fmt: skip

# What passes from one currency, or one customer, to another: never holds anything after a document, and takes no manual entry.
CLEARING = ("currency_exchange", "customer_clearing")

# Contract liabilities: what customers were promised and have not yet received.
CONTRACT_LIABILITIES = ("customer_credits", "deferred_revenue")
