"""The rulebook: every event that posts, as one row. The page an auditor reads first.

A rule says which role is debited, which is credited, why, and where the standard says so. Code names a rule
and gives amounts and subjects; it never names general-ledger accounts itself. A posting carries its rule's
number, so a rule is never renumbered and never removed: a new policy is a new rule. A reversal carries the
rule of what it reverses, with debit and credit exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.chart import MONETARY, ROLES


@dataclass(frozen=True, slots=True)
class Rule:
    """One event: what it debits, what it credits, the reason in a sentence, and the paragraph.

    A manual entry names its own accounts: the rule has none.
    """

    number: int
    code: str
    debit: str
    credit: str
    why: str
    citation: str


_RULES = (
    # Wallets
    Rule(
        101,
        "invoice.prepaid",
        "accounts_receivable",
        "customer_credits",
        "Prepaid credits are billed: a promise to deliver, not revenue.",
        "ASC 606-10-45-2",
    ),
    Rule(
        102,
        "invoice.prepaid_drawn",
        "accounts_receivable",
        "unbilled_receivable",
        "Credits that were used before they were billed are billed now; their revenue is already earned.",
        "ASC 606-10-45-3",
    ),
    Rule(
        103,
        "grant.issued",
        "memo_credits_issued",
        "memo_credits_outstanding",
        "Credits are issued that are not, or not at face value, paid for; kept off the balance sheet until used.",
        "ASC 606-10-25-1",
    ),
    Rule(
        111,
        "draw.prepaid",
        "customer_credits",
        "revenue",
        "Usage drawn from a prepaid grant. Prepaid money is a promise until the service is used; using it earns "
        "the revenue.",
        "ASC 606-10-55-46",
    ),
    Rule(
        112,
        "draw.prepaid_unbilled",
        "unbilled_receivable",
        "revenue",
        "Usage drawn from a prepaid grant before the grant is billed: earned when used, a contract asset until "
        "the invoice.",
        "ASC 606-10-45-3",
    ),
    Rule(
        113,
        "draw.promotional",
        "promotional_credits",
        "revenue",
        "Usage drawn from promotional credits: gross revenue and the discount that pays for it both show.",
        "ASC 606-10-32-25",
    ),
    Rule(
        114,
        "draw.credits",
        "memo_credits_outstanding",
        "memo_credits_issued",
        "The credits a draw used up leave the memorandum accounts.",
        "ASC 606-10-25-1",
    ),
    Rule(
        115,
        "grant.settled",
        "customer_credits",
        "unbilled_receivable",
        "A grant's invoice covers what was drawn before it: contract asset and contract liability of one grant are "
        "never both shown.",
        "ASC 606-10-45-1",
    ),
    Rule(
        116,
        "grant.unsettled",
        "unbilled_receivable",
        "customer_credits",
        "Late usage used up earlier what a settlement had counted on: put back on its day.",
        "ASC 606-10-45-1",
    ),
    Rule(
        121,
        "expire.prepaid",
        "customer_credits",
        "breakage_revenue",
        "A prepaid grant expired unused: the customer can no longer ask for the service (remote method).",
        "ASC 606-10-55-48",
    ),
    Rule(
        125,
        "break.prepaid",
        "customer_credits",
        "breakage_revenue",
        "Of the credits never expected to be used, as much is earned as of those that are (proportional method).",
        "ASC 606-10-55-48",
    ),
    Rule(
        126,
        "break.prepaid_corrected",
        "breakage_revenue",
        "customer_credits",
        "More is used than was expected: that much was not breakage.",
        "ASC 606-10-55-48",
    ),
    Rule(
        122,
        "expire.prepaid_corrected",
        "breakage_revenue",
        "customer_credits",
        "Usage from before the expiry arrived after it was posted: that much was not breakage.",
        "ASC 606-10-55-48",
    ),
    Rule(
        123,
        "expire.credits",
        "memo_credits_outstanding",
        "memo_credits_issued",
        "Credits expired unused and leave the memorandum accounts.",
        "ASC 606-10-25-1",
    ),
    Rule(
        124,
        "expire.credits_corrected",
        "memo_credits_issued",
        "memo_credits_outstanding",
        "Usage from before the expiry arrived after it was posted: those credits had been used.",
        "ASC 606-10-25-1",
    ),
    Rule(
        104,
        "commitment.made",
        "memo_commitments_made",
        "memo_commitments_outstanding",
        "A customer commits to use so much: promised on both sides, nothing is owed yet.",
        "ASC 606-10-25-4",
    ),
    Rule(
        117,
        "draw.commitment",
        "memo_commitments_outstanding",
        "memo_commitments_made",
        "Usage counts towards the commitment; it is earned and billed as other usage.",
        "ASC 606-10-25-4",
    ),
    Rule(
        127,
        "expire.shortfall",
        "memo_commitments_outstanding",
        "memo_commitments_made",
        "What was committed and not used is billed: the commitment is met.",
        "ASC 606-10-25-4",
    ),
    Rule(
        128,
        "expire.shortfall_corrected",
        "memo_commitments_made",
        "memo_commitments_outstanding",
        "The bill for what was not used is taken back: the commitment stands again.",
        "ASC 606-10-25-4",
    ),
    Rule(
        131,
        "grant.carried",
        "customer_credits",
        "customer_credits",
        "Credits that were paid for are carried on into another grant, at what was paid.",
        "ASC 606-10-25-10",
    ),
    Rule(
        132,
        "grant.moved_credits",
        "memo_credits_outstanding",
        "memo_credits_issued",
        "Credits that are carried on, or paid back, leave the memorandum accounts.",
        "ASC 606-10-25-1",
    ),
    # Usage
    Rule(
        201,
        "usage.overage",
        "unbilled_receivable",
        "revenue",
        "Usage beyond all grants: earned when used, whenever it is billed.",
        "ASC 606-10-55-18",
    ),
    Rule(
        202,
        "usage.billed_ahead",
        "deferred_revenue",
        "revenue",
        "Usage that had been billed before it was reported: what the invoice deferred is earned now.",
        "ASC 606-10-45-2",
    ),
    Rule(
        203,
        "usage.settled",
        "deferred_revenue",
        "unbilled_receivable",
        "An invoice dated after the usage it bills settles it: never both a contract asset and a contract liability.",
        "ASC 606-10-45-1",
    ),
    Rule(
        204,
        "usage.unsettled",
        "unbilled_receivable",
        "deferred_revenue",
        "Late usage used up earlier what a settlement had counted on: put back on its day.",
        "ASC 606-10-45-1",
    ),
    Rule(
        211,
        "invoice.usage",
        "accounts_receivable",
        "unbilled_receivable",
        "Usage is billed: its revenue was posted when it was used, none is posted twice.",
        "ASC 606-10-45-4",
    ),
    Rule(
        212,
        "invoice.usage_ahead",
        "accounts_receivable",
        "deferred_revenue",
        "More usage is billed than was reported: a liability until the usage arrives.",
        "ASC 606-10-45-2",
    ),
    Rule(
        213,
        "invoice.shortfall",
        "accounts_receivable",
        "revenue",
        "The term of a commitment is over: what was committed and not used is billed, and nothing is owed for it.",
        "ASC 606-10-55-48",
    ),
    # Invoices
    Rule(
        301,
        "invoice.obligation",
        "accounts_receivable",
        "deferred_revenue",
        "A service is billed before it is given: deferred until it is.",
        "ASC 606-10-45-2",
    ),
    Rule(
        302,
        "invoice.obligation_earned",
        "accounts_receivable",
        "unbilled_receivable",
        "A service already given is billed: the contract asset becomes a receivable.",
        "ASC 606-10-45-4",
    ),
    Rule(
        303,
        "invoice.settled",
        "deferred_revenue",
        "unbilled_receivable",
        "An invoice dated before revenue that is posted already settles its contract asset on that day.",
        "ASC 606-10-45-1",
    ),
    Rule(
        304,
        "invoice.unsettled",
        "unbilled_receivable",
        "deferred_revenue",
        "An invoice dated earlier settled what a later settlement had counted on: put back on its day.",
        "ASC 606-10-45-1",
    ),
    Rule(
        305,
        "invoice.opening",
        "accounts_receivable",
        "opening_balances",
        "What is open of an invoice of another system is taken over.",
        "policy: opening balances",
    ),
    Rule(
        311,
        "invoice.tax",
        "accounts_receivable",
        "tax_payable",
        "Tax on an invoice is collected for the authority: never revenue.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        312,
        "invoice.tax_base",
        "memo_taxable_base",
        "memo_taxable_contra",
        "The amount a tax applied to, exempt and reverse charge included, is kept for the tax return.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        321,
        "credit.deferred",
        "deferred_revenue",
        "accounts_receivable",
        "An invoice is voided or credited: what was billed and not yet given is no longer owed by either side.",
        "ASC 606-10-32-43",
    ),
    Rule(
        322,
        "credit.unbilled",
        "unbilled_receivable",
        "accounts_receivable",
        "An invoice for service already given is voided or credited: the price falls, and the next recognition takes its earned share out of revenue.",
        "ASC 606-10-32-43",
    ),
    Rule(
        323,
        "credit.credits",
        "customer_credits",
        "accounts_receivable",
        "The invoice of prepaid credits is voided or credited: what is left of them is no longer paid for.",
        "ASC 606-10-32-43",
    ),
    Rule(
        324,
        "credit.tax",
        "tax_payable",
        "accounts_receivable",
        "The tax of what is voided or credited is no longer owed to the authority.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        325,
        "credit.tax_base",
        "memo_taxable_contra",
        "memo_taxable_base",
        "What is taken back leaves the taxable base.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        326,
        "credit.opening",
        "opening_balances",
        "accounts_receivable",
        "What was taken over of another system's invoice is voided or credited.",
        "policy: opening balances",
    ),
    Rule(
        336,
        "credit.opening_to_balance",
        "opening_balances",
        "customer_balance",
        "What was taken over of another system's invoice, and paid, is credited: it is the customer's money again.",
        "policy: opening balances",
    ),
    Rule(
        327,
        "credit.shortfall",
        "revenue",
        "accounts_receivable",
        "The bill for an unused commitment is taken back, and its revenue with it.",
        "ASC 606-10-32-43",
    ),
    Rule(
        337,
        "credit.shortfall_to_balance",
        "revenue",
        "customer_balance",
        "The bill for an unused commitment is taken back after it was paid: it is the customer's money again.",
        "ASC 606-10-32-43",
    ),
    Rule(
        331,
        "credit.deferred_to_balance",
        "deferred_revenue",
        "customer_balance",
        "What was paid, billed and not yet given is credited: it is the customer's money again.",
        "ASC 606-10-32-43",
    ),
    Rule(
        332,
        "credit.unbilled_to_balance",
        "unbilled_receivable",
        "customer_balance",
        "Service that was paid and given is credited: it is the customer's money again, and the next recognition takes the earned share out of revenue.",
        "ASC 606-10-32-43",
    ),
    Rule(
        333,
        "credit.credits_to_balance",
        "customer_credits",
        "customer_balance",
        "Prepaid credits that were paid for are credited: it is the customer's money again.",
        "ASC 606-10-32-43",
    ),
    Rule(
        334,
        "credit.tax_to_balance",
        "tax_payable",
        "customer_balance",
        "The tax of what is credited after it was paid is the customer's money again.",
        "ASC 606-10-32-2A",
    ),
    # Payments
    Rule(
        401,
        "payment.received",
        "cash",
        "customer_balance",
        "Money arrived; until it is applied it is owed to the customer.",
        "ASC 606-10-25-8",
    ),
    Rule(
        402,
        "payment.applied",
        "customer_balance",
        "accounts_receivable",
        "Money of the customer settles an invoice.",
        "ASC 405-20-40-1",
    ),
    Rule(
        404,
        "payment.unapplied",
        "accounts_receivable",
        "customer_balance",
        "Money applied to one invoice is moved to another: the first is open by it again.",
        "ASC 405-20-40-1",
    ),
    Rule(403, "payment.fee", "processing_fees", "cash", "The processor kept its fee.", "policy: expensed as incurred"),
    Rule(
        411,
        "refund.balance",
        "customer_balance",
        "cash",
        "Money the customer had unapplied is paid back.",
        "ASC 405-20-40-1",
    ),
    Rule(
        412,
        "refund.earned",
        "refunds",
        "cash",
        "Money is paid back for service already given: revenue is less by it, shown on its own.",
        "ASC 606-10-32-25",
    ),
    Rule(
        413,
        "refund.deferred",
        "deferred_revenue",
        "cash",
        "Money is paid back for service not yet given: it is no longer owed.",
        "ASC 606-10-32-43",
    ),
    Rule(
        414,
        "refund.credits",
        "customer_credits",
        "cash",
        "Money is paid back for prepaid credits not yet used.",
        "ASC 606-10-32-43",
    ),
    Rule(
        415,
        "refund.tax",
        "tax_payable",
        "cash",
        "The tax of what is paid back is no longer owed to the authority.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        421,
        "dispute.opened",
        "disputed_funds",
        "cash",
        "The processor took the money until the dispute is decided; the schedule runs on.",
        "ASC 450-30-25-1",
    ),
    Rule(
        422,
        "dispute.won",
        "cash",
        "disputed_funds",
        "The dispute is won: the money is back.",
        "ASC 450-30-25-1",
    ),
    Rule(
        423,
        "dispute.earned",
        "disputes",
        "disputed_funds",
        "The dispute is lost: revenue of service already given is less by it, shown on its own.",
        "ASC 606-10-32-25",
    ),
    Rule(
        424,
        "dispute.deferred",
        "deferred_revenue",
        "disputed_funds",
        "The dispute is lost: service not yet given is no longer owed.",
        "ASC 606-10-32-43",
    ),
    Rule(
        425,
        "dispute.credits",
        "customer_credits",
        "disputed_funds",
        "The dispute is lost: prepaid credits not yet used are no longer paid for.",
        "ASC 606-10-32-43",
    ),
    Rule(
        426,
        "dispute.tax",
        "tax_payable",
        "disputed_funds",
        "The tax of what is lost is no longer owed to the authority.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        427,
        "dispute.balance",
        "customer_balance",
        "disputed_funds",
        "The dispute is lost: money the customer had unapplied is gone.",
        "ASC 405-20-40-1",
    ),
    Rule(
        431,
        "write_off.bad_debt",
        "bad_debt",
        "accounts_receivable",
        "What was earned will not be paid: a credit loss.",
        "ASC 326-20-35-8",
    ),
    Rule(
        432,
        "write_off.deferred",
        "deferred_revenue",
        "accounts_receivable",
        "What was billed and not yet given will neither be paid nor given.",
        "ASC 606-10-32-43",
    ),
    Rule(
        433,
        "write_off.credits",
        "customer_credits",
        "accounts_receivable",
        "Prepaid credits not yet used will not be paid for.",
        "ASC 606-10-32-43",
    ),
    Rule(
        434,
        "write_off.tax",
        "tax_payable",
        "accounts_receivable",
        "The tax of what will not be paid is claimed back from the authority.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        441,
        "recovery.bad_debt",
        "cash",
        "bad_debt",
        "Money came in for what was written off.",
        "ASC 326-20-35-8",
    ),
    Rule(
        442,
        "recovery.tax",
        "cash",
        "tax_payable",
        "The tax that was claimed back is owed again.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        443,
        "recovery.tax_base",
        "memo_taxable_base",
        "memo_taxable_contra",
        "What came in is in the taxable base again.",
        "ASC 606-10-32-2A",
    ),
    Rule(
        451,
        "payment.exchanged",
        "customer_balance",
        "currency_exchange",
        "Money in one currency pays an invoice in another: it leaves the customer's balance in the one.",
        "ASC 830-20-35-1",
    ),
    Rule(
        452,
        "payment.applied_exchanged",
        "currency_exchange",
        "accounts_receivable",
        "Money in another currency settles an invoice, at what it counts for in the entity's own.",
        "ASC 830-20-35-1",
    ),
    # Month end
    Rule(
        501,
        "recognise.deferred",
        "deferred_revenue",
        "revenue",
        "Service billed earlier was given: its revenue is earned.",
        "ASC 606-10-25-31",
    ),
    Rule(
        502,
        "recognise.unbilled",
        "unbilled_receivable",
        "revenue",
        "Service was given before it is billed: earned, a contract asset until the invoice.",
        "ASC 606-10-45-3",
    ),
    Rule(
        503,
        "recognise.less_deferred",
        "revenue",
        "deferred_revenue",
        "Less of the service is earned than was posted: revenue goes back to the liability.",
        "ASC 606-10-32-43",
    ),
    Rule(
        504,
        "recognise.less_unbilled",
        "revenue",
        "unbilled_receivable",
        "Less of the service is earned than was posted: revenue goes back out of the contract asset.",
        "ASC 606-10-32-43",
    ),
    Rule(
        505,
        "recognise.settled",
        "deferred_revenue",
        "unbilled_receivable",
        "An invoice covers service given before it: an obligation never shows both an asset and a liability.",
        "ASC 606-10-45-1",
    ),
    Rule(
        506,
        "recognise.unsettled",
        "unbilled_receivable",
        "deferred_revenue",
        "What settled an asset against a liability turned out to belong to another month: put back.",
        "ASC 606-10-45-1",
    ),
    Rule(
        701,
        "manual",
        "",
        "",
        "An accountant's own entry, as given, with a reason and a second person's approval.",
        "policy: approved by two",
    ),
    # Currencies: functional amounts only, nothing in the account's own currency
    *(
        Rule(
            number + offset,
            f"exchange.{result}.{role}",
            *((role, "fx_gain") if result == "gain" else ("fx_loss", role)),
            f"{ROLES[role].title} left at another exchange rate than it came in at: an exchange {result}.",
            "ASC 830-20-35-1",
        )
        for offset, result in ((0, "gain"), (20, "loss"))
        for number, role in enumerate(
            (
                "accounts_receivable",
                "cash",
                "customer_balance",
                "unbilled_receivable",
                "deferred_revenue",
                "customer_credits",
                "tax_payable",
                "disputed_funds",
                "currency_exchange",
            ),
            601,
        )
    ),
    *(
        Rule(
            number + offset,
            f"revalue.{result}.{role}",
            *((role, "fx_gain") if result == "gain" else ("fx_loss", role)),
            f"{ROLES[role].title} at the month's closing rate: an exchange {result} not yet realised, reversed the next day.",
            "ASC 830-20-35-2",
        )
        for offset, result in ((0, "gain"), (10, "loss"))
        for number, role in enumerate(MONETARY, 641)
    ),
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _RULES}
BY_NUMBER: dict[int, Rule] = {rule.number: rule for rule in _RULES}

# The rules by which later documents lower what an obligation's customer pays for it: its price falls by them.
PRICE_REDUCING = tuple(
    rule.number
    for rule in _RULES
    if rule.code.startswith(("credit.", "refund.", "dispute.", "write_off."))
    and rule.debit in ("deferred_revenue", "unbilled_receivable", "refunds", "disputes", "bad_debt")
)

assert len(RULES) == len(BY_NUMBER) == len(_RULES), "a rule's code and number are its own"
assert all({rule.debit, rule.credit} <= {*ROLES, ""} for rule in _RULES), "a rule names roles of the chart"
