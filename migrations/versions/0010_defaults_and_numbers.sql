-- Default taxes, invoice numbers without gaps, and alerts on wallets.

alter table customer add column tax_codes text[];
comment on column customer.tax_codes is 'Charged on lines that name none; null: those of its country.';
alter table tax_code add column countries text[] not null default '{}';
comment on column tax_code.countries is 'Charged to customers of these countries on lines that name no code.';

alter table entity add column invoice_prefix text;
comment on column entity.invoice_prefix is 'Before the numbers of its invoices, where it numbers them.';
create table invoice_counter (
    entity text primary key,
    last_number bigint not null
);
comment on table invoice_counter is
    'The last invoice number of an entity: taken with the invoice, in its transaction, so that none is left out.';
alter table invoice add column number bigint check (number > 0);

create table wallet_alert (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    threshold_minor bigint not null check (threshold_minor >= 0),
    primary key (customer_id, document_id)
);
create table wallet_alert_event (
    customer_id bigint not null,
    document_id bigint not null,
    event_id bigint generated always as identity,
    crossed text not null check (crossed in ('below', 'above')),
    left_minor bigint not null,
    at timestamptz not null,
    primary key (customer_id, document_id, event_id)
);
comment on table wallet_alert_event is 'Each time what is left of a wallet crosses an alert''s threshold, once.';

do $$
declare
    name text;
begin
    foreach name in array array['wallet_alert', 'wallet_alert_event'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;
