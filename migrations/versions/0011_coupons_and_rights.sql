-- Coupons, and receivables recorded once they are unconditional.

create table coupon (
    coupon text primary key,
    name text not null,
    percent numeric check (percent > 0 and percent <= 100),
    amount_minor bigint check (amount_minor > 0),
    currency text,
    duration text not null check (duration in ('once', 'repeating', 'forever')),
    months integer check (months > 0),
    products text[],
    redeem_by date,
    check ((percent is null) <> (amount_minor is null)),
    check ((amount_minor is null) = (currency is null)),
    check ((duration = 'repeating') = (months is not null))
);
create table coupon_use (
    customer_id bigint not null,
    document_id bigint not null,
    line text not null,
    invoice_id bigint not null,
    coupon text not null references coupon,
    product text references product,
    used_on date not null,
    base_minor bigint not null,
    discount_minor bigint not null,
    primary key (customer_id, document_id, invoice_id, line)
);
comment on table coupon_use is
    'What a coupon took off an invoice line: the line''s price and the discount. Taken back, with the signs turned, by a void.';
create index coupon_use_invoice on coupon_use (customer_id, invoice_id);

alter table contract add column receivable text not null default 'issued' check (receivable in ('issued', 'unconditional'));
comment on column contract.receivable is
    'When what is invoiced becomes a receivable: on the invoice''s date, or once it is due (606-10-45-4).';
alter table invoice add column recorded_on date;
comment on column invoice.recorded_on is
    'The day its receivable counts from, where that is not its date: its due date, where the right is unconditional only then.';

create trigger never_changed before update or delete on coupon_use for each row execute function refuse_change();
create trigger never_emptied before truncate on coupon_use for each statement execute function refuse_change();
