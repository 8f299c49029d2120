"""Backups of the books, and what proves that one was restored whole.

The last seal goes with it. PostgreSQL's own pg_dump and pg_restore do the work; the seal is what the restored books have to lead to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url, text

from ledger.database import connect, embedded
from ledger.errors import Refused
from ledger.proof import compare, seals, verify
from ledger.proof.invariants.question import Question

DUMP, SEAL, ABOUT = "books.dump", "seal.json", "about.json"
_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was written, or restored: what is in it."""

    folder: Path
    schema: str
    entries: int
    documents: int
    seal: dict[str, Any] | None


def write(engine: Engine, folder: Path, by: str) -> Backup:
    """Seal what is posted, and write a backup into a new folder. Raises Refused where it is there already, or pg_dump fails."""
    if folder.exists():
        raise Refused("folder", str(folder), "expected a folder that is not there yet")
    head = seals.seal(engine, by).head
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _run(
            "pg_dump",
            engine,
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            "--no-unlogged-table-data",
            f"--file={partial / DUMP}",
        )
        with engine.connect() as connection:
            schema = connect.require_schema(connection)
            entries, documents = connection.execute(
                text("select (select count(*) from entry), (select count(*) from document)")
            ).one()
        made = Backup(folder, schema, entries, documents, None if head is None else head.as_json())
        if head is not None:
            _write_json(partial / SEAL, head.as_json())
        _write_json(
            partial / ABOUT,
            {
                "schema": schema,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "by": by,
                "sha256": _sha256(partial / DUMP),
                "seal": None if head is None else head.hash.hex(),
            },
        )
        partial.rename(folder)
    except OSError as error:
        raise Refused("folder", str(folder), f"expected a folder that can be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def restore(
    database_url: str, folder: Path, held: Iterable[verify.Held | Question] = ()
) -> tuple[Backup, list[verify.Check]]:
    """Restore a backup into an empty database, and verify that it leads to its seal.

    It is brought to this release. `held` is asked beside what the ledger itself verifies.

    Raises Refused for a folder that is no backup, that was changed or is of a schema that this release does not upgrade, for a database
    that has books, or where pg_restore fails.
    """
    about = _read(folder)
    connect.require_known(about.get("schema"), ABOUT)
    seal = compare.read_kept(SEAL, (folder / SEAL).read_bytes()) if (folder / SEAL).is_file() else None
    if seal is not None and about.get("seal", seal["hash"]) != seal["hash"]:  # an older release's doesn't say it
        raise Refused(
            SEAL,
            str(seal["hash"])[:16],
            f"expected the seal that the backup was written with, {str(about['seal'])[:16]}",
        )
    if not os.environ.get("TICKMARK_DATABASE_URL"):
        connect.create_database(database_url)
    owner = connect.connect_engine(database_url, as_owner=True)
    with owner.connect() as connection:
        tables = connection.scalar(text("select count(*) from information_schema.tables where table_schema = 'public'"))
    if tables:
        raise Refused(
            "database", make_url(database_url).database or "", f"expected an empty one: it has {tables} tables"
        )
    _run(
        "pg_restore",
        owner,
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        "--single-transaction",
        str(folder / DUMP),
    )
    connect.upgrade(database_url, again=True)
    with owner.connect() as connection:
        entries, documents = connection.execute(
            text("select (select count(*) from entry), (select count(*) from document)")
        ).one()
    checks = verify.verify(owner, seal, held)
    return Backup(folder, about.get("schema", "unknown"), entries, documents, seal), checks


def _read(folder: Path) -> dict[str, str]:
    """What a backup says of itself. Raises Refused where it is none, or its dump is not the one that was written."""
    try:
        about: dict[str, str] = dict(json.loads((folder / ABOUT).read_bytes()))
        found = _sha256(folder / DUMP)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise Refused("folder", str(folder), f"expected a backup that `tickmark backup` wrote: {error}") from error
    if found != about.get("sha256"):
        raise Refused(
            DUMP,
            found[:16],
            f"expected the dump that was written, {str(about.get('sha256'))[:16]}: it was changed or cut off",
        )
    return about


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(_READ):
            digest.update(part)
    return digest.hexdigest()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _run(program: str, engine: Engine, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on a database.

    A password goes by the environment, where no list of processes shows it.
    """
    url = engine.url.set(drivername="postgresql")
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    target = url.set(password=None).render_as_string(hide_password=False)
    with engine.connect() as connection:
        server = int(connection.scalar(text("show server_version_num"))) // 10_000
    done = subprocess.run(
        [_program(program, server), *arguments, f"--dbname={target}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(program, f"exit {done.returncode}", f"expected it to succeed: {done.stderr.strip()[-500:]}")


def _program(name: str, server: int) -> str:
    """Where a program of PostgreSQL is that knows a server's release. Raises Refused where there is none."""
    for place in filter(None, (shutil.which(name), *embedded.programs(name))):
        told = subprocess.run([place, "--version"], capture_output=True, text=True, check=False).stdout
        release = re.search(r"(\d+)(\.\d+)*", told)
        if release and int(release[1]) >= server:
            return place
    raise Refused(name, "missing", f"expected PostgreSQL's {name} of release {server} or newer on the PATH")
