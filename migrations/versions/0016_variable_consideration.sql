-- Variable consideration, estimated and estimated again (606-10-32-5 to 32-14).

create table variable_estimate (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    contract text not null,
    component text not null,
    effective_on date not null,
    method text not null check (method in ('expected_value', 'most_likely', 'amount')),
    expected_minor bigint not null,
    included_minor bigint not null,
    before_minor bigint not null,
    obligations text[],
    reason text,
    primary key (customer_id, document_id),
    check (abs(included_minor) <= abs(expected_minor) and sign(included_minor) * sign(expected_minor) >= 0)
);
comment on table variable_estimate is
    'What a component of a contract''s price is expected to be, and how much of that the constraint lets in, from a day on.';
comment on column variable_estimate.before_minor is 'What the estimate before it had let in.';
create index variable_estimate_contract on variable_estimate (customer_id, contract, component);
create trigger never_changed before update or delete on variable_estimate for each row execute function refuse_change();
create trigger never_emptied before truncate on variable_estimate for each statement execute function refuse_change();

alter table obligation_version drop constraint obligation_version_treatment_check;
alter table obligation_version add constraint obligation_version_treatment_check
    check (treatment in ('prospective', 'catch_up', 'cancelled', 'price'));
