-- Invoices over several entities: one collects, each keeps its own part.

alter table invoice add column master text;
comment on column invoice.master is 'The invoice of another entity that collects this part of it; what it charges is claimed from that entity.';
create index invoice_master on invoice (customer_id, master) where master is not null;

alter table invoice_line drop constraint invoice_line_kind_check;
alter table invoice_line add constraint invoice_line_kind_check
    check (kind in ('service', 'one_time', 'prepaid', 'usage', 'shortfall', 'opening', 'between'));
