-- What documents say of persons, and how parties are named and reached: outside what is hashed, so that it can be erased.

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
create function refuse_other_than_erasing() returns trigger language plpgsql as $$
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
