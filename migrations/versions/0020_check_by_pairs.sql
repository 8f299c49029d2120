-- The check of what arrives: each pair of accounts once, and by keys where little arrives.
--
-- A batch is small beside the tables it is checked against, and the planner, which thinks of all of a table at once, read all
-- accounts for each batch: half of the time of posting at 150,000 accounts, and more with each customer. So few rows are checked
-- by keys alone, with plans that are kept; many are planned for as many as they are. Both run the same two queries.
do $outer$
declare
    accounts constant text := $query$
        select n.entry_id, c.account_id, b.entity, b.closed_through
        from (select customer_id, debit_account, credit_account, min(effective_on) as earliest, min(entry_id) as entry_id
              from arrived group by customer_id, debit_account, credit_account
              order by customer_id, debit_account, credit_account) n
        left join account d on d.customer_id = n.customer_id and d.account_id = n.debit_account
        left join account c on c.customer_id = n.customer_id and c.account_id = n.credit_account
            and c.entity = d.entity and c.currency = d.currency
        left join closed_books b on b.entity = d.entity and b.closed_through >= n.earliest
        where c.account_id is null or b.entity is not null
        limit 1$query$;
    entries constant text := $query$
        select g.entry_id, null::bigint as account_id, null::text as entity, null::date as closed_through
        from (select customer_id, entry_id, count(*) as postings, max(line) as last, min(line) as first,
                     min(effective_on) as earliest, max(effective_on) as latest
              from arrived group by customer_id, entry_id) g
        left join entry e using (customer_id, entry_id)
        where e.entry_id is null or e.posting_count <> g.postings or g.first <> 1 or g.last <> g.postings
           or e.effective_on <> g.earliest or e.effective_on <> g.latest
        limit 1$query$;
begin
    execute format($function$
create or replace function check_postings() returns trigger language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set work_mem = '64MB' as $$
declare
    wrong record;
    many constant boolean := (select count(*) from (select from arrived limit 20001) n) > 20000;
begin
    -- Whoever closes a month waits for posters and posters for whoever closes (ledger/locks.py names the number).
    perform pg_advisory_xact_lock_shared(71606);

    if many then
        set local enable_hashjoin = on;
        set local enable_mergejoin = on;
        execute %1$L into wrong;
    else
        %1$s into wrong;
    end if;
    if wrong.entry_id is not null and wrong.account_id is null then
        raise exception 'a posting of entry %% refused: its two accounts must exist and be of one customer, '
            'entity and currency', wrong.entry_id using errcode = 'TM002';
    elsif wrong.entry_id is not null then
        raise exception 'entry %% refused: the books of %% are closed through %%', wrong.entry_id, wrong.entity,
            wrong.closed_through using errcode = 'TM004';
    end if;

    if many then
        execute %2$L into wrong;
    else
        %2$s into wrong;
    end if;
    if wrong.entry_id is not null then
        raise exception 'postings of entry %% refused: all postings of an entry arrive together, numbered from 1, '
            'on its date, and nothing is added later', wrong.entry_id using errcode = 'TM003';
    end if;
    return null;
end $$$function$, accounts, entries);
end $outer$;
