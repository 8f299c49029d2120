"""All kinds of documents: the ledger's, and those of revenue recognition."""

from __future__ import annotations

from functools import partial

from ledger import corrections, credit_voids, documents, masters, recoveries, settlements
from ledger.intake import TYPES as LEDGER_TYPES
from ledger.intake import DocumentType, alone
from revrec import catalogue, consideration, contracts, costs, estimates, modifications, progress, renewals, rights
from revrec.documents import (
    ConsiderationPayable,
    Contract,
    ContractCost,
    ContractCostImpairment,
    ContractModification,
    ContractRenewal,
    ContractTermination,
    Estimate,
    Progress,
    StandAlonePrice,
)
from revrec.history import OBLIGATIONS

# What bills or corrects obligations is posted by the ledger, which asks for their terms.
TYPES = {
    **LEDGER_TYPES,
    "grant": DocumentType(documents.Grant, rights.post_grant, LEDGER_TYPES["grant"].decides_first),
    "contract": DocumentType(Contract, contracts.post_contract, lambda _doc: True),
    "contract_modification": DocumentType(ContractModification, modifications.post_modification),
    "contract_renewal": DocumentType(ContractRenewal, renewals.post_renewal),
    "contract_termination": DocumentType(ContractTermination, renewals.post_termination),
    "consideration_payable": DocumentType(ConsiderationPayable, consideration.post_consideration),
    "progress": DocumentType(Progress, progress.post_progress),
    "stand_alone_price": DocumentType(StandAlonePrice, catalogue.post_stand_alone_price),
    "estimate": DocumentType(Estimate, estimates.post_estimate),
    "contract_cost": DocumentType(ContractCost, costs.post_contract_cost),
    "contract_cost_impairment": DocumentType(ContractCostImpairment, costs.post_impairment),
    "invoice": DocumentType(documents.Invoice, partial(masters.post_invoice, obligations=OBLIGATIONS), alone),
    "invoice_void": DocumentType(documents.InvoiceVoid, partial(corrections.post_void, obligations=OBLIGATIONS)),
    "credit_note": DocumentType(documents.CreditNote, partial(corrections.post_credit_note, obligations=OBLIGATIONS)),
    "credit_note_void": DocumentType(
        documents.CreditNoteVoid, partial(credit_voids.post_credit_note_void, obligations=OBLIGATIONS)
    ),
    "refund": DocumentType(documents.Refund, partial(settlements.post_refund, obligations=OBLIGATIONS)),
    "refund_reversal": DocumentType(
        documents.RefundReversal, partial(settlements.post_refund_reversal, obligations=OBLIGATIONS)
    ),
    "dispute": DocumentType(documents.Dispute, partial(settlements.post_dispute, obligations=OBLIGATIONS)),
    "write_off": DocumentType(documents.WriteOff, partial(settlements.post_write_off, obligations=OBLIGATIONS)),
    "payment_reversal": DocumentType(
        documents.PaymentReversal, partial(recoveries.post_payment_reversal, obligations=OBLIGATIONS)
    ),
    "recovery": DocumentType(documents.Recovery, partial(recoveries.post_recovery, obligations=OBLIGATIONS)),
}
