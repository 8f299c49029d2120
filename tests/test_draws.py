"""Plain draws: which usage one statement posts, and which it leaves to the long way (both must post the same: test_properties)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.database.connect import connect_engine
from ledger.intake import posting
from ledger.intake.posting import post_lines
from revrec.kinds import TYPES
from tests.conftest import Cli, lines
from tests.samples import PARTY, grant, invoice, parties, prepaid, promotion, usage


def _wallet(cli: Cli, *more: dict[str, Any], billed: str = "100.00", **terms: Any) -> None:
    """A grant of 100.00, billed, with a first draw of a cent behind it."""
    cli.post(
        *parties(),
        grant("G", **terms),
        *more,
        invoice("I", "2026-01-01", prepaid(billed)),
        usage("first", "0.01", "2026-01-02"),
    )


def _long_way_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise AssertionError("the long way was taken")

    monkeypatch.setattr(posting, "Books", closed)


def test_plain_draws_take_one_statement(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _wallet(cli)
    with monkeypatch.context() as patch:
        _long_way_closed(patch)
        assert "posted 1 documents as 1 entries" in cli.post(usage("u1", "40.00", "2026-01-10"))
        # thousandths of a cent add up, to the even cent: 0.004, 0.008, 0.012
        third = {"quantity": "1", "unit_price": "0.004"}
        assert "posted 3 documents as 1 entries" in cli.post(
            *(usage(f"s{n}", "0", "2026-01-11") | third for n in range(3))
        )
    (row,) = cli.report("wallet")
    assert (row["left"], row["revenue"], row["liability"]) == ("59.98", "40.02", "59.98")
    assert "1 posted before" in cli.post(usage("u1", "40.00", "2026-01-10"))
    assert "posted before with other content" in cli.refuse(usage("u1", "41.00", "2026-01-10"))
    assert "checks hold" in cli.ok("verify")


@pytest.mark.parametrize(
    ("more", "terms", "asked"),
    [
        ((promotion("P", "5.00"),), {}, usage("u", "1.00", "2026-01-10")),
        ((grant("H", "10.00"),), {}, usage("u", "1.00", "2026-01-10")),
        ((), {"price": "50.00"}, usage("u", "1.00", "2026-01-10")),
        ((), {"expires_on": "2026-01-31"}, usage("u", "1.00", "2026-02-10")),
        ((), {}, usage("u", "100.00", "2026-01-10")),  # a cent more than is left
        ((), {}, usage("u", "1.00", "2025-12-31")),
        ((), {}, usage("u", "1.00", "2026-01-10") | {"product": "seats"}),
        ((), {}, usage("u", "1.00", "2026-01-10") | {"supersedes": "first"}),
        ((), {}, usage("u", "1.00", "2026-01-10") | {"reference": "batch 7"}),
        ((), {}, usage("u", "1.00", "2026-01-10") | {"external": {"meter": "e1"}}),
        (({"type": "wallet_alert", "id": "A", **PARTY, "threshold": "50.00"},), {}, usage("u", "1.00", "2026-01-10")),
    ],
    ids=["promotion", "two grants", "discount", "expired", "too much", "before it", "other product", "superseding", "referring", "elsewhere", "watched"],
)  # fmt: skip
def test_what_is_not_plain_is_planned(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[dict[str, Any], ...],
    terms: dict[str, Any],
    asked: dict[str, Any],
) -> None:
    cli.post({"type": "product", "id": "seats", "name": "Seats"})
    _wallet(cli, *more, billed=terms.get("price", "100.00"), **terms)
    _long_way_closed(monkeypatch)
    with pytest.raises(AssertionError, match="the long way was taken"):
        cli.run("post", "-", stdin=lines([asked]))


def test_a_closed_month_and_an_unbilled_grant_are_not_plain(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _wallet(cli, billed="10.00")
    cli.ok("close", "2026-01")
    _long_way_closed(monkeypatch)
    for asked in (usage("u", "1.00", "2026-01-10"), usage("v", "50.00", "2026-02-10")):
        with pytest.raises(AssertionError, match="the long way was taken"):
            cli.run("post", "-", stdin=lines([asked]))


def test_usage_of_several_customers_is_planned(cli: Cli, connection: Connection) -> None:
    _wallet(cli)
    cli.post({"type": "customer", "id": "initech", "name": "Initech"})
    told = cli.post(usage("u1", "1.00", "2026-01-10"), usage("u2", "1.00", "2026-01-10") | {"customer": "initech"})
    assert "posted 2 documents as 2 entries" in told
    assert connection.execute(text("select r.code from posting p join rule r on r.number = p.rule order by p.entry_id desc limit 2")
                              ).scalars().all() == ["usage.overage", "draw.prepaid"]  # fmt: skip
    refused = cli.refuse(usage("u3", "1.00", "2026-01-10"), usage("u4", "1.00", "2026-01-10") | {"customer": "nobody"})
    assert "customer = nobody" in refused
    assert connection.scalar(text("select count(*) from document where ref = 'u3'")) == 0


def test_many_at_once_on_one_wallet_never_overdraw_it(cli: Cli, url: str) -> None:
    """16 at a time ask for 160.00 of a wallet that holds 100.00: what it covers is drawn, the rest is overage, each once."""
    _wallet(cli)
    engine: Engine = connect_engine(url)

    def ask(worker: int) -> None:
        for turn in range(10):
            document = usage(f"u{worker}-{turn}", "1.00", "2026-01-10")
            with engine.connect() as connection:
                post_lines(
                    connection,
                    [lines([document]).encode()],
                    TYPES,
                    "tester",
                    lambda problem, _raw: pytest.fail(str(problem)),
                )
                connection.commit()

    workers = [threading.Thread(target=ask, args=(worker,)) for worker in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    engine.dispose()
    (row,) = cli.report("wallet")
    # 0.01 was drawn before; the hundredth draw is covered in part
    assert (row["left"], row["drawn"]) == ("0.00", "100.00")
    balances = {row["role"]: row for row in cli.report("trial-balance")}
    assert balances["revenue"]["credit"] == "160.01"
    assert balances["unbilled_receivable"]["debit"] == "60.01"
    assert "checks hold" in cli.ok("verify")
