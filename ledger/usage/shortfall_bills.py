"""Bills of a commitment's shortfall: what they move, and what taking them back does."""

from __future__ import annotations

from collections import Counter
from datetime import date

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.amounts.money import to_text
from ledger.errors import OverApplication, Refused
from ledger.journal.books import Books
from ledger.journal.by_date import available, balance
from ledger.journal.movements import AccountKey, Movement, Source
from ledger.usage.commitments import covered_by_shortfall, products_used
from ledger.usage.usage_lines import overage_accounts, usage_subject
from ledger.wallets.grants import Grant


def bill_shortfall(
    books: Books, source: Source, grant: Grant, day: date, amount: int, before: int, invoice: str, product: str
) -> list[Movement]:
    """What a shortfall line of an invoice moves.

    What was earned of it with use, usage it covers that is not billed; the rest is revenue. `before` is what earlier lines of the same
    invoice billed of it. Raises Refused for what is no commitment, OverApplication beyond what is left of it, unless the rest is all that
    was used of it and is not billed.
    """
    customer_id = source.customer.customer_id
    if grant.kind != "commitment":
        raise Refused("grant", grant.ref, f"expected a commitment, found a {grant.kind} grant")
    left = max(grant.left - before, 0)
    short = min(amount, left)
    unbilled_key = AccountKey(source.entity, "unbilled_receivable", source.currency, grant.subject)
    earned = min(short, max(balance(books.history(customer_id, unbilled_key), day) - before, 0))
    movements = [
        Movement("invoice.shortfall_earned", earned, invoice, grant.subject),
        Movement("invoice.shortfall", short - earned, invoice, grant.subject, product),
        Movement("expire.shortfall", short, grant.subject, grant.subject),
    ]
    # a bill made before late usage arrived covers that usage, all of it that is not billed
    more = amount - short
    if more:
        products = products_used(books, source, grant)
        ahead, used = (
            [max(available(books.history(customer_id, overage_accounts(source, product)[side]), day), 0) for product in products]
            for side in (0, 1)
        )  # fmt: skip
        most = max(min(sum(used) - sum(ahead), grant.drawn_face), 0)
        if more != most:  # more than is short is a mistake, unless it is all that is to be billed
            all_of_it = f", or {to_text(left + most, source.currency)} with all that was used of it and is not billed"
            raise OverApplication(
                "amount",
                f"{to_text(amount, source.currency)} {source.currency}",
                f"expected at most {to_text(left, source.currency)}, what is left of commitment {grant.ref}{all_of_it if most else ''}",
            )
        for covered, stands in zip(products, used, strict=True):
            part = min(more, stands)
            movements.append(Movement("invoice.shortfall_used", part, invoice, usage_subject(covered)))
            more -= part
    return movements


def take_back(
    books: Books,
    source: Source,
    grant: Grant,
    amount: int,
    day: date,
    product: str,
    kind: str,
    invoice: str,
    taken: Counter[str],
) -> tuple[list[tuple[str, int, str, str]], list[Movement]]:
    """What a shortfall's bill that is voided or credited takes back, and what moves before that.

    By rule, amount, subject and product. First its own revenue. What it had covered of usage, or of what was earned with use, a void leaves to be billed again, and a
    credit takes out of revenue; what earlier credits took of the same is not there any more, nor what `taken` says of other lines.
    """
    customer_id = source.customer.customer_id

    def held(product: str) -> int:
        key = AccountKey(source.entity, "revenue", source.currency, grant.subject, product)
        return max(balance(books.history(customer_id, key), day) - taken[f"{grant.subject} {product}"], 0)

    # what use earned is of no product, and is taken after the bill's own
    own = held(product) if product else max(held("") - max(grant.broken, 0), 0)
    first = min(amount, own)
    taken[f"{grant.subject} {product}"] += first
    found = [("credit.shortfall", first, grant.subject, product)]
    left = amount - first
    earned = min(left, grant.broken, held(""))
    taken[f"{grant.subject} "] += earned
    if kind == "void":
        found.append(("credit.unbilled", earned, grant.subject, ""))
    else:
        found.append(("credit.shortfall", earned, grant.subject, ""))
    left -= earned
    of_usage, moved, left = _usage_taken_back(books, source, grant, left, product, kind, invoice)
    found += of_usage
    if left:
        found.append(("credit.shortfall", left, grant.subject, product))
    return found, moved


def _usage_taken_back(
    books: Books, source: Source, grant: Grant, left: int, product: str, kind: str, invoice: str
) -> tuple[list[tuple[str, int, str, str]], list[Movement], int]:
    """What of an amount is of usage that the bill covered.

    What it takes back, what moves before, what is left.
    """
    rule = "credit.unbilled" if kind == "void" else "credit.usage"
    found: list[tuple[str, int, str, str]] = []
    moved: list[Movement] = []
    for used in products_used(books, source, grant):
        usage = usage_subject(used)
        credited = _credited(books, source, grant, usage)
        covered = covered_by_shortfall(books, source, grant, usage) + _conceded(books, source, usage)
        after = min(left, max(covered - credited, 0))
        if kind == "void":
            moved.append(Movement("shortfall.used_returned", after, usage, grant.subject, product))
            found.append(("credit.shortfall", after, grant.subject, product))
        else:
            found.append((rule, after, usage, used))
        left -= after
        at_once = min(left, _covered_by(books, source, invoice, usage) - max(credited - covered, 0))
        found.append((rule, at_once, usage, "" if kind == "void" else used))
        left -= at_once
    return found, moved, left


def _conceded(books: Books, source: Source, usage: str) -> int:
    """What of a product's usage came after the bill that covers it was credited."""
    conceded = books.connection.scalar(
        text(
            "select coalesce(sum(p.amount), 0) from posting p join account k on k.customer_id = p.customer_id"
            " and k.account_id = p.credit_account where p.customer_id = :customer_id and p.rule = :rule and k.subject = :usage"
        ),
        {"customer_id": source.customer.customer_id, "rule": RULES["shortfall.credit_used"].number, "usage": usage},
    )
    return int(conceded or 0)


def _credited(books: Books, source: Source, grant: Grant, usage: str) -> int:
    """What credit notes took already of usage that bills of a shortfall covered.

    Of one product and commitment.
    """
    books.flush()
    credited = books.connection.scalar(
        text(
            "select coalesce(sum(x.amount_minor), 0) from line_change x"
            " join invoice_line l using (customer_id, invoice_id, line)"
            " where x.customer_id = :customer_id and x.subject = :usage and l.subject = :subject"
        ),
        {"customer_id": source.customer.customer_id, "usage": usage, "subject": grant.subject},
    )
    return int(credited or 0)


def _covered_by(books: Books, source: Source, invoice: str, usage: str) -> int:
    """What of a product's usage the bill of a shortfall itself covered.

    Because it had come before and was not billed.
    """
    covered = books.connection.scalar(
        text(
            "select coalesce(sum(p.amount), 0) from posting p"
            " join account d on d.customer_id = p.customer_id and d.account_id = p.debit_account"
            " join account k on k.customer_id = p.customer_id and k.account_id = p.credit_account"
            " where p.customer_id = :customer_id and p.rule = :rule and d.subject = :invoice and k.subject = :usage"
        ),
        {
            "customer_id": source.customer.customer_id, "rule": RULES["invoice.shortfall_used"].number, "invoice": invoice,
            "usage": usage,
        },
    )  # fmt: skip
    return int(covered or 0)
