-- A line may be for nothing: free, or all of it discounted. What voids it says so all the same.

alter table invoice_line drop constraint invoice_line_amount_minor_check;
alter table line_change drop constraint line_change_amount_minor_check;
alter table line_change add constraint line_change_amount_minor_check check (amount_minor <> 0 or kind = 'void');
