-- What another system worked out: taxes as it gives them, amounts as it rounds them; and credits of no line of an invoice.

alter table entity add column amount_tolerance integer not null default 0 check (amount_tolerance >= 0);
comment on column entity.amount_tolerance is
    'By how much a line''s amount may differ from its quantity x unit price, in the smallest units of its currency.';

alter table invoice_line add column computed_minor bigint;
comment on column invoice_line.computed_minor is
    'What its quantity x unit price less its discount comes to here, where its amount is another system''s and differs.';

alter table line_tax add column computed_minor bigint;
comment on column line_tax.computed_minor is 'What the tax comes to here, where the document gives it.';

create table credit_line (
    customer_id bigint not null,
    document_id bigint not null,
    line text not null,
    entity text not null references entity,
    currency text not null,
    invoice text,
    product text not null references product,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (customer_id, document_id, line)
);
comment on table credit_line is
    'A line of its own of a credit note, net of tax: a credit of no line of an invoice. Its taxes are line_tax with the note as the invoice.';
create trigger never_changed before update or delete on credit_line for each row execute function refuse_change();
create trigger never_emptied before truncate on credit_line for each statement execute function refuse_change();
