-- Seals of what entries stand on: the documents that posted them, and the accounts they move. And what verifications found.

alter table seal
    add last_document bigint,
    add documents integer check (documents >= 0),
    add documents_root bytea check (length(documents_root) = 32),
    add last_account bigint,
    add accounts integer check (accounts >= 0),
    add accounts_root bytea check (length(accounts_root) = 32),
    add constraint seal_covers check (num_nonnulls(last_document, documents, documents_root, last_account, accounts, accounts_root) in (0, 6)),
    drop constraint seal_check,
    drop constraint seal_entries_check,
    add constraint seal_check check (last_entry >= first_entry - 1),
    add constraint seal_entries_check check (entries >= 0);
comment on column seal.last_document is 'The last document number it covers, from the one after that of the block before; none of a block of an older release.';

create index document_range on document using brin (document_id) with (pages_per_range = 16, autosummarize = on);
create index account_range on account using brin (account_id) with (pages_per_range = 32, autosummarize = on);

create or replace function summarize_ranges() returns void language sql security definer set search_path = pg_catalog, public as $$
    select brin_summarize_new_values('public.entry_range'), brin_summarize_new_values('public.posting_range'),
           brin_summarize_new_values('public.document_range'), brin_summarize_new_values('public.account_range');
$$;

create table verification (
    verification_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    by text not null,
    checks integer not null check (checks > 0),
    differing integer not null check (differing between 0 and checks),
    last_entry bigint not null,
    head bytea check (length(head) = 32)
);
comment on table verification is 'That the books were verified, when, by whom, up to which entry, under which seal, and how many checks differed.';
create trigger never_changed before update or delete on verification for each row execute function refuse_change();
create trigger never_emptied before truncate on verification for each statement execute function refuse_change();
