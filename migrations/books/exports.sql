-- Exports: what went into which accounting system, so that nothing goes twice and what comes late goes alone; and what was sent there.

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

create table export_job (
    job_id bigint generated always as identity primary key,
    target text not null,
    entity text not null references entity,
    asked text not null,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
    done integer not null default 0 check (done >= 0),
    said text not null default '',
    file text,
    content bytea,
    at timestamptz not null default now(),
    ended_at timestamptz,
    by text not null,
    check ((ended_at is null) = (state in ('waiting', 'running')))
);
comment on table export_job is 'An export under way: kept up to date, no part of the books. Its file is kept for a day.';
comment on column export_job.asked is 'The options and the mapping file, as JSON.';

-- What is sent to the systems themselves, with the id it has there ---------------------------------------------

create table export_login (
    target text not null,
    entity text not null references entity,
    company text not null,
    api text not null,
    accounts text not null,
    client text not null,
    sealed text not null,
    at timestamptz not null default now(),
    by text not null,
    primary key (target, entity)
);
comment on table export_login is 'How to reach the company of an entity in an accounting system: kept up to date, no part of the books.';
comment on column export_login.company is 'QuickBooks'' realm, Zoho''s organization.';
comment on column export_login.sealed is 'The client''s secret and its tokens, encrypted with the key in TICKMARK_SECRET_KEY.';

create table export_item (
    export_id bigint not null references export_run,
    place integer not null check (place > 0),
    kind text not null,
    number text not null,
    body text not null,
    primary key (export_id, place)
);
comment on table export_item is 'What an export has to be sent: the object as in its file, by the number it is known by there.';
create index export_item_number on export_item (kind, number);

create table export_attempt (
    export_id bigint not null,
    place integer not null,
    attempt integer not null check (attempt > 0),
    company text not null,
    request text not null,
    at timestamptz not null default clock_timestamp(),
    by text not null,
    primary key (export_id, place, attempt),
    foreign key (export_id, place) references export_item
);
comment on table export_attempt is 'Something is about to be sent: written before, so that what was cut off is known.';
comment on column export_attempt.request is 'The id of the request, by which a repetition is known there.';

create table export_answer (
    export_id bigint not null,
    place integer not null,
    attempt integer not null,
    outcome text not null check (outcome in ('made', 'found', 'left', 'refused')),
    their_id text not null default '',
    said text not null default '',
    at timestamptz not null default clock_timestamp(),
    primary key (export_id, place, attempt),
    foreign key (export_id, place, attempt) references export_attempt,
    check ((their_id <> '') = (outcome in ('made', 'found')))
);
comment on table export_answer is 'What became of it: made there, found there from before, left out as it has nothing to refer to, or refused.';

select pg_temp.never_changed('export_run', 'export_part', 'export_item', 'export_attempt', 'export_answer');
select keep_row_log(name)
from unnest(array['export_run', 'export_part', 'export_job', 'export_login', 'export_item', 'export_attempt', 'export_answer']) name;
