"""All kinds of documents: the ledger's, and those of revenue recognition."""

from __future__ import annotations

from functools import partial

from ledger import documents, settlements
from ledger.intake import TYPES as LEDGER_TYPES
from ledger.intake import DocumentType
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
from revrec.recognition import price_and_earned

# What splits by how much is earned is posted by the ledger, which asks recognition for it.
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
    "refund": DocumentType(documents.Refund, partial(settlements.post_refund, earned_by=price_and_earned)),
    "dispute": DocumentType(documents.Dispute, partial(settlements.post_dispute, earned_by=price_and_earned)),
    "write_off": DocumentType(documents.WriteOff, partial(settlements.post_write_off, earned_by=price_and_earned)),
}
