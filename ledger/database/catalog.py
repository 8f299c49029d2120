"""What the database's catalog has of the books.

Each object by a name, with all that makes it what it is. Listed is what stands where names are looked up (`public`, and what was added to
`pg_catalog`) or works on the whole database, such as casts, event triggers, roles and settings. Another schema's objects are found by no
statement of the books: connections have a search path of their own (ledger/database/connect.py), and what is tied to a table, as a
trigger or a child is, is listed with the table.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

# Definitions as PostgreSQL writes them, on one line.
PLAIN = "regexp_replace({}, '\\s+', ' ', 'g')"
_OURS = "'public'::regnamespace"
# What PostgreSQL makes itself has smaller numbers than these; and those are larger that scripts make when a server is made, as
# the standard's information schema, which is anybody's to move among PostgreSQL's own and to call otherwise.
_FIRST_MADE = 16384
_FIRST_SCRIPTED = 12000
# What is asked here of roles and settings is asked of views, which their owner can make anew.
_VIEWS_ASKED = "('pg_catalog.pg_roles'::regclass, 'pg_catalog.pg_settings'::regclass)"
_SCHEMAS = "('public'::regnamespace, 'pg_catalog'::regnamespace)"
# Extensions bring functions in C, which only who has the server's own files can write; what else is one's member is listed.
_OF_EXTENSION = "l.lanname = 'c' and exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')"
_ROLES = "('tickmark_app', 'tickmark_auditor')"
# Settings that change what guards do, or what names stand for.
_GUARDING = (
    "('session_replication_role', 'row_security', 'search_path', 'transform_null_equals', 'allow_system_table_mods')"
)
# Who may do what by a role: of the application or an auditor, directly or by another role, and who owns most of the books.
_WHO = f"""with recursive owned as (
    select oid, relowner as owner, false as is_function from pg_class where relnamespace = {_OURS} and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select p.oid, p.proowner, true from pg_proc p join pg_language l on l.oid = p.prolang where p.pronamespace = {_OURS} and not ({_OF_EXTENSION})
), owner as (
    select mode() within group (order by owner) as oid from owned
), member as (
    select oid, rolname, true as itself from pg_roles where rolname in {_ROLES}
    union
    select r.oid, r.rolname, false from member b join pg_auth_members m on m.roleid = b.oid join pg_roles r on r.oid = m.member
    where r.oid not in (select oid from owner)
), place (name, owner) as (
    select 'schema public', nspowner from pg_namespace where oid = {_OURS}
    union all
    select 'the database', datdba from pg_database where datname = current_database()
), able as (
    select oid from pg_roles where rolsuper or rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
    union
    select owner from owned
    union
    select owner from place
)
select format('rights of %s on schema %s', coalesce(r.rolname, 'everybody'), n.nspname),
       string_agg(lower(x.privilege_type), ', ' order by x.privilege_type)
from pg_namespace n cross join lateral aclexplode(n.nspacl) x left join pg_roles r on r.oid = x.grantee
where n.oid in {_SCHEMAS} and x.grantee <> n.nspowner and x.grantee not in (select oid from owner)
  and (r.rolname in {_ROLES} or x.privilege_type <> 'USAGE')
group by 1
union all
select format('rights of %s on setting %s', coalesce(b.rolname, 'everybody'), s.parname), string_agg(lower(x.privilege_type), ', ')
from pg_parameter_acl s cross join lateral aclexplode(s.paracl) x left join member b on b.oid = x.grantee
where s.parname in {_GUARDING} and (x.grantee = 0 or b.oid is not null) group by 1
union all
select format('owner of %s', case when o.is_function then 'function ' || o.oid::regprocedure else o.oid::regclass::text end), r.rolname
from owned o join pg_roles r on r.oid = o.owner
where r.rolname in {_ROLES}
   or (o.owner not in (select oid from owner) and not r.rolsuper
       and o.owner <> (select datdba from pg_database where datname = current_database()))
union all
select format('owner of %s', p.name), b.rolname from place p join member b on b.oid = p.owner
union all
-- a login of theirs may be a member of anything that lets it do no more here
select format('membership of %s in %s', b.rolname, g.rolname), ''
from member b join pg_auth_members m on m.member = b.oid join pg_roles g on g.oid = m.roleid
where b.itself or exists (select from able where pg_has_role(g.oid, able.oid, 'member'))
union all
select format('%s %s', case when b.itself then 'role' else 'login' end, r.rolname),
       concat_ws(' ', case when rolsuper then 'superuser' end, case when rolbypassrls then 'bypasses row security' end,
                 case when rolcreaterole then 'makes roles' end, case when rolcanlogin and b.itself then 'may log in' end)
from member b join pg_roles r using (oid) where b.itself or rolsuper or rolcreaterole"""

# Each query lists objects of one kind: a name, and all that makes it what it is.
LISTED = (
    f"""select format('%s %s%s', case relkind when 'v' then 'view' when 'S' then 'sequence' when 'p' then 'partitioned table' else 'table' end,
                      case when relnamespace <> {_OURS} then 'pg_catalog.' end, relname),
               concat_ws(' ', case when relkind in ('v', 'm') then {PLAIN.format('pg_get_viewdef(c.oid)')} end,
                         case relpersistence when 'u' then 'unlogged' end,
                         case when relrowsecurity or relforcerowsecurity then 'row security' end,
                         case when s.seqrelid is not null then concat_ws(' ', seqtypid::regtype, 'from', seqmin, 'to', seqmax, 'by', seqincrement,
                                                                         case when seqcycle then 'and again' end) end)
        from pg_class c left join pg_sequence s on s.seqrelid = c.oid
        where relnamespace in {_SCHEMAS} and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
          and (relnamespace = {_OURS} or c.oid >= {_FIRST_MADE} or left(relname, 3) <> 'pg_' or c.oid in {_VIEWS_ASKED})""",
    f"""select format('options of view %s', relname), array_to_string(reloptions, ' ')
        from pg_class where relnamespace = {_OURS} and relkind in ('v', 'm') and reloptions is not null""",
    f"""select format('column %s.%s', c.relname, a.attname),
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
                         nullif(a.attidentity::text, ''), nullif(a.attgenerated::text, ''),
                         {PLAIN.format('pg_get_expr(d.adbin, d.adrelid)')},
                         case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation end)
        from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = {_OURS} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped""",
    f"""select format('%s inherits from %s', inhrelid::regclass, inhparent::regclass), ''
        from pg_inherits i join pg_class c on c.oid in (i.inhrelid, i.inhparent) where c.relnamespace = {_OURS} and c.relkind in ('r', 'p', 'f')""",
    f"""select format('constraint %s of %s', x.conname, c.relname),
               concat_ws(' ', {PLAIN.format('pg_get_constraintdef(x.oid)')}, case when not x.convalidated then 'not valid' end)
        from pg_constraint x join pg_class c on c.oid = x.conrelid where c.relnamespace = {_OURS} and x.contype in ('c', 'f', 'p', 'u', 'x')""",
    f"""select format('index %s of %s', i.relname, c.relname),
               concat_ws(' ', {PLAIN.format('pg_get_indexdef(x.indexrelid)')}, case when not x.indisvalid then 'not valid' end)
        from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class c on c.oid = x.indrelid where c.relnamespace = {_OURS}""",
    f"""select format('trigger %s on %s', t.tgname, c.relname),
               concat_ws(' ', {PLAIN.format('pg_get_triggerdef(t.oid)')}, t.tgenabled)
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = {_OURS} and not t.tgisinternal""",
    f"""select format('guard of foreign keys on %s', c.relname), string_agg(distinct t.tgenabled::text, '')
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = {_OURS} and t.tgisinternal and t.tgconstraint <> 0 group by c.relname""",
    f"""select format('function %s%s(%s)', case when p.pronamespace <> {_OURS} then 'pg_catalog.' end, p.proname,
                      pg_get_function_identity_arguments(p.oid)),
               concat_ws(' ', l.lanname, case when p.prosecdef then 'security definer' end, p.provolatile, array_to_string(p.proconfig, ' '),
                         case when p.proisstrict then 'strict' end, case when p.proleakproof then 'leakproof' end, 'parallel ' || p.proparallel::text,
                         case when p.prokind <> 'f' then 'kind ' || p.prokind::text end,
                         case when not has_function_privilege('public', p.oid, 'execute') then 'not for everybody' end,
                         'returns ' || pg_get_function_result(p.oid),
                         encode(sha256(convert_to(concat_ws(' ', pg_get_function_arguments(p.oid), p.prosrc, p.probin, pg_get_function_sqlbody(p.oid)),
                                                  'UTF8')), 'hex'))
        from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace in {_SCHEMAS} and not ({_OF_EXTENSION})
          and (p.pronamespace = {_OURS} or p.oid >= case when l.lanname = 'c' then {_FIRST_MADE} else {_FIRST_SCRIPTED} end
               or l.lanname not in ('internal', 'c', 'sql'))""",
    f"""select format('rights of %s on function %s(%s)', coalesce(r.rolname, 'everybody'), p.proname, pg_get_function_identity_arguments(p.oid)), 'execute'
        from pg_proc p cross join lateral aclexplode(p.proacl) x left join pg_roles r on r.oid = x.grantee
        where p.pronamespace = {_OURS} and x.grantee <> p.proowner
          and (r.rolname in {_ROLES} or x.grantee <> 0 and not has_function_privilege('public', p.oid, 'execute'))""",
    # PostgreSQL's own aggregates that add up by somebody else's functions, and its own functions with settings of somebody's
    f"""select format('aggregate %s', a.aggfnoid::oid::regprocedure), 'by other functions'
        from pg_aggregate a where a.aggfnoid::oid < {_FIRST_MADE}
          and greatest(aggtransfn::oid, aggfinalfn::oid, aggcombinefn::oid, aggserialfn::oid, aggdeserialfn::oid, aggmtransfn::oid,
                       aggminvtransfn::oid, aggmfinalfn::oid) >= {_FIRST_MADE}
        union all
        select format('function pg_catalog.%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
               concat_ws(' ', 'with', array_to_string(p.proconfig, ' '), case when p.prosupport::oid >= {_FIRST_MADE} then p.prosupport::text end)
        from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = 'pg_catalog'::regnamespace and p.oid < {_FIRST_MADE} and l.lanname in ('internal', 'c', 'sql')
          and (p.proconfig is not null or p.prosupport::oid >= {_FIRST_MADE})""",
    """select format('language %s', lanname), lanplcallfoid::regproc::text from pg_language where lanname = 'plpgsql'""",
    # what statements of the books may come upon without naming it
    f"""select format('%s %s', i.type, i.identity), ''
        from (select 'pg_operator'::regclass as kind, o.oid, o.oprcode::oid as function from pg_operator o where oprnamespace in {_SCHEMAS}
              union all
              -- a row of a table is a type too, and the log of rows is of what its text says
              select 'pg_cast'::regclass, k.oid, castfunc from pg_cast k
               where not exists (select from pg_type t where t.oid in (castsource, casttarget) and (t.typnamespace not in {_SCHEMAS}
                                 or exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')))
              union all
              select 'pg_amop'::regclass, a.oid, o.oprcode from pg_amop a join pg_operator o on o.oid = a.amopopr where amopfamily < {_FIRST_MADE}
              union all
              select 'pg_amproc'::regclass, oid, amproc from pg_amproc where amprocfamily < {_FIRST_MADE}
              union all
              select 'pg_conversion'::regclass, oid, conproc from pg_conversion where condefault and connamespace in {_SCHEMAS}
              union all
              select 'pg_type'::regclass, oid, typinput from pg_type y where typnamespace in {_SCHEMAS} and typcategory <> 'A'
                 and (typrelid = 0 or exists (select from pg_class where oid = typrelid and relkind = 'c'))
              union all
              select 'pg_event_trigger'::regclass, oid, evtfoid from pg_event_trigger) o
        cross join lateral pg_identify_object(o.kind, o.oid, 0) i
        where o.oid >= {_FIRST_MADE}
          and not exists (select from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = o.function and {_OF_EXTENSION})""",
    f"""select format('rule %s on %s', r.rulename, c.relname), pg_get_ruledef(r.oid)
        from pg_rewrite r join pg_class c on c.oid = r.ev_class where c.relnamespace = {_OURS} and r.rulename <> '_RETURN'""",
    f"""select format('policy %s on %s', p.polname, c.relname), 'rows by role'
        from pg_policy p join pg_class c on c.oid = p.polrelid where c.relnamespace = {_OURS}""",
    # who may do what; that somebody else may read is the owner's to decide
    f"""select format('rights of %s on %s', coalesce(r.rolname, 'everybody'), c.relname),
               string_agg(lower(x.privilege_type), ', ' order by x.privilege_type)
        from pg_class c cross join lateral aclexplode(c.relacl) x left join pg_roles r on r.oid = x.grantee
        where c.relnamespace = {_OURS} and x.grantee <> c.relowner and c.relkind in ('r', 'p', 'v', 'm', 'S')
          and (r.rolname in {_ROLES} or x.privilege_type not in ('SELECT', 'REFERENCES', 'USAGE'))
        group by 1, c.relname""",
    f"""select format('rights of %s on column %s.%s', coalesce(r.rolname, 'everybody'), c.relname, a.attname),
               string_agg(lower(x.privilege_type), ', ' order by x.privilege_type)
        from pg_class c join pg_attribute a on a.attrelid = c.oid cross join lateral aclexplode(a.attacl) x
        left join pg_roles r on r.oid = x.grantee
        where c.relnamespace = {_OURS} and x.grantee <> c.relowner and x.privilege_type not in ('SELECT', 'REFERENCES')
        group by r.rolname, c.relname, a.attname""",
    _WHO,
    # what connections begin with, whoever set it
    f"""select format('setting %s', split_part(s.setting, '=', 1)), s.setting
        from pg_db_role_setting x cross join lateral unnest(x.setconfig) s(setting)
        where x.setdatabase in (0, (select oid from pg_database where datname = current_database()))
          and split_part(s.setting, '=', 1) in {_GUARDING}
        union all
        select format('setting %s', name), format('%s=%s', name, reset_val) from pg_settings
        where name in {_GUARDING} and reset_val <> boot_val and (name, reset_val) <> ('search_path', 'public')""",
)  # fmt: skip


def listed(connection: Connection) -> dict[str, str]:
    """The objects of the books in a database, each with what makes it what it is."""
    found: dict[str, str] = {}
    for statement in LISTED:
        for name, definition in connection.execute(text(statement.replace(":", r"\:"))):
            found[name] = f"{definition}".strip()
    return found
