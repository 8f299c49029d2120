-- Rows of documents and accounts are logged when they are written, so that nobody changes them before they are sealed: who posted a document,
-- when, its day; what an account is of. Of usage that posted, most of what there is, the log has nothing: who posted it and when say its
-- entries, which day it is of says the document itself.

select keep_row_log('account');

create function log_document() returns trigger language plpgsql security definer
    set search_path = pg_catalog, public set timezone = 'UTC' set datestyle = 'ISO, YMD' set bytea_output = 'hex' as $$
begin
    perform pg_advisory_xact_lock_shared(71612);
    insert into row_log (row_log_id, table_name, key, hash, change)
    values (nextval('row_log_number'), 'document', concat_ws('/', new.customer_id, new.document_id),
            sha256(convert_to('document' || new::text, 'UTF8')), 1);
    return null;
end $$;
create trigger logged_insert after insert on document for each row
    when (new.type <> 'usage' or coalesce(new.entry_count, 0) = 0) execute function log_document();

set local timezone = 'UTC';
set local datestyle = 'ISO, YMD';
set local bytea_output = 'hex';
insert into row_log (row_log_id, table_name, key, hash, change)
select nextval('row_log_number'), 'document', concat_ws('/', d.customer_id, d.document_id), sha256(convert_to('document' || d::text, 'UTF8')), 1
from document d where d.type <> 'usage' or coalesce(d.entry_count, 0) = 0;
