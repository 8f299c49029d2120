"""Kinds of documents: the form each must have, and what posts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger import manual
from ledger.cash import money_accounts, transfers
from ledger.corrections import grant_returns
from ledger.documents import models
from ledger.documents.models import Document
from ledger.invoices import coupons, taxes
from ledger.parties import approval_rules, parties
from ledger.payments import goodwill, payments, remittances, unapplications, unidentified_receipts
from ledger.usage import usage_documents
from ledger.wallets import alerts, breakage, issue
from ledger.wallets.session import Wallets

PostDocument = Callable[[Wallets, Any, int], int]


@dataclass(frozen=True, slots=True)
class DocumentType:
    """A kind of document: the form it must have, and what posts it (and returns whose it is).

    `decides_first` says of which documents everything is decided before credits or meters change: they come in bulk, and what
    changed of these before them is written later.
    """

    model: type[Document]
    post: PostDocument
    decides_first: Callable[[Any], bool] = lambda _doc: False


def _always(_doc: Document) -> bool:
    return True


def alone(doc: models.Usage | models.Invoice) -> bool:
    """Whether it replaces nothing, and is no invoice over several entities."""
    lines = doc.lines if isinstance(doc, models.Invoice) else ()
    return doc.supersedes is None and all(line.entity in (None, doc.entity) for line in lines)


def _of_nothing_else(doc: models.Grant) -> bool:
    return doc.contract is None and doc.carried_from is None


TYPES: Mapping[str, DocumentType] = {
    "entity": DocumentType(models.Entity, parties.post_entity, _always),
    "customer": DocumentType(models.Customer, parties.post_customer, _always),
    "customer_change": DocumentType(models.CustomerChange, parties.post_customer_change, _always),
    "details": DocumentType(models.Details, parties.post_details, _always),
    "product": DocumentType(models.Product, parties.post_product, _always),
    "tax_code": DocumentType(models.TaxCode, taxes.post_tax_code, _always),
    "coupon": DocumentType(models.Coupon, coupons.post_coupon, _always),
    "fx_rate": DocumentType(models.FxRate, parties.post_fx_rate, _always),
    "gl_account": DocumentType(models.GlAccount, parties.post_gl_account, _always),
    "money_account": DocumentType(models.MoneyAccount, money_accounts.post_money_account, _always),
    "grant": DocumentType(models.Grant, issue.post_grant, _of_nothing_else),
    "grant_return": DocumentType(models.GrantReturn, grant_returns.post_grant_return),
    "breakage_estimate": DocumentType(models.BreakageEstimate, breakage.post_breakage_estimate),
    "wallet_alert": DocumentType(models.WalletAlert, alerts.post_wallet_alert),
    "usage": DocumentType(models.Usage, usage_documents.post_usage, alone),
    "payment": DocumentType(models.Payment, payments.post_payment, _always),
    "application": DocumentType(models.Application, payments.post_application, _always),
    "unapplication": DocumentType(models.Unapplication, unapplications.post_unapplication),
    "transfer": DocumentType(models.Transfer, transfers.post_transfer, _always),
    "transfer_reversal": DocumentType(models.TransferReversal, transfers.post_transfer_reversal),
    "fee": DocumentType(models.Fee, transfers.post_fee, _always),
    "tax_remittance": DocumentType(models.TaxRemittance, remittances.post_tax_remittance),
    "customer_credit": DocumentType(models.CustomerCredit, goodwill.post_customer_credit, _always),
    "unidentified_receipt": DocumentType(
        models.UnidentifiedReceipt, unidentified_receipts.post_unidentified_receipt, _always
    ),
    "receipt_identified": DocumentType(models.ReceiptIdentified, unidentified_receipts.post_receipt_identified),
    "receipt_returned": DocumentType(models.ReceiptReturned, unidentified_receipts.post_receipt_returned),
    "manual_entry": DocumentType(models.ManualEntry, manual.post_manual_entry),
    "approval_policy": DocumentType(models.ApprovalPolicy, approval_rules.post_approval_policy),
    "approval_rule": DocumentType(models.ApprovalRule, approval_rules.post_approval_rule),
    "approval_rule_end": DocumentType(models.ApprovalRuleEnd, approval_rules.post_approval_rule_end),
}
