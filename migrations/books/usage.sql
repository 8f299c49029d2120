-- Usage: what is rated so far, what a later document replaced or gave back, and plain draws on a wallet in one statement.

create table usage_meter (
    customer_id bigint not null,
    entity text not null references entity,
    product text not null references product,
    currency text not null,
    rated numeric not null,
    posted_minor bigint not null,
    primary key (customer_id, entity, product, currency)
);
comment on table usage_meter is
    'Usage rated so far, exactly, and what of it is posted: sub-cent usage adds up here. `tickmark verify` recomputes it.';

-- The meter was wrong.
create table superseded_usage (
    customer_id bigint not null,
    document_id bigint not null,
    superseded_by bigint not null,
    primary key (customer_id, document_id)
);
comment on table superseded_usage is 'A usage document takes part in the meter until another one replaces it, once.';

create table usage_returned (
    customer_id bigint not null,
    document_id bigint not null,
    entry_id bigint not null,
    subject text not null,
    face_minor bigint not null check (face_minor > 0),
    primary key (customer_id, document_id, entry_id, subject)
);
comment on table usage_returned is 'What usage that fell gave back of what an entry drew on a grant, or left to be billed.';
create index usage_returned_entry on usage_returned (customer_id, entry_id);

select pg_temp.never_changed('superseded_usage', 'usage_returned');
select keep_row_log(name) from unnest(array['superseded_usage', 'usage_returned']) name;

-- Plain draws --------------------------------------------------------------------------------------------------

-- Draws on one wallet in one statement: the one of a request, or a hundred of them. What is plain says ledger/usage/one_statement.py; it
-- posts to the cent, the account and the hash what ledger/usage/draw.py would, and a test holds the two together. Whatever else has to be
-- looked at is left to it: a grant that got credits back on a later day, too. Each step is a statement of its own, with a plan that is
-- kept: one for all of it took three times as long to begin.

create function half_even(amount numeric) returns numeric language sql immutable parallel safe as $$
    select case when amount - trunc(amount) = 0.5 and mod(trunc(amount), 2) = 0 then trunc(amount) else round(amount) end
$$;
comment on function half_even is 'An amount of 0 or more rounded to a whole number, ties to even.';

-- Returns how many entries it made, or null where the draws are not plain, with nothing posted.
create function draw_plainly(
    of_customer text, in_entity text, in_currency text, of_product text, minor_units numeric,
    refs text[], days date[], quantities numeric[], prices numeric[], bodies text[], hashes bytea[],
    author text, draw_rule smallint, funding_rules smallint[]
) returns integer language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    first_day constant date := (select min(day) from unnest(days) day);
    last_day constant date := (select max(day) from unnest(days) day);
    moment constant timestamptz := now();
    of_id bigint;
    covering record;
    candidate record;
    covered boolean := false;
    rated_before numeric := 0;
    posted_before bigint := 0;
    credits bigint;
    revenue bigint;
    funded record;
    rated_after numeric;
    posted_after bigint;
    amounts bigint[];
    documents bigint[];
    entries bigint[];
begin
    perform pg_advisory_xact_lock_shared(71606);
    select customer_id into of_id from customer where ref = of_customer for no key update;
    if not found
        or not exists (select from entity where entity = in_entity and currency = in_currency)
        or exists (select from closed_books where entity = in_entity and closed_through >= first_day)
        or exists (select from wallet_alert where customer_id = of_id)
        or exists (select from document_key where type = 'usage' and ref = any(refs))
    then
        return null;
    end if;

    -- the one grant that usage of these days may draw on
    for candidate in
        select g.grant_id, 'grant:' || g.ref as subject, b.drawn_minor + b.broken_minor as earned,
               b.face_minor - b.drawn_face_minor - b.moved_face_minor as left_minor,
               g.kind = 'commitment' or g.free or b.expired_face_minor > 0 as odd,
               (g.products is null or of_product = any(g.products))
               and g.effective_on <= last_day and (g.expires_on is null or g.expires_on >= first_day) as covers,
               g.price_minor = g.face_minor and not g.in_memorandum and b.moved_face_minor = 0
               and b.drawn_minor = b.drawn_face_minor and coalesce(b.returned_on <= first_day, true)
               and g.effective_on <= first_day and (g.expires_on is null or g.expires_on >= last_day) as plain
        from credit_grant g
        join grant_balance b on b.customer_id = g.customer_id and b.grant_id = g.grant_id
        where g.customer_id = of_id and g.entity = in_entity and g.currency = in_currency
    loop
        if candidate.odd then
            return null;
        elsif candidate.covers and candidate.left_minor > 0 then
            if covered or not candidate.plain then
                return null;
            end if;
            covered := true;
            covering := candidate;
        end if;
    end loop;
    if not covered then
        return null;
    end if;

    -- what it comes to: rounded once, on the running total
    select m.rated, m.posted_minor into rated_before, posted_before from usage_meter m
    where m.customer_id = of_id and m.entity = in_entity and m.product = of_product and m.currency = in_currency;
    rated_before := coalesce(rated_before, 0);
    posted_before := coalesce(posted_before, 0);
    select array_agg(upto - before order by place), max(rated), max(upto) into amounts, rated_after, posted_after
    from (
        select place, rated, upto, lag(upto, 1, posted_before::numeric) over (order by place) as before
        from (
            select place, rated, greatest(posted_before, half_even(rated * minor_units)) as upto
            from (
                select place, rated_before + sum(quantity * price) over (order by place) as rated
                from unnest(quantities, prices) with ordinality u (quantity, price, place)
            ) exactly
        ) rounded
    ) each;
    if posted_after - posted_before > covering.left_minor then
        return null;
    end if;

    -- its accounts, which the first draw made
    select account_id into credits from account
    where customer_id = of_id and entity = in_entity and role = 'customer_credits' and currency = in_currency
      and subject = covering.subject and product = '';
    select account_id into revenue from account
    where customer_id = of_id and entity = in_entity and role = 'revenue' and currency = in_currency
      and subject = covering.subject and product = of_product;
    if credits is null or revenue is null then
        return null;
    end if;

    -- what was billed for it, by way of the documents that bill
    select max(p.effective_on) as last_day,
           sum(case when credited.subject is not null then p.amount else 0 end
               - case when debited.subject is not null then p.amount else 0 end) as amount
    into funded
    from (
        select invoice_id as document_id from invoice_line where customer_id = of_id and subject = covering.subject
        union select document_id from line_change where customer_id = of_id and subject = covering.subject
        union select document_id from grant_move where customer_id = of_id
        union select document_id from document where customer_id = of_id and type = 'manual_entry'
    ) billing
    join lateral (
        select entry_id from entry e where e.document_id = billing.document_id and e.customer_id + 0 = of_id offset 0
    ) e on true
    join lateral (select * from posting p where p.customer_id = of_id and p.entry_id = e.entry_id offset 0) p on true
    left join lateral (
        select subject from account where customer_id = of_id and account_id = p.credit_account and subject = covering.subject offset 0
    ) credited on true
    left join lateral (
        select subject from account where customer_id = of_id and account_id = p.debit_account and subject = covering.subject offset 0
    ) debited on true
    where p.rule = any(funding_rules) and (credited.subject is not null or debited.subject is not null);
    if funded.amount is null or funded.last_day > first_day
        or funded.amount - covering.earned < posted_after - posted_before
    then
        return null;
    end if;

    documents := array(select nextval('document_number') from unnest(refs));
    insert into document_key (type, ref, customer_id, document_id)
        select 'usage', ref, of_id, document_id from unnest(refs, documents) d (ref, document_id);
    insert into document (customer_id, document_id, type, ref, dated_on, body, hash, posted_at, posted_by, entry_count)
        select of_id, document_id, 'usage', ref, day, body, hash, moment, author, case when amount > 0 then 1 else 0 end
        from unnest(documents, refs, days, bodies, hashes, amounts) d (document_id, ref, day, body, hash, amount);
    if posted_after > posted_before then
        entries := array(select case when amount > 0 then nextval('entry_number') end from unnest(amounts) amount);
        insert into entry (customer_id, entry_id, document_id, posted_at, effective_on, occurred_on, posting_count, posted_by, hash)
            select of_id, entry_id, document_id, moment, day, day, 1, author,
                   sha256(int8send(of_id) || int8send(entry_id) || int8send(document_id) || timestamptz_send(moment)
                          || int8send(0) || date_send(day) || date_send(day) || int4send(1) || convert_to(author, 'UTF8')
                          || int2send(1::smallint) || int2send(draw_rule) || int8send(credits) || int8send(revenue)
                          || int8send(amount) || int8send(amount))
            from unnest(entries, documents, days, amounts) e (entry_id, document_id, day, amount) where entry_id is not null;
        insert into posting (customer_id, entry_id, debit_account, credit_account, amount, functional_amount, effective_on, line, rule)
            select of_id, entry_id, credits, revenue, amount, amount, day, 1, draw_rule
            from unnest(entries, days, amounts) e (entry_id, day, amount) where entry_id is not null;
        update grant_balance
        set drawn_face_minor = drawn_face_minor + posted_after - posted_before, drawn_minor = drawn_minor + posted_after - posted_before
        where customer_id = of_id and grant_id = covering.grant_id;
    end if;
    insert into usage_meter (customer_id, entity, product, currency, rated, posted_minor)
    values (of_id, in_entity, of_product, in_currency, rated_after, posted_after)
    on conflict (customer_id, entity, product, currency) do update
    set rated = excluded.rated, posted_minor = excluded.posted_minor;
    return cardinality(array_remove(entries, null));
end $$;
