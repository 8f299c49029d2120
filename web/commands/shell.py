"""What every command needs: who posts, and how a refusal is shown."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ledger.errors import ProblemList, Refused

REFUSED = 1  # exit code: refused, or something differs
NOT_ALLOWED = "42501"  # PostgreSQL: insufficient_privilege


def author() -> str:
    """Who posts from this command line: TICKMARK_USER, else the login name."""
    given = os.environ.get("TICKMARK_USER")
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def refusals() -> Iterator[None]:
    """Show a refusal on standard error, a line for each thing that is wrong, and exit with 1."""
    try:
        yield
    except ProblemList as several:
        for problem in several.problems:
            click.echo(f"refused: {problem}", err=True)
        raise SystemExit(REFUSED) from None
    except Refused as refusal:
        click.echo(f"refused: {refusal}", err=True)
        raise SystemExit(REFUSED) from None
    except Exception as error:
        if getattr(getattr(error, "orig", None), "sqlstate", None) != NOT_ALLOWED:
            raise
        click.echo(
            "refused: database: this login may not do that: expected one of the application, not of an auditor",
            err=True,
        )
        raise SystemExit(REFUSED) from None
