-- Breakage recognised with use, and invoices that replace others.

alter table credit_grant add column expected_breakage numeric not null default 0
    check (expected_breakage >= 0 and expected_breakage < 1);
comment on column credit_grant.expected_breakage is
    'The share of it never expected to be used, earned in proportion to use; 0: whatever is left, on expiry.';

alter table invoice add column supersedes text;
comment on column invoice.supersedes is 'The invoice it replaces, which was voided by it.';
