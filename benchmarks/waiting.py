"""Draws while a month waits to be closed behind a long file: those who post go on."""

from __future__ import annotations

import io
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.drawing import draws_a_second, wallets_of
from benchmarks.measure import Result, Scale, Server, unchecked, vacuum
from benchmarks.posting import post_lines_to, usage_lines, wallets
from ledger.database import locks
from ledger.database.connect import connect_engine
from ledger.errors import Refused

_CLIENTS = 4
_WALLETS = 1000
_SLICES = 3  # of a second
_POST = "import sys; from benchmarks.posting import post_lines_to; post_lines_to(sys.argv[1], open(sys.argv[2], 'rb'))"


def waiting(server: Server, scale: Scale) -> Iterator[Result]:
    """Draws on other wallets while a file is posted in one transaction and a close waits for it, against the same with no close."""
    count = scale.rows(1_000_000, 2)
    url = server.fresh()
    post_lines_to(url, io.BytesIO(b"".join(wallets_of(_WALLETS))))
    post_lines_to(url, io.BytesIO(b"".join(wallets("f"))))
    with unchecked(url) as owner:
        vacuum(owner)
    chosen = random.Random(7)  # noqa: S311 - which wallet is drawn on
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(usage_lines(count, "f"))
        file.flush()
        with subprocess.Popen([sys.executable, "-c", _POST, url, file.name]) as posting:  # noqa: S603 - ours
            pairs: list[tuple[float, float]] = []

            def draws() -> float:
                return statistics.mean(
                    draws_a_second(url, _CLIENTS, lambda: chosen.randrange(_WALLETS)) for _ in range(_SLICES)
                )

            draws()
            while posting.poll() is None and len(pairs) < scale.pairs:
                with _closing(url) as gave_up:
                    beside = draws()
                alone = draws()
                if gave_up and posting.poll() is None:
                    pairs.append((beside, alone))
        if posting.returncode or not pairs:
            raise RuntimeError(
                f"the file was posted before anything was measured, or not at all ({posting.returncode})"
            )
    beside, alone = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    yield Result("draw_while_close_waits", beside, alone, ratio, "draws/s", count, ">= 0.9")
    server.drop(url)


@contextmanager
def _closing(url: str) -> Iterator[list[Refused]]:
    """Somebody waits to have the books alone, and gives up at the end, unless nobody else has them any more."""
    engine = connect_engine(url)
    gave_up: list[Refused] = []

    def close() -> None:
        with engine.connect() as connection:
            try:
                locks.hold_books(connection.execution_options(patience=_SLICES * 1.2))
            except Refused as refusal:
                gave_up.append(refusal)

    closer = threading.Thread(target=close)
    closer.start()
    try:
        yield gave_up
    finally:
        closer.join()
        engine.dispose()
