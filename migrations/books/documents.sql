-- Documents: what came in, to the byte, what it is called here and elsewhere, and what it says of persons.

create sequence document_number;

create table document_key (
    type text not null,
    ref text not null,
    customer_id bigint not null,
    document_id bigint not null,
    primary key (type, ref)
);
comment on table document_key is 'Which document an id stands for. The only index of the books that is not by customer.';

-- All that ever came in, or was posted by a command.
create table document (
    customer_id bigint not null,
    document_id bigint not null,
    type text not null,
    ref text not null,
    dated_on date,
    body text not null,
    hash bytea not null check (octet_length(hash) = 32),
    posted_at timestamptz not null,
    posted_by text not null,
    entry_count integer check (entry_count >= 0),
    primary key (customer_id, document_id)
);
comment on column document.body is 'The document as it was received, to the byte.';
comment on column document.hash is 'SHA-256 over its canonical form: the same content whatever the order of its fields.';
-- As an entry says how many postings it has: an entry that is missing, or was added, shows.
comment on column document.entry_count is 'How many entries it posted; none of a document that an older release took in.';
-- Documents of a customer by their type: which refunds failed, which notes were taken back. Usage, most of all that comes, is never
-- asked for so.
create index document_kind on document (customer_id, type) where type <> 'usage';
-- A customer's wallets ask for these; usage is most of a customer's documents.
create index document_manual on document (customer_id) where type = 'manual_entry';
create index document_customer_change on document (customer_id, dated_on) where type = 'customer_change';
-- Documents by their numbers, a block or the unsealed at a time, and the audit log by a span of time: numbers and moments ascend as
-- rows do, so ranges of pages are enough.
create index document_range on document using brin (document_id) with (pages_per_range = 16, autosummarize = on);
create index document_posted on document using brin (posted_at);

-- Spread by the external id, as document_key is by ours: it is asked for before anybody knows whose document it is.
create table external_key (
    system text not null,
    external_id text not null,
    type text not null,
    status text not null,
    customer_id bigint not null,
    document_id bigint not null,
    primary key (system, external_id, type, status)
);
comment on table external_key is
    'Which document an id of another system stands for. With document_key, the only indexes of the books that are not by customer.';
comment on column external_key.status is 'What the document says of its status, as a dispute does; else empty.';
create index external_key_id on external_key (external_id);

create table document_reference (
    customer_id bigint not null,
    document_id bigint not null,
    reference text not null,
    primary key (customer_id, document_id)
);
comment on table document_reference is 'The reference a document bears, such as the number of a cheque or an order. Several may bear one.';
create index document_reference_text on document_reference (reference);

create table approval_by_rule (
    customer_id bigint not null,
    document_id bigint not null,
    rule text not null,
    primary key (customer_id, document_id)
);
comment on table approval_by_rule is
    'Documents that no person approved, with the approval_rule that stood for one when they were posted.';
create index approval_by_rule_rule on approval_by_rule (rule);

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
-- how far one is may move on: posting is taken up again where it stopped
create trigger never_emptied before truncate on posted_file for each statement execute function refuse_change();

-- What documents say of persons --------------------------------------------------------------------------------

-- How parties are named and reached, too: outside what is hashed, so that it can be erased.
create table personal_fields (
    customer_id bigint not null,
    document_id bigint not null,
    type text not null,
    ref text not null,
    entity text,
    dated_on date,
    commitment bytea not null check (length(commitment) = 32),
    salt bytea check (length(salt) = 32),
    fields text,
    erased_at timestamptz,
    erased_by text,
    reason text check (reason <> ''),
    primary key (customer_id, document_id),
    check ((salt is null) = (fields is null)),
    check ((fields is null) = (erased_at is not null)),
    check ((erased_at is null) = (erased_by is null) and (erased_at is null) = (reason is null))
);
comment on table personal_fields is
    'Personal fields of documents. In the document stands their commitment: SHA-256 of the salt and their canonical JSON.';
comment on column personal_fields.salt is '32 random bytes; without them the commitment says nothing of what it was made of.';
create index personal_fields_ref on personal_fields (type, ref);
create index personal_fields_details on personal_fields (customer_id, dated_on) where type = 'details';

-- All that can happen to personal fields is that they are erased, once.
create function refuse_other_than_erasing() returns trigger language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
    if old.erased_at is not null or new.erased_at is null
       or (new.customer_id, new.document_id, new.type, new.ref, new.commitment)
          is distinct from (old.customer_id, old.document_id, old.type, old.ref, old.commitment)
       or (new.entity, new.dated_on) is distinct from (old.entity, old.dated_on) then
        raise exception 'personal fields can only be erased' using errcode = 'TM001';
    end if;
    return new;
end $$;
create trigger only_erased before update on personal_fields for each row execute function refuse_other_than_erasing();
create trigger never_deleted before delete on personal_fields for each row execute function refuse_change();
create trigger never_emptied before truncate on personal_fields for each statement execute function refuse_change();

-- What a customer is on a day ----------------------------------------------------------------------------------

-- A customer on a day is what its document says, and over it what `customer_change` documents say from their day on: all of them, or
-- those before one. Of one day, what arrived later holds; null takes away.
create function customer_on(of customer, on_day date, before bigint default null) returns setof customer
language sql stable rows 1 as $$
    select h.* from (
        select jsonb_object_agg(f.key, f.value order by d.dated_on, d.document_id) as said
        from document d cross join lateral jsonb_each(d.body::jsonb) f
        where d.customer_id = of.customer_id and d.type = 'customer_change' and d.dated_on <= on_day
          and (before is null or d.document_id < before)
    ) changes cross join lateral jsonb_populate_record(of, coalesce(changes.said, '{}')) h
$$;

-- All customers, likewise.
create function customers_on(on_day date, before bigint default null) returns setof customer language sql stable as $$
    select c.* from customer c where not exists (
        select from document d where d.customer_id = c.customer_id and d.type = 'customer_change' and d.dated_on <= on_day)
    union all
    select h.* from (select distinct customer_id from document where type = 'customer_change' and dated_on <= on_day) changed
    join customer c using (customer_id) cross join lateral customer_on(c, on_day, before) h
$$;

-- What is kept -------------------------------------------------------------------------------------------------

select pg_temp.never_changed('document_key', 'document', 'external_key', 'document_reference', 'approval_by_rule');
select keep_row_log(name)
from unnest(array['external_key', 'document_reference', 'approval_by_rule', 'posted_file', 'personal_fields']) name;

-- Documents are logged when they are written, so that nobody changes who posted one, when, or its day before it is sealed. Of usage
-- that posted, most of what there is, the log has nothing: who posted it and when say its entries, which day it is of says the document.
create function log_document() returns trigger language plpgsql security definer
    set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' set bytea_output = 'hex' as $$
begin
    perform pg_advisory_xact_lock_shared(71612);
    insert into row_log (row_log_id, table_name, key, hash, change)
    values (nextval('row_log_number'), 'document', concat_ws('/', new.customer_id, new.document_id),
            sha256(convert_to('document' || new::text, 'UTF8')), 1);
    return null;
end $$;
create trigger logged_insert after insert on document for each row
    when (new.type <> 'usage' or coalesce(new.entry_count, 0) = 0) execute function log_document();
