-- Fiscal years: which month an entity's begin in.

alter table entity add column fiscal_year_start smallint not null default 1 check (fiscal_year_start between 1 and 12);
comment on column entity.fiscal_year_start is 'The month its fiscal years begin in; results of earlier years are retained earnings.';
