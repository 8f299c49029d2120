-- A customer's accounts of a role by index, whatever the planner thinks of how many there are.
--
-- Recognition asks of each obligation whether anything of it was refunded, disputed or lost. While there are few such accounts the planner
-- finds all of an entity's by their role, for each obligation: with many of both that is all of one times all of the other.
drop index account_role;
create index account_role on account (role, entity, customer_id);
