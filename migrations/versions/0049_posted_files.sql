-- Files that are posted in runs, each run a transaction of its own: how far each is, so that it is taken up again where it stopped.

create table posted_file (
    hash bytea primary key check (length(hash) = 32),
    lines bigint not null check (lines >= 0),
    bytes bigint not null check (bytes >= 0),
    finished boolean not null,
    posted_by text not null,
    begun_at timestamptz not null default clock_timestamp(),
    posted_at timestamptz not null default clock_timestamp()
);
comment on table posted_file is 'Files posted with --in-runs, by the SHA-256 of what is in them: of how many lines and bytes there is nothing left to post.';
create trigger never_emptied before truncate on posted_file for each statement execute function refuse_change();
select keep_row_log('posted_file');
