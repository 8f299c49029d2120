"""Tables held to what was written to them.

Every row to the log that the database keeps of rows, and the log to itself. The database writes a row's hash to `row_log` in the
transaction that writes the row (migrations/books/history.sql); seals cover the log. Entries, postings and balances are recomputed
by questions of their own, and so is what stands beside what usage says, so these are not logged once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import Connection, Table

from ledger.database import binary_copy
from ledger.database.citus import is_distributed
from ledger.database.schema.documents import document
from ledger.database.schema.tables import TABLES

# Tables that are held otherwise, or that nothing is told from, and how or why.
NOT_LOGGED = {
    "alembic_version": "compared with what this release's migrations make",
    "api_request": "answers that are kept for a day, so that a request that is repeated is not done twice",
    "daily_total": "recomputed from postings",
    "document": "sealed, row by row; logged until then and after, but usage that posted: of whom and when say its entries, of which day its"
    " content (migrations/books/documents.sql)",
    "document_key": "compared with documents",
    "entry": "sealed, row by row",
    "grant_balance": "recomputed from what was granted, drawn and moved; what was moved of it is logged beside (migrations/books/wallets.sql)",
    "invoice_counter": "recomputed from invoices' numbers",
    "open_receivable": "recomputed from postings",
    "page_session": "who is signed in, for hours: a row is gone once its session ends",
    "posting": "sealed with its entry",
    "request_count": "an unlogged table of counters of requests, which no figure stands on",
    "role": "compared with this release's chart",
    "row_log": "sealed, row by row",
    "rule": "compared with this release's rulebook",
    "seal": "chained, each to the one before",
    "seal_leaves": "lead to the roots of seals",
    "terms_to_fold": "what the next command is to work out anew",
    "usage_meter": "recomputed from usage",
}
# Tables in which a row may take the place of another; in all others it stands as it was written.
CHANGED = ("api_key", "closed_books", "export_job", "export_login", "grant_balance", "personal_fields", "posted_file")

SENTENCE = "every row is as it was written, none was added or taken away behind the log that is kept of them"
COUNTED = "select coalesce(sum(change), 0) from row_log"


def tables() -> list[Table]:
    """The tables whose rows are logged, by their names."""
    return [table for table in TABLES if table.name not in NOT_LOGGED]


def differing(connection: Connection) -> Iterator[str]:
    """Rows that are not as they were written, by table and key.

    Or that nobody wrote, or that are gone.
    """
    if is_distributed(connection):  # which leaves none of it as it is on one machine: docs/scaling.md
        return
    for setting in ("timezone = 'UTC'", "datestyle = 'ISO, YMD'", "bytea_output = 'hex'"):  # as the log's own functions
        connection.exec_driver_sql(f"set local {setting}")
    may_read = "select relname from pg_class where relnamespace = 'public'::regnamespace and has_table_privilege(oid, 'select')"
    readable = set(connection.exec_driver_sql(may_read).scalars())
    read = [table for table in tables() if table.name in readable]  # an auditor reads no keys
    # streamed: everything may differ
    with connection.begin_nested(), binary_copy.driver_cursor(connection) as cursor:
        for named, rows in groupby(cursor.stream(_difference(read).encode()), lambda row: row[0]):
            more = {left > 0 for _, left in rows}
            what = (
                "is not as it was written" if len(more) > 1 else "was written by nobody" if True in more else "is gone"
            )
            yield f"{named} {what}"
    for statement, what in (
        (_changed(), "is told as changed, which nothing does there"),
        (_numbered(), "is logged under a number that was not handed out"),
    ):
        with connection.begin_nested(), binary_copy.driver_cursor(connection) as cursor:
            for (named,) in cursor.stream(statement.encode()):
                yield f"{named} {what}"


def _difference(read: list[Table]) -> str:
    """The statement that finds what differs.

    What is there beyond what was written, and what was written beyond what is there.
    """
    there = " union all ".join(
        f"select '{table.name}' as table_name, concat_ws('/', {_key(table)}) as key,"
        f" sha256(convert_to('{table.name}' || r::text, 'UTF8')) as hash, 1 as n from {table.name} r"
        for table in read
    )
    there += (
        " union all select 'grant_balance', concat_ws('/', customer_id, grant_id), grant_balance_hash(r), 1 from grant_balance r"
        " where moved_minor <> 0 or returned_on is not null"
        " union all select 'document', concat_ws('/', customer_id, document_id), sha256(convert_to('document' || r::text, 'UTF8')), 1"
        " from document r where type <> 'usage' or coalesce(entry_count, 0) = 0"
    )
    names = ", ".join(f"'{name}'" for name in ("document", "grant_balance", *(table.name for table in read)))
    return (
        f"select {_named()}, n from (select table_name, key, sum(n)::integer as n"
        f" from ({there} union all select table_name, key, hash, -change from row_log where table_name in ({names})) s"
        " group by hash, table_name, key having sum(n) <> 0) x order by table_name, key, n"
    )


def _changed() -> str:
    """The statement: what the log says to have been changed where nothing is."""
    changing = ", ".join(f"'{name}'" for name in CHANGED)
    return (
        f"select {_named()} from row_log x where change < 0 and table_name not in ({changing}) order by table_name, key"
    )


def _numbered() -> str:
    """The statement: what the log has under numbers that its sequence has not come to."""
    return (
        f"select {_named()} from row_log x where row_log_id > coalesce(pg_sequence_last_value('row_log_number'), 0)"
        " order by table_name, key"
    )


def _key(table: Table) -> str:
    return ", ".join(f'r."{column.name}"' for column in table.primary_key.columns)


# The columns that hold the number of the document that wrote a row.
_NUMBERS = ("document_id", "invoice_id", "grant_id", "contract_id")


def _named() -> str:
    """SQL for a row as people are told of it.

    Table, key, and the document that wrote it where the key begins with its number.
    """
    of_documents = ", ".join(
        f"'{table.name}'"
        for table in (*tables(), document)
        if [column.name for column in table.primary_key.columns][1:2] in [[name] for name in _NUMBERS]
    )
    numbers = [
        f"case when table_name in ({of_documents}) then split_part(key, '/', {place})::bigint end" for place in (1, 2)
    ]
    return (
        "concat_ws(' ', table_name, key, (select format('(%s %s)', d.type, d.ref) from document d"
        f" where d.customer_id = {numbers[0]} and d.document_id = {numbers[1]}))"
    )
