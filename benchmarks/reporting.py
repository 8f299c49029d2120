"""Month end and reports: recognition, the waterfall and the trial balance, against one plain statement each; starting up."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from sqlalchemy import text

from benchmarks.measure import Result, Scale, Server, in_turn, seconds, unchecked, vacuum
from benchmarks.posting import accounts
from ledger.database.connect import connect_engine
from ledger.journal import periods
from ledger.reports.report import Filters
from revrec.earn.recognition import recognize
from revrec.reports.waterfall import waterfall

_CONTRACTS = """
    insert into product (product, name) values ('seats', 'Seats');
    insert into document (customer_id, document_id, type, ref, dated_on, body, hash, posted_at, posted_by)
        select 1 + n % {customers}, n, 'contract', 'k' || n, date '2026-01-01', '{{}}', sha256(''), '2026-01-01', 'bench'
        from generate_series(1, {count}) n;
    insert into contract (customer_id, contract_id, ref, entity, currency, signed_on, price_minor)
        select 1 + n % {customers}, n, 'k' || n, 'us', 'USD', date '2026-01-01', 100000 + n % 9000
        from generate_series(1, {count}) n;
    insert into account (customer_id, account_id, entity, role, currency, subject, product)
        select 1 + n % {customers}, 10000000 + n * 3 + k, 'us',
               (array['deferred_revenue', 'unbilled_receivable', 'revenue'])[k + 1], 'USD', 'obligation:o' || n,
               case k when 2 then 'seats' else '' end
        from generate_series(1, {count}) n, generate_series(0, 2) k;
    insert into obligation (customer_id, contract_id, ref, product, price_minor, pattern, starts_on, ends_on, document_id,
                            deferred_account, unbilled_account, revenue_account)
        select 1 + n % {customers}, n, 'o' || n, 'seats', 100000 + n % 9000, 'daily', date '2026-01-01' + n % 28,
               date '2028-12-31' + n % 28, n, 10000000 + n * 3, 10000001 + n * 3, 10000002 + n * 3
        from generate_series(1, {count}) n;
    select setval('document_number', 100000000), setval('account_number', 100000000);
"""


def _contracts(url: str, count: int) -> None:
    """Contracts of one obligation each, of 36 months from a day in January, five to a customer."""
    with unchecked(url) as owner:
        accounts(owner, count // 5)
        script = _CONTRACTS.format(count=count, customers=count // 5)
        owner.connection.cursor().execute(script)  # a script of many statements, which takes no parameters
        vacuum(owner)


def recognition(server: Server, scale: Scale) -> Iterator[Result]:
    """A month end over obligations, an entry each, against INSERT ... SELECT of the same rows; and the waterfall of them.

    The month before is closed, as at a month end; measured again with it open, where each obligation has two months to look at.
    """
    count = scale.rows(1_000_000, 40)
    url = server.fresh()
    _contracts(url, count)
    engine = connect_engine(url)
    with unchecked(url) as owner:

        def work() -> float:
            with engine.connect() as connection:
                took = seconds(lambda: recognize(connection, date(2026, 2, 1), "bench"))
                connection.rollback()
            return took

        # January is in the books, and closed; February is what is measured
        for month in (1, 2):
            last = owner.scalar(text("select coalesce(max(entry_id), 0) from entry"))
            owner.commit()
            with engine.connect() as connection:
                recognize(connection, date(2026, month, 1), "bench")
                if month == 1:
                    periods.close(connection, "us", date(2026, month, 1), "bench")
                connection.commit()
        for name in ("entry", "posting"):
            owner.exec_driver_sql(f"create table same_{name} as select * from {name} where entry_id > {last}")
            owner.exec_driver_sql(f"delete from {name} where entry_id > {last}")
        vacuum(owner)

        def limit() -> float:
            def write() -> None:
                for name in ("entry", "posting"):
                    owner.exec_driver_sql(f"insert into {name} select * from same_{name}")

            took = seconds(write)
            owner.rollback()
            owner.exec_driver_sql("set session_replication_role = replica")
            return took

        took, least, ratio = in_turn(scale, work, limit)
        yield Result("recognize", took, least, 1 / ratio, "s", count, "<= 1.2")
        owner.exec_driver_sql("delete from closed_books")
        owner.commit()
        took, least, ratio = in_turn(scale, work, limit)
        yield Result("recognize_two_months", took, least, 1 / ratio, "s", count, "")

        def report() -> float:
            with engine.connect() as connection:
                return seconds(lambda: waterfall(connection, Filters(as_of=date(2026, 1, 1))))

        def aggregate() -> float:
            with engine.connect() as connection:
                return seconds(lambda: connection.execute(text(_AGGREGATE)).all())

        took, least, ratio = in_turn(scale, report, aggregate)
        yield Result("waterfall", took, least, 1 / ratio, "s", count, "<= 1.2")
    engine.dispose()
    server.drop(url)


# The months of every obligation by cumulative shares, and nothing else: no bills, no versions, no credits.
_AGGREGATE = """
    select to_char(month, 'YYYY-MM'), sum((2 * price_minor * passed + days) / (2 * days) - (2 * price_minor * before + days) / (2 * days))
    from (select o.price_minor, m.month, (o.ends_on - o.starts_on + 1)::bigint as days,
                 least(greatest((m.month + interval '1 month')::date - o.starts_on, 0), o.ends_on - o.starts_on + 1)::bigint as passed,
                 least(greatest(m.month::date - o.starts_on, 0), o.ends_on - o.starts_on + 1)::bigint as before
          from obligation o
          cross join lateral generate_series(date_trunc('month', o.starts_on), date_trunc('month', o.ends_on), interval '1 month') m (month)
    ) parts group by 1""".replace("::", r"\:\:")


def command_line(server: Server, scale: Scale) -> Iterator[Result]:
    """`tickmark report trial-balance` on the demo's embedded database, its server not running; and what imports take of it."""
    del server
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TICKMARK_DATA": f"{folder}/data"}
        environment.pop("TICKMARK_DATABASE_URL", None)
        tickmark = str(Path(sys.executable).with_name("tickmark"))

        def run(*command: str) -> float:
            return seconds(
                lambda: subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)  # noqa: S603 - ours
            )

        def median(*command: str) -> float:
            return statistics.median(run(*command) for _ in range(scale.pairs))

        run(tickmark, "demo", "--no-serve")
        yield Result("cli", median(tickmark, "report", "trial-balance"), None, None, "s", 1, "<= 2")
        imports = median(
            sys.executable,
            "-c",
            "import web.cli, web.work.reports, ledger.database.connect; web.work.reports.find('trial-balance')",
        ) - median(sys.executable, "-c", "pass")
        yield Result("cli_imports", imports, None, None, "s", 1, "<= 0.4")
