-- The leaves of each block, so that verifying says which rows are not those that were sealed, and not only that some are not.

create table seal_leaves (
    seal_id bigint primary key references seal,
    entries bytea not null,
    documents bytea not null,
    accounts bytea not null
);
comment on table seal_leaves is 'SHA-256 of each row a block covers, one after the other; they lead to the roots in `seal`. None of what an older release sealed.';
alter table seal_leaves alter entries set storage external, alter documents set storage external, alter accounts set storage external;
create trigger never_changed before update or delete on seal_leaves for each row execute function refuse_change();
create trigger never_emptied before truncate on seal_leaves for each statement execute function refuse_change();
