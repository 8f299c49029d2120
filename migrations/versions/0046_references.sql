-- What other systems call documents: the id that one has in each, no two of a type the same one, and its reference.

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

do $$
declare
    name text;
begin
    foreach name in array array['external_key', 'document_reference'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;
