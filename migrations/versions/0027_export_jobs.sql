-- Exports that were asked for over the API or the pages, and are written in the background.

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
