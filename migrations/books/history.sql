-- History: what is written stays as it was written, and every row of what figures stand on leaves its hash in a log.

create function refuse_change() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
    raise exception '% of % refused: posted history is never changed; post a correcting document instead',
        lower(tg_op), tg_table_name using errcode = 'TM001';
end $$;

-- Each file names at its end what is never changed by anybody. Only for here: gone with the session that makes the books.
create function pg_temp.never_changed(variadic names text[]) returns void language plpgsql as $$
declare
    name text;
begin
    foreach name in array names loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;

-- The log of rows ----------------------------------------------------------------------------------------------

-- A row is logged in the transaction that writes it. Seals cover the log as they cover documents, and verifying holds each table to
-- it: a row that was changed, added or taken away by anybody who switched the triggers off is named. Which tables are held otherwise,
-- and how, says ledger/proof/row_log.py.
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
select pg_temp.never_changed('row_log');

-- One function for each table, as its columns are: what a statement wrote is logged by one more, however many rows it has.
-- The lock says that a number of the log was taken and is not committed yet; nobody ever takes it alone (ledger/database/locks.py).
-- A search path that does not name pg_temp has it first: a session's temporary table would stand for one of the books, in functions
-- that run as their owner, too. So every function that guards names it last.
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
    set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' set bytea_output = 'hex' as $$
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
