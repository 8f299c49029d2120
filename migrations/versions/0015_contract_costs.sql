-- Costs to obtain a contract (ASC 340-40): capitalised, amortised over the benefit period, impaired.

create table contract_cost (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    contract text not null,
    entity text not null references entity,
    currency text not null,
    amount_minor bigint not null check (amount_minor > 0),
    capitalised_on date not null,
    pattern text not null check (pattern in ('daily', 'monthly', 'monthly_prorated')),
    starts_on date not null,
    ends_on date not null check (ends_on >= starts_on),
    primary key (customer_id, document_id)
);
comment on table contract_cost is 'A cost capitalised with a contract, and the period that benefits from it.';
create index contract_cost_contract on contract_cost (customer_id, contract);

create table cost_impairment (
    customer_id bigint not null,
    document_id bigint not null,
    cost_id bigint not null,
    impaired_on date not null,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (customer_id, document_id)
);
comment on table cost_impairment is 'What of a cost will not be recovered, from a day on; the rest is amortised over what remains.';

do $$
declare
    name text;
begin
    foreach name in array array['contract_cost', 'cost_impairment'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;
