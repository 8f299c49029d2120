"""Past one machine: the books over several with Citus (docs/scaling.md).

Every customer's rows are together on one of them. Every key of the journal's tables starts with the customer, so they are distributed by
it and lie beside each other; what all customers share is small, and kept whole on each machine. Constraints between tables and triggers
are made once the tables are distributed.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from ledger.database.schema.tables import TABLES
from ledger.errors import Refused

# Found by a document's id, here or in another system, before anybody knows whose it is: spread by the id, not beside the customer's rows.
_BY_ID = {"document_key": "ref", "external_key": "external_id"}
# Found by a customer's id, and small: kept whole everywhere.
_SHARED = {"customer"}
# Counters of the machine that is asked: nothing reads them together with anything else.
KEPT_HERE = {"request_count"}
# Triggers of a statement, over all rows that it brought: a machine has only some of them.
_NOT_ON_SHARDS = {"checked", "logged_insert", "logged_update", "logged_delete"}


def is_distributed(connection: Connection) -> bool:
    """Whether the books are over several machines."""
    return bool(connection.scalar(text(_CITUS))) and bool(connection.scalar(text(_DISTRIBUTED)))


def by_customer() -> tuple[str, ...]:
    """The tables distributed by customer: those whose key starts with it."""
    return tuple(
        table.name
        for table in TABLES
        if table.name not in _SHARED and next(iter(table.primary_key.columns)).name == "customer_id"
    )


def shared() -> tuple[str, ...]:
    """The tables kept whole on every machine, what is referred to first."""
    others = {*by_customer(), *_BY_ID, *KEPT_HERE}
    return tuple(table.name for table in TABLES if table.name not in others)


# Citus itself, which is written in C, and not an extension of its name.
_CITUS = """
    select exists (select from pg_class c join pg_depend d on d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e'
                   join pg_extension x on x.oid = d.refobjid where x.extname = 'citus' and c.relname = 'pg_dist_partition'
                   and c.relnamespace = 'pg_catalog'::regnamespace)
       and 100 < (select count(*) from pg_proc p join pg_language l on l.oid = p.prolang join pg_depend d on d.objid = p.oid
                  join pg_extension x on x.oid = d.refobjid where d.classid = 'pg_proc'::regclass and d.deptype = 'e'
                  and x.extname = 'citus' and l.lanname = 'c' and p.probin like '%citus%')"""
_DISTRIBUTED = "select count(*) from pg_catalog.pg_dist_partition where logicalrelid = 'posting'::regclass"
_FOREIGN_KEYS = """
    select r.relname, c.conname, pg_get_constraintdef(c.oid) as definition
    from pg_constraint c join pg_class r on r.oid = c.conrelid
    where c.contype = 'f' and c.connamespace = 'public'::regnamespace order by 1, 2"""
_TRIGGERS = """
    select r.relname, t.tgname, pg_get_triggerdef(t.oid) as definition
    from pg_trigger t join pg_class r on r.oid = t.tgrelid
    where not t.tgisinternal and r.relnamespace = 'public'::regnamespace order by 1, 2"""


def statements(connection: Connection) -> list[str]:
    """What distributes the books of a database, in order.

    By what stands in its catalog, so that it fits every release.
    """
    foreign_keys = connection.exec_driver_sql(_FOREIGN_KEYS).all()
    triggers = connection.exec_driver_sql(_TRIGGERS).all()
    first, *others = by_customer()
    return [
        "set local citus.multi_shard_modify_mode = 'sequential'",
        *(f"drop trigger {name} on {table}" for table, name, _ in triggers),
        *(f"alter table {table} drop constraint {name}" for table, name, _ in foreign_keys),
        *(f"select create_reference_table('{table}')" for table in shared()),
        f"select create_distributed_table('{first}', 'customer_id')",
        *(f"select create_distributed_table('{table}', 'customer_id', colocate_with => '{first}')" for table in others),
        *(
            f"select create_distributed_table('{table}', '{column}', colocate_with => 'none')"
            for table, column in _BY_ID.items()
        ),
        *(f"alter table {table} add constraint {name} {definition}" for table, name, definition in foreign_keys),
        "set local citus.enable_unsafe_triggers = on",
        *(definition for _, name, definition in triggers if name not in _NOT_ON_SHARDS),
    ]


def distribute(connection: Connection) -> int:
    """Distribute the books, all or nothing; returns how many tables. The connection is the owner's, who commits.

    Raises Refused where the database has no Citus, or its books are distributed already.
    """
    found = connection.scalar(text("select extversion from pg_extension where extname = 'citus'"))
    if found is None:
        raise Refused(
            "database",
            "no extension citus",
            "expected a coordinator with Citus and its workers: `create extension citus`, then citus_add_node for each",
        )
    if connection.scalar(text(_DISTRIBUTED)):
        raise Refused("database", "posting", "expected tables that are not distributed yet")
    for statement in statements(connection):
        connection.exec_driver_sql(statement)
    return len(by_customer()) + len(shared()) + len(_BY_ID)
