-- Usage that a later document replaces: the meter was wrong.

create table superseded_usage (
    customer_id bigint not null,
    document_id bigint not null,
    superseded_by bigint not null,
    primary key (customer_id, document_id)
);
comment on table superseded_usage is 'A usage document takes part in the meter until another one replaces it, once.';
create trigger never_changed before update or delete on superseded_usage for each row execute function refuse_change();
create trigger never_emptied before truncate on superseded_usage for each statement execute function refuse_change();
