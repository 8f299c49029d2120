-- Invoices: their lines, taxes and coupons, and what later documents change of them.

-- What a customer was billed, in one currency, and the account of what is still owed of it.
create table invoice (
    customer_id bigint not null,
    invoice_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    issued_on date not null,
    due_on date not null,
    total_minor bigint not null,
    receivable_account bigint not null,
    supersedes text,
    rate numeric check (rate > 0),
    number bigint check (number > 0),
    recorded_on date,
    master text,
    primary key (customer_id, invoice_id)
);
comment on column invoice.supersedes is 'The invoice it replaces, which was voided by it.';
comment on column invoice.rate is
    'Units of the entity''s currency for one of the invoice''s, where they differ: locked when it was issued.';
comment on column invoice.recorded_on is
    'The day its receivable counts from, where that is not its date: its due date, where the right is unconditional only then.';
comment on column invoice.master is 'The invoice of another entity that collects this part of it; what it charges is claimed from that entity.';
create index invoice_receivable on invoice (receivable_account);
create index invoice_master on invoice (customer_id, master) where master is not null;
-- Bills that are no receivables yet are few.
create index invoice_recorded on invoice (recorded_on) where recorded_on is not null;

create table invoice_counter (
    entity text primary key,
    last_number bigint not null
);
comment on table invoice_counter is
    'The last invoice number of an entity: taken with the invoice, in its transaction, so that none is left out.';

-- A line may be for nothing (free, or all of it discounted), and may credit (proration of what another invoice billed).
create table invoice_line (
    customer_id bigint not null,
    invoice_id bigint not null,
    line text not null,
    kind text not null check (kind in ('service', 'one_time', 'prepaid', 'usage', 'shortfall', 'opening', 'between')),
    amount_minor bigint not null,
    product text references product,
    subject text not null,
    own_obligation boolean not null default false,
    pattern text,
    starts_on date,
    ends_on date,
    deferred_account bigint,
    unbilled_account bigint,
    revenue_account bigint,
    discount_minor bigint not null default 0 check (discount_minor >= 0),
    computed_minor bigint,
    primary key (customer_id, invoice_id, line)
);
comment on column invoice_line.own_obligation is
    'The line made an obligation for itself, with this pattern and term; its price is what was billed to its accounts.';
comment on column invoice_line.discount_minor is 'Of a usage line, what was taken off the price of what was used, net of tax.';
comment on column invoice_line.computed_minor is
    'What its quantity x unit price less its discount comes to here, where its amount is another system''s and differs.';
create index invoice_line_subject on invoice_line (customer_id, subject);
create index invoice_line_obligation on invoice_line (subject) where own_obligation;
create index invoice_line_ended on invoice_line (ends_on) where own_obligation;

create table invoice_line_part (
    customer_id bigint not null,
    invoice_id bigint not null,
    line text not null,
    subject text not null,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (customer_id, invoice_id, line, subject)
);
comment on table invoice_line_part is 'What a line that bills a whole contract bills of each of its obligations.';
create index invoice_line_part_subject on invoice_line_part (customer_id, subject);

create view obligation_bill as
    select customer_id, invoice_id, line, subject, product, amount_minor, case when not own_obligation then starts_on end as starts_on,
           case when not own_obligation then ends_on end as ends_on
    from invoice_line where subject like 'obligation:%' and (amount_minor > 0 or own_obligation)
    union all
    select p.customer_id, p.invoice_id, p.line, p.subject, null, p.amount_minor, l.starts_on, l.ends_on
    from invoice_line_part p join invoice_line l using (customer_id, invoice_id, line);
comment on view obligation_bill is 'What invoices bill of obligations: by lines of their own, and by lines that bill a whole contract.';

-- Corrections: voids, credit notes, refunds, disputes and write-offs, line by line -----------------------------

create table line_change (
    customer_id bigint not null,
    document_id bigint not null,
    invoice_id bigint not null,
    line text not null,
    kind text not null check (kind in ('void', 'credit', 'refund', 'dispute', 'write_off', 'return', 'proration', 'recovery')),
    amount_minor bigint not null,
    product text references product,
    subject text not null,
    own_obligation boolean not null default false,
    starts_on date,
    ends_on date,
    deferred_account bigint,
    unbilled_account bigint,
    revenue_account bigint,
    rebill boolean not null default false,
    undoes bigint not null default 0,
    part integer not null default 0,
    primary key (customer_id, document_id, invoice_id, line, kind, undoes, part),
    -- what voids a line that is for nothing says so all the same
    constraint line_change_amount_minor_check check (amount_minor <> 0 or kind = 'void')
);
comment on table line_change is 'By how much, net of tax, a later document lowers a line of an invoice.';
comment on column line_change.own_obligation is
    'In books of an older schema, a credit for a period of its own was a negative obligation over that period.';
comment on column line_change.rebill is 'Only the bill is taken back: the price stays.';
comment on column line_change.undoes is 'The document whose correction this takes back; 0 where it is one itself.';
comment on column line_change.part is 'Which of several lines of the document it is by.';
create index line_change_invoice on line_change (customer_id, invoice_id);
create index line_change_subject on line_change (customer_id, subject);

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

-- Taxes: codes, and the tax of every line ----------------------------------------------------------------------

-- What is charged on a line, and to whom where the line does not say.
create table tax_code (
    tax_code text primary key,
    name text not null,
    rate numeric not null check (rate >= 0),
    fixed numeric not null check (fixed >= 0),
    inclusive boolean not null,
    compound boolean not null,
    countries text[] not null default '{}'
);
comment on column tax_code.fixed is 'An amount a line, in the line''s currency, beside the rate.';
comment on column tax_code.compound is 'Charged on the base and the taxes before it.';
comment on column tax_code.countries is 'Charged to customers of these countries on lines that name no code.';

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
    undoes bigint not null default 0,
    computed_minor bigint,
    primary key (customer_id, document_id, invoice_id, line, position, undoes)
);
comment on table line_tax is
    'What a document charged of a tax on a line of an invoice; what a credit note takes back stands below zero.';
comment on column line_tax.undoes is 'The document whose taking back of the tax this takes back; 0 where it undoes none.';
comment on column line_tax.computed_minor is 'What the tax comes to here, where the document gives it.';
create index line_tax_invoice on line_tax (customer_id, invoice_id);

-- Coupons ------------------------------------------------------------------------------------------------------

-- What takes something off lines: a share or an amount, once, for some months, or for good.
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

-- What is kept -------------------------------------------------------------------------------------------------

select pg_temp.never_changed('invoice', 'invoice_line', 'invoice_line_part', 'line_change', 'credit_line', 'tax_code', 'line_tax',
                             'coupon_use');
select keep_row_log(name)
from unnest(array['invoice', 'invoice_line', 'invoice_line_part', 'line_change', 'credit_line', 'tax_code', 'line_tax', 'coupon',
                  'coupon_use']) name;
