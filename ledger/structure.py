"""The database's own guards, held to what this release's migrations make: tables, columns, constraints, triggers, functions, rights.

`made.txt` beside this module lists them as they are in a database that was just made (`make made`). Whoever owns the
database can drop a trigger, switch it off, give a login rights or put another function in a guard's place: verifying names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

from ledger.database import reference_rows, schema_expected
from ledger.distribution import is_distributed

_MADE = Path(__file__).with_name("made.txt")

SENTENCE = "the database's tables, triggers, functions, rights, chart and rulebook are those that this release makes"
COUNTED = (
    "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')"
)

# Definitions as PostgreSQL writes them, without what its versions differ in: spaces and brackets.
_PLAIN = "regexp_replace({}, '[\\s()]', '', 'g')"
_OURS = "'public'::regnamespace"

# Each query lists objects of one kind: a name, and all that makes it what it is.
_LISTED = (
    f"""select format('%s %s', case relkind when 'v' then 'view' when 'S' then 'sequence' when 'p' then 'partitioned table' else 'table' end,
                      relname),
               concat_ws(' ', case when relkind in ('v', 'm') then {_PLAIN.format('pg_get_viewdef(oid)')} end,
                         case relpersistence when 'u' then 'unlogged' end,
                         case when relrowsecurity or relforcerowsecurity then 'row security' end)
        from pg_class where relnamespace = {_OURS} and relkind in ('r', 'p', 'v', 'm', 'S', 'f')""",
    f"""select format('column %s.%s', c.relname, a.attname),
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
                         nullif(a.attidentity::text, ''), nullif(a.attgenerated::text, ''),
                         {_PLAIN.format('pg_get_expr(d.adbin, d.adrelid)')})
        from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = {_OURS} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped""",
    f"""select format('constraint %s of %s', x.conname, c.relname),
               concat_ws(' ', {_PLAIN.format('pg_get_constraintdef(x.oid)')}, case when not x.convalidated then 'not valid' end)
        from pg_constraint x join pg_class c on c.oid = x.conrelid where c.relnamespace = {_OURS} and x.contype in ('c', 'f', 'p', 'u', 'x')""",
    f"""select format('index %s of %s', i.relname, c.relname),
               concat_ws(' ', {_PLAIN.format('pg_get_indexdef(x.indexrelid)')}, case when not x.indisvalid then 'not valid' end)
        from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class c on c.oid = x.indrelid where c.relnamespace = {_OURS}""",
    f"""select format('trigger %s on %s', t.tgname, c.relname),
               concat_ws(' ', {_PLAIN.format('pg_get_triggerdef(t.oid)')}, t.tgenabled)
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = {_OURS} and not t.tgisinternal""",
    f"""select format('guard of foreign keys on %s', c.relname), string_agg(distinct t.tgenabled::text, '')
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = {_OURS} and t.tgisinternal and t.tgconstraint <> 0 group by c.relname""",
    f"""select format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
               concat_ws(' ', l.lanname, case when p.prosecdef then 'security definer' end, p.provolatile, array_to_string(p.proconfig, ' '),
                         encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'))
        from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = {_OURS} and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')""",
    f"""select format('rule %s on %s', r.rulename, c.relname), pg_get_ruledef(r.oid)
        from pg_rewrite r join pg_class c on c.oid = r.ev_class where c.relnamespace = {_OURS} and r.rulename <> '_RETURN'""",
    f"""select format('policy %s on %s', p.polname, c.relname), 'rows by role'
        from pg_policy p join pg_class c on c.oid = p.polrelid where c.relnamespace = {_OURS}""",
    # who may do what; that somebody else may read is the owner's to decide
    f"""select format('rights of %s on %s', coalesce(r.rolname, 'everybody'), c.relname),
               string_agg(lower(x.privilege_type), ', ' order by x.privilege_type)
        from pg_class c cross join lateral aclexplode(c.relacl) x left join pg_roles r on r.oid = x.grantee
        where c.relnamespace = {_OURS} and x.grantee <> c.relowner and c.relkind in ('r', 'p', 'v', 'm', 'S')
          and (r.rolname in ('tickmark_app', 'tickmark_auditor') or x.privilege_type not in ('SELECT', 'REFERENCES', 'USAGE'))
        group by 1, c.relname""",
    f"""select format('rights of %s on column %s.%s', coalesce(r.rolname, 'everybody'), c.relname, a.attname),
               string_agg(lower(x.privilege_type), ', ' order by x.privilege_type)
        from pg_class c join pg_attribute a on a.attrelid = c.oid cross join lateral aclexplode(a.attacl) x
        left join pg_roles r on r.oid = x.grantee
        where c.relnamespace = {_OURS} and x.grantee <> c.relowner and x.privilege_type not in ('SELECT', 'REFERENCES')
        group by r.rolname, c.relname, a.attname""",
    """select format('role %s', rolname), concat_ws(' ', case when rolsuper then 'superuser' end, case when rolbypassrls then 'bypasses row security' end,
                     case when rolcreaterole then 'makes roles' end, case when rolcanlogin then 'may log in' end)
        from pg_roles where rolname in ('tickmark_app', 'tickmark_auditor')""",
    """select format('setting %s', split_part(s.setting, '=', 1)), s.setting
        from pg_db_role_setting x cross join lateral unnest(x.setconfig) s(setting)
        where x.setdatabase in (0, (select oid from pg_database where datname = current_database()))
          and split_part(s.setting, '=', 1) in ('session_replication_role', 'row_security', 'search_path')""",
)  # fmt: skip


def listed(connection: Connection) -> dict[str, str]:
    """The objects of the books in a database, each with what makes it what it is."""
    found: dict[str, str] = {}
    for statement in _LISTED:
        for name, definition in connection.execute(text(statement.replace(":", r"\:"))):
            found[name] = f"{definition}".strip()
    return found


def _reference() -> dict[str, str]:
    """What this release writes into a database it made: its schema's number, the chart and the rulebook."""
    roles, rules = reference_rows()
    return {
        "schema": schema_expected(),
        **{f"role {row['name']} of the chart": " | ".join(str(value) for value in row.values()) for row in roles},
        **{f"rule {row['number']} of the rulebook": " | ".join(str(value) for value in row.values()) for row in rules},
    }


def _reference_found(connection: Connection) -> dict[str, str]:
    found = {"schema": str(connection.scalar(text("select string_agg(version_num, ', ') from alembic_version")))}
    for table, of, columns in (
        ("role", "chart", "name, kind, side, subject, code, title"),
        ("rule", "rulebook", "number, code, debit, credit, why, citation"),
    ):
        for row in connection.execute(text(f"select {columns} from {table}")):
            found[f"{table} {row[0]} of the {of}"] = " | ".join(str(value) for value in row)
    return found


@cache
def made() -> dict[str, str]:
    """The objects that this release's migrations make."""
    lines = _MADE.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def differing(connection: Connection) -> Iterator[str]:
    """What the database lacks, has beside, or has otherwise than this release makes it."""
    if is_distributed(connection):  # which leaves none of it as it is on one machine: docs/scaling.md
        return
    expected, found = made() | _reference(), listed(connection) | _reference_found(connection)
    # a server on which the roles could not be made has none of their rights
    without = {role for role in ("tickmark_app", "tickmark_auditor") if f"role {role}" not in found}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) == expected.get(name) or any(f" {role}" in name for role in without):
            continue
        if name not in found:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is not of this release: {found[name]}"
        else:
            yield f"{name} is {found[name] or 'nothing'}, expected {expected[name] or 'nothing'}"


def write_made(connection: Connection) -> None:
    """Write the list anew, from a database that migrations have just made: `make made`."""
    found = listed(connection)
    _MADE.write_text("".join(f"{name} = {found[name]}\n" for name in sorted(found)), encoding="utf-8")
