"""Credits that expire: what was paid for and not used breaks.

On their last day, or on the day of a bill that comes later. A document of an earlier day that comes late finds them as they were on its
day: what expired is put back, with what notes took of it since, and expires again once the document is posted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import text

from ledger.accounts.rulebook import RULES
from ledger.journal.books import Books
from ledger.journal.movements import Movement, Source
from ledger.wallets.credits_back import revenue_by_product
from ledger.wallets.draw_plans import share_of_order
from ledger.wallets.grants import NET_GRANT, Grant, grant_accounts
from ledger.wallets.session import Wallets


def expire(wallets: Wallets, document_id: int, through: date) -> int:
    """Post the expiry of every grant whose last day is up to `through`.

    Returns how many posted anything. What is left of the credits goes; money billed for them and not earned becomes breakage revenue (the
    remote method, ASC 606-10-55-48), dated on the last day, or on the invoice's where that came later.
    """
    due = wallets.books.connection.execute(
        text(
            "select distinct c.ref from credit_grant g join grant_balance b using (customer_id, grant_id) "
            "join customer c using (customer_id) where g.expires_on <= :through and g.kind <> 'commitment' "
            "and (b.drawn_face_minor + b.expired_face_minor + b.moved_face_minor < b.face_minor or not g.free) "
            "order by c.ref"
        ),
        {"through": through},
    )
    expired = 0
    for ref in list(due.scalars()):
        customer = wallets.books.parties.customer(ref)
        for grant in wallets.grants(customer.customer_id):
            if grant.kind != "commitment" and grant.expires_on is not None and grant.expires_on <= through:
                source = Source(document_id, customer, grant.entity, grant.currency)
                expired += expire_grant(wallets, source, grant, grant.expires_on, through)
    return expired


def expired_by(wallets: Wallets, source: Source, grant: Grant, on: date) -> None:
    """Let a grant and its order be expired as they are on a day.

    For a document of it: whatever was recognised, or not yet.
    """
    unexpire(wallets, source, grant, on)
    _put_back_breakage(wallets, source, grant, on)
    members = [grant] if grant.paid is None else [grant.paid, *grant.paid.bonuses]
    for item in members:
        if item.kind != "commitment" and item.expires_on is not None and item.expires_on < on:
            of_item = Source(source.document_id, source.customer, item.entity, item.currency)
            expire_grant(wallets, of_item, item, item.expires_on, wallets.books.days.open_day(of_item, on))


def _put_back_breakage(wallets: Wallets, source: Source, grant: Grant, on: date) -> None:
    """Put back what a grant earned as breakage with use of later days.

    It is told anew once the document is posted.
    """
    if not grant.proportional or grant.kind == "commitment" or not grant.broken or grant.grant_id in wallets.late:
        return
    wallets.books.flush()
    day = wallets.books.days.open_day(source, on)
    rows = wallets.books.connection.execute(
        text(_WITH_USE), {"customer_id": source.customer.customer_id, "subject": grant.subject, "day": day}
    )
    for row in rows:
        rule = "break.prepaid_corrected" if row.amount > 0 else "break.prepaid"
        movement = Movement(rule, abs(row.amount), grant.subject, grant.subject)
        wallets.books.post(source, row.effective_on, [movement])
        grant.broken -= row.amount
        wallets.late[grant.grant_id] = (source, grant, day)
        wallets.touch(grant)


_WITH_USE = """
    select p.effective_on, sum(case when r.code = 'break.prepaid' then p.amount else -p.amount end)::bigint as amount
    from posting p join rule r on r.number = p.rule and r.code in ('break.prepaid', 'break.prepaid_corrected')
    where p.customer_id = :customer_id and p.effective_on > :day and exists (select from account a
        where a.customer_id = p.customer_id and a.account_id in (p.debit_account, p.credit_account) and a.subject = :subject)
    group by 1 having sum(case when r.code = 'break.prepaid' then p.amount else -p.amount end) <> 0 order by 1"""


def unexpire(wallets: Wallets, source: Source, grant: Grant, on: date) -> None:
    """Put back what expired of a grant, and of its order, for a late document.

    It is of a day on which that had not expired. What is left then expires again on the same day, once the document is posted.
    """
    paid = grant.paid
    if grant.kind == "commitment":  # it does not expire: its shortfall is billed
        return
    members = [grant] if paid is None else [paid, *paid.bonuses]
    late = [item for item in members if item.expires_on is not None and on <= item.expires_on and item.expired_face]
    if not late:
        return
    books = wallets.books
    through = max(item.expires_on for item in late if item.expires_on is not None)
    for item in late:
        if item.kept_in_memorandum:
            moved = Movement("expire.credits_corrected", item.expired_face, item.subject, item.subject)
            books.post(source, item.expires_on or on, [moved])
        item.expired_face = 0
        wallets.touch(item)
    if paid is not None and not any(item.expired_face for item in members):
        _put_back_notes(wallets, source, paid)
        for day, amount in broken_by_expiry(books, source, paid).items():
            if amount > 0:  # what a void took back stays, and is told anew with other notes
                books.post(source, day, [Movement("expire.prepaid_corrected", amount, paid.subject, paid.subject)])
                paid.broken -= amount
            through = max(through, day)
        wallets.touch(paid)
    lead = paid or grant
    _, _, known = wallets.unexpired.get(lead.grant_id, (source, lead, through))
    wallets.unexpired[lead.grant_id] = (source, lead, max(known, through))


def expire_again(wallets: Wallets) -> None:
    """Let what was put back for the document just posted expire again, as far as it had."""
    unexpired, wallets.unexpired = wallets.unexpired, {}
    for source, lead, through in unexpired.values():
        for item in (lead, *lead.bonuses):
            if item.expires_on is not None and item.expires_on <= through:
                expire_grant(wallets, source, item, item.expires_on, through)
        _take_again(wallets, source, lead)


def broken_by_expiry(books: Books, source: Source, grant: Grant) -> dict[date, int]:
    """What of a grant's price broke when it expired, by day.

    By the day of which it is, whenever that counted.
    """
    books.flush()
    rows = books.connection.execute(
        text(
            "select e.occurred_on, sum(case when p.debit_account = a.account_id then p.amount else -p.amount end)::bigint as amount "
            "from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account) "
            "join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id "
            "where a.customer_id = :customer_id and a.subject = :subject and a.role = 'customer_credits' and p.rule = any(:rules) "
            "group by 1 having sum(case when p.debit_account = a.account_id then p.amount else -p.amount end) <> 0 order by 1"
        ),
        {
            "customer_id": source.customer.customer_id, "subject": grant.subject,
            "rules": [RULES["expire.prepaid"].number, RULES["expire.prepaid_corrected"].number],
        },
    )  # fmt: skip
    return {row.occurred_on: row.amount for row in rows}


def expire_grant(wallets: Wallets, source: Source, grant: Grant, expires_on: date, through: date) -> bool:
    """Expire what is left of a grant.

    What is billed of it after it expired breaks on the day it is billed.
    """
    subject = grant.subject
    face = grant.left
    if face and grant.kept_in_memorandum:
        wallets.books.post(source, expires_on, [Movement("expire.credits", face, subject, subject)])
    if grant.paid is None:
        broken = 0
    elif grant.paid is not grant or grant.bonuses:
        broken = _break_part(wallets, source, grant, grant.paid, face, expires_on)
    else:
        broken = _break_all(wallets, source, grant, expires_on, through)
    grant.expired_face += face
    if face or broken:
        wallets.touch(grant)
    return bool(face or broken)


def _break_all(wallets: Wallets, source: Source, grant: Grant, expires_on: date, through: date) -> int:
    """Break what is paid for and not used.

    What notes took of what was used, or broke, was paid for all the same. By each day on which something was paid, all that should have
    broken by then, whatever did already.
    """
    anew = grant.grant_id not in wallets.noted
    if anew:
        _put_back_notes(wallets, source, grant)
    notes = wallets.noted.get(grant.grant_id, ())
    days = sorted({funding.on for funding in grant.fundings if funding.on > expires_on})
    known = broken_by_expiry(wallets.books, source, grant) if days and grant.broken else {}
    known = {day: amount for day, amount in known.items() if amount > 0}  # what a void took is told by it
    with_use = grant.broken - sum(known.values())
    # a void says itself what it takes; what usage gives back later breaks then
    first = None if any(note.voids for note in notes) else grant.returned_on
    first_open = wallets.books.days.first_counting_day(source)
    broken = 0
    for day in (expires_on, *(day for day in days if day <= through)):
        for note in notes:
            if note.on <= day:
                note.count(grant.broken)
        paid = sum(funding.amount for funding in grant.fundings if funding.on <= day)
        paid += sum(note.counted for note in notes if note.on <= day)
        # nothing breaks before the books have it, as in a month that was closed when it came
        on = max(
            [day, first or day, *(known.day for known in grant.fundings if known.on <= day and known.day > first_open)]
        )
        by_then = with_use + sum(amount for other, amount in known.items() if other <= on) + broken
        money = max(paid - grant.drawn - by_then, 0)
        wallets.books.post(source, on, [Movement("expire.prepaid", money, grant.subject, grant.subject)])
        grant.broken += money
        broken += money
    if anew:
        _take_again(wallets, source, grant)
    return broken


def _break_part(wallets: Wallets, source: Source, grant: Grant, paid: Grant, face: int, expires_on: date) -> int:
    """Expire credits of an order: their share of its price, all of it with the last of them."""
    others = sum(item.left for item in (paid, *paid.bonuses) if item is not grant)
    money = paid.price_left if others == 0 else share_of_order(paid, face)
    money = min(money, max(paid.funded() - paid.drawn - paid.broken, 0))
    day = max([expires_on, paid.returned_on or expires_on, *(funding.day for funding in paid.fundings)])
    wallets.books.post(source, day, [Movement("expire.prepaid", money, paid.subject, paid.subject)])
    paid.broken += money
    if money:
        wallets.touch(paid)
    return money


@dataclass(slots=True)
class Noted:
    """What a note, or a void, of credits that had expired took of what they had earned.

    And of that, what had broken. A void leaves what is used as it is, to be billed again, and `counts` only so far as something had
    broken by then.
    """

    on: date
    amount: int
    broken: int
    voids: bool
    counts: int | None = None

    @property
    def counted(self) -> int:
        """What it took, as far as that is known."""
        return self.amount if self.counts is None else self.counts

    def count(self, broken: int) -> None:
        """Say what had broken when it came."""
        if self.voids and self.counts is None:
            self.counts = min(self.amount, max(broken, 0))


def _put_back_notes(wallets: Wallets, source: Source, grant: Grant) -> None:
    """Tell a grant as it was before later notes and voids lowered what it had earned.

    Those of later days than its last.
    """
    if grant.grant_id in wallets.noted or grant.expires_on is None or not (grant.moved or grant.returned_on):
        return
    wallets.books.flush()
    rows = wallets.books.connection.execute(
        text(_NOTED),
        {"customer_id": source.customer.customer_id, "subject": grant.subject, "expires_on": grant.expires_on},
    )
    notes = wallets.noted[grant.grant_id] = [
        Noted(row.occurred_on, row.amount, row.broken, row.voids) for row in rows if row.amount > 0
    ]
    for note in notes:
        grant.broken += note.broken
        if not note.voids:
            grant.moved -= note.amount
            grant.drawn += note.amount - note.broken


def _take_again(wallets: Wallets, source: Source, grant: Grant) -> None:
    """Let notes take what they had.

    What did not break after all was of used credits, of the last notes first.
    """
    notes: list[Noted] = wallets.noted.pop(grant.grant_id, [])
    for note in notes:
        note.count(grant.broken)
        grant.broken -= note.counted if note.voids else note.broken
        if note.voids:
            if back := note.amount - note.counted:
                wallets.books.post(source, note.on, [Movement("expire.prepaid", back, grant.subject, grant.subject)])
                wallets.books.net(source, grant_accounts(source, grant.ref), NET_GRANT, note.on - timedelta(days=1))
        else:
            grant.moved += note.amount
            grant.drawn -= note.amount - note.broken
    for note in reversed(notes):
        part = min(note.broken, -grant.broken)
        if part > 0 and not note.voids:
            wallets.books.post(source, note.on, [
                Movement("credit.used_after_all", amount, grant.subject, grant.subject, product)
                for product, amount in revenue_by_product(wallets.books, source, grant, part)
            ])  # fmt: skip
            grant.broken += part
            grant.drawn -= part
    if notes:
        wallets.touch(grant)


_NOTED = """
    select e.occurred_on, r.code like 'expire.%' as voids,
           sum(case when r.code = 'credit.used_after_all' then 0 when p.debit_account = a.account_id then p.amount else -p.amount
               end)::bigint as amount,
           coalesce(sum(case when p.debit_account = a.account_id then p.amount else -p.amount end)
                    filter (where a.role = 'breakage_revenue'), 0)::bigint as broken
    from account a join posting p on p.customer_id = a.customer_id and a.account_id in (p.debit_account, p.credit_account)
    join rule r on r.number = p.rule
    join entry e on e.customer_id = p.customer_id and e.entry_id = p.entry_id
    where a.customer_id = :customer_id and a.subject = :subject and a.role in ('revenue', 'breakage_revenue')
      and r.code in ('credit.used', 'credit.used_to_balance', 'credit.used_after_all', 'break.returned', 'expire.prepaid_corrected', 'expire.prepaid')
      and e.occurred_on > :expires_on
      -- a note that was taken back is told by neither; one that was billed again, as a void is
      and (r.code like 'expire.%' or not exists (select from document n join document v on v.customer_id = n.customer_id and v.type = 'credit_note_void'
                          and v.body::json ->> 'credit_note' = n.ref
                      where n.customer_id = e.customer_id and n.document_id = e.document_id and n.type = 'credit_note'))
    group by 1, 2 order by 1, 2"""
