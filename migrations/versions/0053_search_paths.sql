-- A search path that does not name pg_temp has it first: a session's temporary table stood for one of the books then, in functions that
-- run as their owner, too.
do $$
declare f regprocedure;
begin
    for f in select p.oid::regprocedure from pg_proc p
             where p.pronamespace = 'public'::regnamespace and (p.prosecdef or p.prorettype = 'trigger'::regtype) loop
        execute format('alter function %s set search_path = pg_catalog, public, pg_temp', f);
    end loop;
    -- what it makes for tables to come
    execute replace(pg_get_functiondef('keep_row_log'::regproc), 'search_path = pg_catalog, public set', 'search_path = pg_catalog, public, pg_temp set');
end $$;
