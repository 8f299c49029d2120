"""All kinds of documents: the ledger's, and those of revenue recognition."""

from __future__ import annotations

from functools import partial

from ledger.corrections import (
    credit_notes,
    disputes,
    note_voids,
    refunds,
    several_entities,
    voids,
    write_offs,
)
from ledger.corrections.recoveries import recoveries
from ledger.documents import models
from ledger.intake.kinds import TYPES as LEDGER_TYPES
from ledger.intake.kinds import DocumentType, alone
from revrec import stand_alone_prices
from revrec.contracts import contracts, modifications, renewals
from revrec.documents.contract_changes import ContractModification, ContractRenewal, ContractTermination
from revrec.documents.contracts import Contract
from revrec.documents.costs import ContractCost, ContractCostImpairment
from revrec.documents.prices import StandAlonePrice
from revrec.documents.progress import Progress
from revrec.documents.variable_amounts import ConsiderationPayable, Estimate
from revrec.earn import contract_costs, progress
from revrec.price import estimates, material_rights, payable_to_customers
from revrec.terms.decided import OBLIGATIONS

# What bills or corrects obligations is posted by the ledger, which asks for their terms.
TYPES = {
    **LEDGER_TYPES,
    "grant": DocumentType(models.Grant, material_rights.post_grant, LEDGER_TYPES["grant"].decides_first),
    "contract": DocumentType(Contract, contracts.post_contract, lambda _doc: True),
    "contract_modification": DocumentType(ContractModification, modifications.post_modification),
    "contract_renewal": DocumentType(ContractRenewal, renewals.post_renewal),
    "contract_termination": DocumentType(ContractTermination, renewals.post_termination),
    "consideration_payable": DocumentType(ConsiderationPayable, payable_to_customers.post_consideration),
    "progress": DocumentType(Progress, progress.post_progress),
    "stand_alone_price": DocumentType(StandAlonePrice, stand_alone_prices.post_stand_alone_price),
    "estimate": DocumentType(Estimate, estimates.post_estimate),
    "contract_cost": DocumentType(ContractCost, contract_costs.post_contract_cost),
    "contract_cost_impairment": DocumentType(ContractCostImpairment, contract_costs.post_impairment),
    "invoice": DocumentType(models.Invoice, partial(several_entities.post_invoice, obligations=OBLIGATIONS), alone),
    "invoice_void": DocumentType(models.InvoiceVoid, partial(voids.post_void, obligations=OBLIGATIONS)),
    "credit_note": DocumentType(models.CreditNote, partial(credit_notes.post_credit_note, obligations=OBLIGATIONS)),
    "credit_note_void": DocumentType(
        models.CreditNoteVoid, partial(note_voids.post_credit_note_void, obligations=OBLIGATIONS)
    ),
    "refund": DocumentType(models.Refund, partial(refunds.post_refund, obligations=OBLIGATIONS)),
    "refund_reversal": DocumentType(
        models.RefundReversal, partial(refunds.post_refund_reversal, obligations=OBLIGATIONS)
    ),
    "dispute": DocumentType(models.Dispute, partial(disputes.post_dispute, obligations=OBLIGATIONS)),
    "write_off": DocumentType(models.WriteOff, partial(write_offs.post_write_off, obligations=OBLIGATIONS)),
    "payment_reversal": DocumentType(
        models.PaymentReversal, partial(recoveries.post_payment_reversal, obligations=OBLIGATIONS)
    ),
    "recovery": DocumentType(models.Recovery, partial(recoveries.post_recovery, obligations=OBLIGATIONS)),
}
