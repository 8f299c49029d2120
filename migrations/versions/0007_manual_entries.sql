-- Manual entries: their rule names no accounts, and what they post to may be about nothing else.

alter table rule alter column debit drop not null;
alter table rule alter column credit drop not null;
comment on column rule.debit is 'The role it debits; none on manual entries, which name their own accounts.';

alter table invoice_line drop constraint invoice_line_kind_check;
alter table invoice_line add constraint invoice_line_kind_check
    check (kind in ('service', 'one_time', 'prepaid', 'usage', 'opening'));
