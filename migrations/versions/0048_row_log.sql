-- Every row that is written to a table on which figures stand leaves its hash here, in the transaction that writes it. Seals cover
-- the log as they cover documents, and verifying holds each table to it: a row that was changed, added or taken away by anybody who
-- switched the triggers off is named.

create sequence row_log_number;
create table row_log (
    row_log_id bigint primary key,
    table_name text not null,
    key text not null,
    hash bytea not null check (length(hash) = 32),
    change smallint not null check (change in (1, -1))
);
comment on table row_log is 'SHA-256 of each row that was written (change 1) and of each that was overwritten or taken away (change -1): of the table''s name and the row as text. `key` is its primary key.';
create index row_log_range on row_log using brin (row_log_id) with (pages_per_range = 16, autosummarize = on);
create trigger never_changed before update or delete on row_log for each row execute function refuse_change();
create trigger never_emptied before truncate on row_log for each statement execute function refuse_change();

create or replace function summarize_ranges() returns void language sql security definer set search_path = pg_catalog, public as $$
    select brin_summarize_new_values('public.entry_range'), brin_summarize_new_values('public.posting_range'),
           brin_summarize_new_values('public.document_range'), brin_summarize_new_values('public.account_range'),
           brin_summarize_new_values('public.row_log_range');
$$;

-- One function for each table, as its columns are: what a statement wrote is logged by one more, however many rows it has.
-- The lock says that a number of the log was taken and is not committed yet; nobody ever takes it alone (ledger/locks.py).
create function keep_row_log(name text) returns void language plpgsql set search_path = public as $make$
declare
    columns text;
    logged text;
begin
    select string_agg(format('r.%I', a.attname), ', ' order by array_position(i.indkey::int2[], a.attnum)) into strict columns
    from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
    where i.indrelid = name::regclass and i.indisprimary;
    logged := format('insert into row_log (row_log_id, table_name, key, hash, change) '
                     'select nextval(''row_log_number''), %1$L, concat_ws(''/'', %2$s), '
                     'sha256(convert_to(%1$L || r::text, ''UTF8''))', name, columns);
    execute format($body$
create function public.%1$I() returns trigger language plpgsql security definer
    set search_path = pg_catalog, public set timezone = 'UTC' set datestyle = 'ISO, YMD' set bytea_output = 'hex' as $$
begin
    perform pg_advisory_xact_lock_shared(71612);
    if tg_op <> 'INSERT' then
        %2$s, -1 from removed r;
    end if;
    if tg_op <> 'DELETE' then
        %2$s, 1 from added r;
    end if;
    return null;
end $$
$body$, 'log_' || name, logged);
    execute format('create trigger logged_insert after insert on %I referencing new table as added '
                   'for each statement execute function %I()', name, 'log_' || name);
    execute format('create trigger logged_update after update on %I referencing old table as removed new table as added '
                   'for each statement execute function %I()', name, 'log_' || name);
    execute format('create trigger logged_delete after delete on %I referencing old table as removed '
                   'for each statement execute function %I()', name, 'log_' || name);
    execute format('%s, 1 from %I r', logged, name);
end $make$;
comment on function keep_row_log is 'Log every row of a table, those that it has and those that will be written: for migrations that make one.';
revoke execute on function keep_row_log from public;

set local timezone = 'UTC';
set local datestyle = 'ISO, YMD';
set local bytea_output = 'hex';
do $$
declare
    name text;
begin
    foreach name in array array[
        'api_key', 'approval_by_rule', 'breakage_estimate', 'closed_books', 'contract', 'contract_cost', 'contract_modification',
        'cost_impairment', 'coupon', 'coupon_use', 'credit_grant', 'credit_line', 'customer', 'document_reference', 'draw_order',
        'entity', 'export_answer', 'export_attempt', 'export_item', 'export_job', 'export_login', 'export_part', 'export_run',
        'external_key', 'financed_payment', 'financing', 'fx_rate', 'gl_account', 'grant_move', 'invoice', 'invoice_line',
        'invoice_line_part', 'line_change', 'line_tax', 'milestone', 'money_account', 'money_use', 'obligation', 'obligation_terms',
        'period_event', 'personal_fields', 'product', 'progress', 'stand_alone_price', 'superseded_usage', 'tax_code',
        'usage_returned', 'variable_estimate', 'verification', 'wallet_alert', 'wallet_alert_delivery', 'wallet_alert_event'
    ] loop
        perform keep_row_log(name);
    end loop;
end $$;

-- A grant's balance is recomputed from what drew on it, but for what documents moved of it and when usage last fell: these are logged.
create function log_grant_balance() returns trigger language plpgsql security definer
    set search_path = pg_catalog, public as $$
begin
    perform pg_advisory_xact_lock_shared(71612);
    if tg_op = 'UPDATE' and (old.moved_minor <> 0 or old.returned_on is not null) then
        insert into row_log (row_log_id, table_name, key, hash, change)
        values (nextval('row_log_number'), 'grant_balance', concat_ws('/', old.customer_id, old.grant_id), grant_balance_hash(old), -1);
    end if;
    if new.moved_minor <> 0 or new.returned_on is not null then
        insert into row_log (row_log_id, table_name, key, hash, change)
        values (nextval('row_log_number'), 'grant_balance', concat_ws('/', new.customer_id, new.grant_id), grant_balance_hash(new), 1);
    end if;
    return null;
end $$;
create function grant_balance_hash(balance grant_balance) returns bytea language sql stable set datestyle = 'ISO, YMD' as $$
    select sha256(convert_to('grant_balance' || row(balance.customer_id, balance.grant_id, balance.moved_minor, balance.returned_on)::text, 'UTF8'))
$$;
create trigger logged_insert after insert on grant_balance for each row
    when (new.moved_minor <> 0 or new.returned_on is not null) execute function log_grant_balance();
create trigger logged_update after update on grant_balance for each row
    when ((old.moved_minor, old.returned_on) is distinct from (new.moved_minor, new.returned_on)) execute function log_grant_balance();
insert into row_log (row_log_id, table_name, key, hash, change)
select nextval('row_log_number'), 'grant_balance', concat_ws('/', b.customer_id, b.grant_id), grant_balance_hash(b), 1
from grant_balance b where b.moved_minor <> 0 or b.returned_on is not null;

alter table seal
    add last_row bigint,
    add rows bigint check (rows >= 0),
    add rows_root bytea check (length(rows_root) = 32),
    add constraint seal_covers_rows check (num_nonnulls(last_row, rows, rows_root) in (0, 3));
comment on column seal.last_row is 'The last number of the log of rows it covers, from the one after that of the block before; none of a block of an older release.';
alter table seal_leaves add rows bytea;
alter table seal_leaves alter rows set storage external;
