-- Draws that are plain, in one statement: a thousand of an import, or the one of a request.
--
-- What is plain, ledger/draws.py says; it posts to the cent, the account and the hash what ledger/usage.py would, and a test
-- holds the two together. Whatever else has to be looked at is left to it.

create function half_even(amount numeric) returns numeric language sql immutable parallel safe as $$
    select case when amount - trunc(amount) = 0.5 and mod(trunc(amount), 2) = 0 then trunc(amount) else round(amount) end
$$;
comment on function half_even is 'An amount of 0 or more rounded to a whole number, ties to even.';

-- Returns the places of the documents that were posted, below zero where one came to no cent yet; of a customer all or none.
create function draw_plainly(
    customers text[], entities text[], currencies text[], products text[], days date[], quantities numeric[], prices numeric[],
    refs text[], bodies text[], hashes bytea[], minor_units jsonb, author text, draw_rule smallint, funding_rules smallint[]
) returns bigint[] language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    posted bigint[];
begin
    perform pg_advisory_xact_lock_shared(71606);
    perform from customer where ref = any(customers) order by customer_id for no key update;

    with asked as materialized (
        select d.*, exists (select from document_key k where k.type = 'usage' and k.ref = d.ref) as posted_before
        from unnest(customers, entities, currencies, products, days, quantities, prices, refs, bodies, hashes)
            with ordinality d (customer, entity, currency, product, day, quantity, price, ref, body, hash, place)
    ), wallets as materialized (
        select w.*, c.customer_id, (minor_units ->> w.currency)::numeric as units, coalesce(m.rated, 0) as rated_before,
               coalesce(m.posted_minor, 0) as posted_before
        from (
            select customer, entity, currency, product, min(day) as first_day, max(day) as last_day,
                   sum(quantity * price) as rated, bool_or(posted_before) as repeated,
                   count(*) over (partition by customer) as wallets
            from asked group by customer, entity, currency, product
        ) w
        join lateral (select customer_id from customer where ref = w.customer offset 0) c on true
        join lateral (select from entity where entity = w.entity and currency = w.currency offset 0) e on true
        left join lateral (
            select rated, posted_minor from usage_meter m
            where m.customer_id = c.customer_id and m.entity = w.entity and m.product = w.product and m.currency = w.currency
            offset 0
        ) m on true
        where w.wallets = 1 and not w.repeated
          and not exists (select from closed_books b where b.entity = w.entity and b.closed_through >= w.first_day)
          and not exists (select from wallet_alert a where a.customer_id = c.customer_id)
    ), granted as materialized (
        select w.*, g.grant_id, g.subject, g.earned, g.left_minor,
               greatest(w.posted_before, half_even((w.rated_before + w.rated) * w.units)) - w.posted_before as total
        from wallets w
        cross join lateral (
            -- of the grants that usage of these days may draw on, the one there is; and whether all of the customer's are plain
            select max(g.grant_id) filter (where g.covers) as grant_id, max('grant:' || g.ref) filter (where g.covers) as subject,
                   max(g.earned) filter (where g.covers) as earned, max(g.left_minor) filter (where g.covers) as left_minor,
                   count(*) filter (where g.covers) as grants, bool_and(g.plain or not g.covers) and not bool_or(g.odd) as plain
            from (
                select g.grant_id, g.ref, b.drawn_minor + b.broken_minor as earned,
                       b.face_minor - b.drawn_face_minor - b.moved_face_minor as left_minor,
                       g.kind = 'commitment' or g.free or b.expired_face_minor > 0 as odd,
                       b.face_minor > b.drawn_face_minor + b.moved_face_minor
                       and (g.products is null or w.product = any(g.products))
                       and g.effective_on <= w.last_day and (g.expires_on is null or g.expires_on >= w.first_day) as covers,
                       g.price_minor = g.face_minor and not g.in_memorandum and b.moved_face_minor = 0
                       and b.drawn_minor = b.drawn_face_minor
                       and g.effective_on <= w.first_day and (g.expires_on is null or g.expires_on >= w.last_day) as plain
                from credit_grant g
                cross join lateral (
                    select * from grant_balance b where b.customer_id = g.customer_id and b.grant_id = g.grant_id offset 0
                ) b
                where g.customer_id = w.customer_id and g.entity = w.entity and g.currency = w.currency
                offset 0
            ) g
        ) g
        where g.grants = 1 and g.plain
    ), plain as materialized (
        select g.*, credits.account_id as credits, revenue.account_id as revenue
        from granted g
        join lateral (
            select account_id from account a
            where a.customer_id = g.customer_id and a.entity = g.entity and a.role = 'customer_credits'
              and a.currency = g.currency and a.subject = g.subject and a.product = '' offset 0
        ) credits on true
        join lateral (
            select account_id from account a
            where a.customer_id = g.customer_id and a.entity = g.entity and a.role = 'revenue'
              and a.currency = g.currency and a.subject = g.subject and a.product = g.product offset 0
        ) revenue on true
        cross join lateral (
            select coalesce(sum(case when billed.credited then billed.amount else 0 end
                                - case when billed.debited then billed.amount else 0 end), 0) as amount,
                   max(billed.effective_on) filter (where billed.credited or billed.debited) as last_day
            from (
                select p.amount, p.effective_on,
                       exists (select from account a where a.customer_id = p.customer_id and a.account_id = p.credit_account
                               and a.subject = g.subject) as credited,
                       exists (select from account a where a.customer_id = p.customer_id and a.account_id = p.debit_account
                               and a.subject = g.subject) as debited
                from (
                    select invoice_id as document_id from invoice_line l
                    where l.customer_id = g.customer_id and l.subject = g.subject
                    union select document_id from line_change l
                    where l.customer_id = g.customer_id and l.subject = g.subject
                    union select document_id from grant_move m where m.customer_id = g.customer_id
                    union select document_id from document d where d.customer_id = g.customer_id and d.type = 'manual_entry'
                ) billing
                join lateral (
                    select entry_id from entry e
                    where e.document_id = billing.document_id and e.customer_id + 0 = g.customer_id offset 0
                ) e on true
                join lateral (
                    select * from posting p where p.customer_id = g.customer_id and p.entry_id = e.entry_id offset 0
                ) p on true
                where p.rule = any(funding_rules)
            ) billed
        ) funded
        where g.left_minor >= g.total and funded.last_day <= g.first_day and funded.amount - g.earned >= g.total
    ), rated as materialized (
        select a.place, a.ref, a.day, a.body, a.hash, p.customer_id, p.credits, p.revenue, p.posted_before,
               greatest(p.posted_before, half_even(p.units * (p.rated_before + sum(a.quantity * a.price)
                   over (partition by p.customer_id order by a.place)))) as upto
        from plain p join asked a on a.customer = p.customer
    ), taken as materialized (
        select r.*, nextval('document_number') as document_id, case when r.amount > 0 then nextval('entry_number') end as entry_id
        from (
            select r.*, (r.upto - lag(r.upto, 1, r.posted_before) over (partition by r.customer_id order by r.place))::bigint as amount
            from rated r order by r.place
        ) r
    ), keys as (
        insert into document_key (type, ref, customer_id, document_id)
        select 'usage', ref, customer_id, document_id from taken
    ), documents as (
        insert into document (customer_id, document_id, type, ref, dated_on, body, hash, posted_at, posted_by)
        select customer_id, document_id, 'usage', ref, day, body, hash, now(), author from taken
    ), entries as (
        insert into entry (customer_id, entry_id, document_id, posted_at, effective_on, occurred_on, posting_count, posted_by, hash)
        select customer_id, entry_id, document_id, now(), day, day, 1, author,
               sha256(int8send(customer_id) || int8send(entry_id) || int8send(document_id) || timestamptz_send(now())
                      || int8send(0) || date_send(day) || date_send(day) || int4send(1) || convert_to(author, 'UTF8')
                      || int2send(1::smallint) || int2send(draw_rule) || int8send(credits) || int8send(revenue)
                      || int8send(amount) || int8send(amount))
        from taken where entry_id is not null
    ), postings as (
        insert into posting (customer_id, entry_id, debit_account, credit_account, amount, functional_amount, effective_on, line, rule)
        select customer_id, entry_id, credits, revenue, amount, amount, day, 1, draw_rule
        from taken where entry_id is not null
    ), balances as (
        update grant_balance b
        set drawn_face_minor = b.drawn_face_minor + p.total, drawn_minor = b.drawn_minor + p.total
        from plain p where b.customer_id = p.customer_id and b.grant_id = p.grant_id and p.total > 0
    ), meters as (
        insert into usage_meter (customer_id, entity, product, currency, rated, posted_minor)
        select customer_id, entity, product, currency, rated_before + rated, posted_before + total from plain
        on conflict (customer_id, entity, product, currency) do update
        set rated = excluded.rated, posted_minor = excluded.posted_minor
    )
    select array_agg(case when entry_id is null then -place else place end) into posted from taken;
    return coalesce(posted, '{}');
end $$;
