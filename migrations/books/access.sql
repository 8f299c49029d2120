-- Access: who may use the API and the pages, who is signed in, what a request that is repeated was answered, and how often somebody asks.

create table api_key (
    key_id bigint generated always as identity primary key,
    name text not null check (name <> ''),
    role text not null check (role in ('viewer', 'operator', 'controller', 'admin')),
    entities text[],
    hash bytea not null check (length(hash) = 32),
    created_at timestamptz not null default now(),
    created_by text not null,
    expires_on date not null,
    revoked_at timestamptz,
    revoked_by text,
    check ((revoked_at is null) = (revoked_by is null))
);
comment on table api_key is 'A key of a person or a system. The key itself is nowhere: only the SHA-256 of its 256 random bits.';
comment on column api_key.entities is 'The entities whose books it opens; null for all.';

-- A key is what it was made as; all that can happen to it is that it is revoked, once.
create function refuse_other_than_revoking() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
    if old.revoked_at is not null or new.revoked_at is null
       or (new.key_id, new.name, new.role, new.hash, new.created_at, new.created_by, new.expires_on)
          is distinct from (old.key_id, old.name, old.role, old.hash, old.created_at, old.created_by, old.expires_on)
       or new.entities is distinct from old.entities then
        raise exception 'a key can only be revoked' using errcode = 'TM001';
    end if;
    return new;
end $$;
create trigger only_revoked before update on api_key for each row execute function refuse_other_than_revoking();
create trigger never_deleted before delete on api_key for each row execute function refuse_change();
create trigger never_emptied before truncate on api_key for each statement execute function refuse_change();
select keep_row_log('api_key');

-- A session ends when its row does, whoever kept its cookie.
create table page_session (
    hash bytea primary key check (length(hash) = 32),
    key_id bigint not null references api_key,
    ends_at timestamptz not null
);
comment on table page_session is 'A session that a key was exchanged for. Its row goes when it is signed out of, or with the first sign-in after its end.';
comment on column page_session.hash is 'SHA-256 of its 256 random bits, which the cookie holds.';
create index page_session_ends on page_session (ends_at);

create table api_request (
    key_id bigint not null,
    idempotency_key text not null,
    content bytea not null,
    begun_at timestamptz not null default now(),
    status smallint,
    answer text,
    primary key (key_id, idempotency_key)
);
comment on table api_request is 'Requests with an Idempotency-Key, and what they were answered: kept for a day, no part of the books.';
comment on column api_request.content is 'SHA-256 of the method, the path and the body.';
create index api_request_begun on api_request (begun_at);

-- How often each key, link or name was used in a window of time, over all processes that serve: no figure stands on it, so nothing of it
-- is written ahead (unlogged: gone after a crash, when counting begins anew).
create unlogged table request_count (
    name text primary key,
    hits bigint not null check (hits > 0),
    ends_at timestamptz not null
);
comment on table request_count is 'What limits count: of a name, the requests of the window that ends at a moment. A row whose window has ended is counted from anew, or deleted.';
create index request_count_ended on request_count (ends_at);
