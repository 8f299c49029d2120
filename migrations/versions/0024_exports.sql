-- Exports that are kept: what went into which accounting system, so that nothing goes twice and what comes late goes alone.

create table export_run (
    export_id bigint generated always as identity primary key,
    target text not null,
    entity text not null references entity,
    detail text not null check (detail in ('entry', 'document', 'day', 'month')),
    mapping text not null,
    through_entry bigint not null check (through_entry >= 0),
    entries integer not null check (entries > 0),
    totals text not null,
    file text not null,
    at timestamptz not null default now(),
    by text not null
);
comment on table export_run is 'An export for an accounting system that was kept: the entries up to a number, of the months of its parts.';
comment on column export_run.mapping is 'SHA-256 of the mapping file, or nothing where there was none.';
comment on column export_run.totals is 'Debit less credit by account of the target, as read back from the file, as JSON.';

create table export_part (
    target text not null,
    entity text not null references entity,
    month date not null check (extract(day from month) = 1),
    after_entry bigint not null check (after_entry >= 0),
    export_id bigint not null references export_run,
    -- the entries of a month from a number on go out once, whoever exports at the same time
    primary key (target, entity, month, after_entry)
);
comment on table export_part is 'Which months an export covers, each from the entry after one on.';
create index export_part_export on export_part (export_id);

do $$
declare
    name text;
begin
    foreach name in array array['export_run', 'export_part'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;
