-- Who is signed in to the pages: a session ends when its row does, whoever kept its cookie.

create table page_session (
    hash bytea primary key check (length(hash) = 32),
    key_id bigint not null references api_key,
    ends_at timestamptz not null
);
comment on table page_session is 'A session that a key was exchanged for. Its row goes when it is signed out of, or with the first sign-in after its end.';
comment on column page_session.hash is 'SHA-256 of its 256 random bits, which the cookie holds.';
create index page_session_ends on page_session (ends_at);
