-- Exports sent to the systems they are for: what was sent where, with the id it has there, so that nothing is sent twice.

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

do $$
declare
    name text;
begin
    foreach name in array array['export_item', 'export_attempt', 'export_answer'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;
