"""What the API takes and answers with, as its description says."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ledger.reports.report import GROUPS, PERIODS

ENTRIES_A_PAGE_MAX = 500


class PostedSchema(Schema):
    """What became of posted documents."""

    posted = fields.Integer(metadata={"description": "Documents posted now"})
    repeated = fields.Integer(metadata={"description": "Documents that were posted before with the same content"})
    late = fields.Integer(metadata={"description": "Entries moved out of closed months into the first open one"})
    entries = fields.Integer()
    postings = fields.Integer()


class ProblemDetailsSchema(Schema):
    """An error as RFC 9457 problem details; `problems` where several things are wrong."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    field = fields.String(metadata={"description": "Where it stands"})
    value = fields.String(metadata={"description": "What was found"})
    expected = fields.String(metadata={"description": "What was expected"})
    more = fields.Integer(
        metadata={"description": "How many more things are wrong than `problems` has: it has the first 100"}
    )
    problems = fields.Raw(
        metadata={
            "description": "Each thing wrong: its field, the value found, and what was expected; of documents its line and document, too"
        }
    )


class FilterSchema(Schema):
    """What a report is narrowed to, named as on the command line, or compared against."""

    against = fields.AwareDateTime(metadata={"description": "Show what differs from the report as known then, and why"})
    since = fields.Date(data_key="from", metadata={"description": "First day counted"})
    as_of = fields.Date(metadata={"description": "Last day counted: what was effective by then"})
    known_at = fields.AwareDateTime(metadata={"description": "What was posted by this moment"})
    entity = fields.String()
    customer = fields.String()
    product = fields.String()
    currency = fields.String(validate=validate.Regexp("^[A-Z]{3}$", error="expected a currency such as USD"))
    memorandum = fields.Boolean()
    contract = fields.String()
    period = fields.String(
        data_key="by", validate=validate.OneOf(list(PERIODS)), metadata={"description": "What disclosures add up over"}
    )
    group = fields.List(
        fields.String(validate=validate.OneOf(GROUPS)), metadata={"description": "What disclosures keep apart"}
    )
    transaction = fields.Boolean(
        metadata={"description": "Disclosures in the currencies of transactions, or (false) of entities"}
    )


class ReportSchema(Schema):
    """A report: amounts are decimal strings in the row's currency."""

    name = fields.String()
    title = fields.String()
    notes = fields.List(fields.String())
    rows = fields.List(fields.Dict())


class LineSchema(Schema):
    """A debit or credit of an entry."""

    side = fields.String()
    entity = fields.String()
    account = fields.String(metadata={"description": "The account's role in the chart"})
    subject = fields.String()
    product = fields.String()
    rule = fields.String()
    currency = fields.String()
    amount = fields.String(metadata={"description": "Decimal string"})
    functional_currency = fields.String(metadata={"description": "The entity's own"})
    functional_amount = fields.String(metadata={"description": "Decimal string in the entity's own currency"})


class EntrySchema(Schema):
    """A journal entry with its lines."""

    entry = fields.Integer()
    customer = fields.String()
    document = fields.String()
    effective_on = fields.String()
    occurred_on = fields.String()
    posted_at = fields.String()
    posted_by = fields.String()
    hash = fields.String()
    reverses = fields.Integer(allow_none=True)
    reversed_by = fields.Integer(allow_none=True)
    lines = fields.List(fields.Nested(LineSchema))


class EntryPageSchema(Schema):
    """A page of entries, newest last; `after` of the next page is `next`."""

    entries = fields.List(fields.Nested(EntrySchema))
    next = fields.Integer(allow_none=True)


class EntryQuerySchema(Schema):
    """Which entries to list."""

    after = fields.Integer(load_default=0, validate=validate.Range(min=0, max=2**63 - 1))
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=ENTRIES_A_PAGE_MAX))
    customer = fields.String()


class StepSchema(Schema):
    """A thing on the way to or from what is traced; `depth` says how many steps away."""

    kind = fields.String()
    ref = fields.String()
    text = fields.String()
    depth = fields.Integer()


class TraceSchema(Schema):
    """A thing, its entries, what it comes from and what it led to."""

    kind = fields.String()
    ref = fields.String()
    title = fields.String()
    document = fields.Dict()
    entries = fields.List(fields.Nested(EntrySchema))
    comes_from = fields.List(fields.Nested(StepSchema))
    led_to = fields.List(fields.Nested(StepSchema))


class InvoiceSchema(Schema):
    """An invoice as its reader sees it; amounts are decimal strings of its currency."""

    id = fields.String()
    number = fields.String(allow_none=True)
    status = fields.String(metadata={"description": "draft, open, paid, settled, credit (below zero) or void"})
    entity = fields.Dict()
    customer = fields.Dict()
    currency = fields.String()
    issued_on = fields.String()
    due_on = fields.String()
    exchange_rate = fields.String(allow_none=True)
    supersedes = fields.String(allow_none=True)
    reference = fields.String(allow_none=True)
    external = fields.Dict(metadata={"description": "Its ids in other systems, by system"})
    groups = fields.List(
        fields.Dict(), metadata={"description": "Items by group, their lines, and the usage these bill"}
    )
    taxes = fields.List(fields.Dict())
    total = fields.String()
    paid = fields.String()
    credited = fields.String()
    written_off = fields.String()
    to_balance = fields.String(metadata={"description": "What it is below zero, as the customer's money"})
    due = fields.String()


class DraftSchema(Schema):
    """An invoice that is not posted, and the entries it would post."""

    invoice = fields.Nested(InvoiceSchema)
    entries = fields.List(fields.Nested(EntrySchema))


class RuleSchema(Schema):
    """A rule of the rulebook."""

    number = fields.Integer()
    code = fields.String()
    debit = fields.String()
    credit = fields.String()
    why = fields.String()
    citation = fields.String()
