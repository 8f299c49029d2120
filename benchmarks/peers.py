"""A peer on the same server: django-hordak's transfers, one commit each and by bulk_create. `pip install django-hordak` to have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sqlalchemy import make_url

from benchmarks.measure import Scale, Server, tell


def hordak(server: Server, scale: Scale) -> dict[str, float]:
    """Its entries a second, `single` and `bulk`; nothing where it is not installed."""
    if find_spec("hordak") is None:
        tell("django-hordak is not installed: nothing to hold post_documents against")
        return {}
    url = server.fresh()
    ran = subprocess.run(  # noqa: S603 - this module itself
        [sys.executable, "-m", "benchmarks.peers", url, str(scale.rows(5_000))],
        capture_output=True,
        text=True,
        check=True,
    )
    server.drop(url)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _measure(url: str, count: int) -> dict[str, float]:
    target = make_url(url)
    settings: Any = import_module("django.conf").settings
    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "mptt", "hordak"],
        DATABASES={"default": {
            "ENGINE": "django.db.backends.postgresql", "NAME": target.database, "USER": target.username,
            "HOST": target.query["host"], "PORT": target.query.get("port", ""),
        }},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField", DEFAULT_CURRENCY="USD", CURRENCIES=["USD"], USE_TZ=True,
    )  # fmt: skip
    import_module("django").setup()
    import_module("django.core.management").call_command("migrate", verbosity=0)
    models: Any = import_module("hordak.models")
    money: Any = import_module("moneyed").Money
    atomic: Any = import_module("django.db.transaction").atomic
    kinds = models.AccountType
    credits_, revenue = (
        models.Account.objects.create(name=name, code=code, type=kind, currencies=["USD"])
        for name, code, kind in (("Credits", "2", kinds.liability), ("Revenue", "4", kinds.income))
    )

    started = time.perf_counter()
    for _ in range(count):
        with atomic():
            credits_.transfer_to(revenue, money("0.25", "USD"), date=date(2026, 1, 15))
    single = count / (time.perf_counter() - started)

    started = time.perf_counter()
    with atomic():
        made = models.Transaction.objects.bulk_create(
            [models.Transaction(date=date(2026, 1, 15), description="") for _ in range(count)]
        )
        models.Leg.objects.bulk_create(
            leg
            for transaction in made
            for leg in (
                models.Leg(transaction=transaction, account=credits_, debit=money("0.25", "USD")),
                models.Leg(transaction=transaction, account=revenue, credit=money("0.25", "USD")),
            )
        )
    return {"single": single, "bulk": count / (time.perf_counter() - started)}


if __name__ == "__main__":
    os.environ.setdefault("PGTZ", "UTC")
    sys.stdout.write(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
