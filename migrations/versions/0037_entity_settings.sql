-- How long after it was used usage is billed, and in which month what is billed in arrears counts, by entity.

alter table entity add column bills_within integer not null default 60 check (bills_within between 0 and 3650);
alter table entity add column arrears text not null default 'when_billed' check (arrears in ('when_billed', 'when_given'));
comment on column entity.bills_within is 'Days after which usage that is not billed will not be: what is left of it stands for nothing.';
comment on column entity.arrears is
    'In which month service counts that only an invoice tells of, once it is given: the invoice''s, or its own.';

-- What ended lately is looked at first: each by its last day.
create index obligation_ended on obligation (ends_on);
create index obligation_terms_ended on obligation_terms (from_day);
create index invoice_line_ended on invoice_line (ends_on) where own_obligation;
create index credit_grant_ended on credit_grant (expires_on);
-- Bills that are no receivables yet are few.
create index invoice_recorded on invoice (recorded_on) where recorded_on is not null;
