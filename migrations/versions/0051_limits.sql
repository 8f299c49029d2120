-- How often each key, link or name was used in a window of time, over all processes that serve: no figure stands on it, so nothing of it
-- is written ahead (unlogged: gone after a crash, when counting begins anew).

create unlogged table request_count (
    name text primary key,
    hits bigint not null check (hits > 0),
    ends_at timestamptz not null
);
comment on table request_count is 'What limits count: of a name, the requests of the window that ends at a moment. A row whose window has ended is counted from anew, or deleted.';
create index request_count_ended on request_count (ends_at);
