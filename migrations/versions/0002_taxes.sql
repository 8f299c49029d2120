-- Taxes: codes, who is taxed how, and the tax of every line.

alter table customer add column tax_status text not null default 'taxable'
    check (tax_status in ('taxable', 'exempt', 'reverse_charge'));
alter table entity add column tax_rounding text not null default 'line' check (tax_rounding in ('line', 'invoice'));

create table tax_code (
    tax_code text primary key,
    name text not null,
    rate numeric not null check (rate >= 0),
    fixed numeric not null check (fixed >= 0),
    inclusive boolean not null,
    compound boolean not null
);
comment on column tax_code.fixed is 'An amount a line, in the line''s currency, beside the rate.';
comment on column tax_code.compound is 'Charged on the base and the taxes before it.';

create table line_tax (
    customer_id bigint not null,
    document_id bigint not null,
    line text not null,
    position smallint not null,
    invoice_id bigint not null,
    tax_code text not null references tax_code,
    treatment text not null check (treatment in ('taxable', 'exempt', 'reverse_charge')),
    included boolean not null,
    base_minor bigint not null,
    tax_minor bigint not null,
    primary key (customer_id, document_id, invoice_id, line, position)
);
comment on table line_tax is
    'What a document charged of a tax on a line of an invoice; what a credit note takes back stands below zero.';
create index line_tax_invoice on line_tax (customer_id, invoice_id);

do $$
declare
    name text;
begin
    foreach name in array array['line_tax', 'tax_code'] loop
        execute format('create trigger never_changed before update or delete on %I '
                       'for each row execute function refuse_change()', name);
        execute format('create trigger never_emptied before truncate on %I '
                       'for each statement execute function refuse_change()', name);
    end loop;
end $$;
