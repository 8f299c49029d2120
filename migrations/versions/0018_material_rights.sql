-- Free credits that share the price of a contract: a material right, and a liability (606-10-55-42).

alter table credit_grant drop column free;
alter table credit_grant add column free boolean not null generated always as
    (kind in ('promotional', 'pilot') and price_minor = 0) stored;
comment on column credit_grant.free is 'Credits that no price is for: no liability, a discount when used.';
