"""What every command needs: who posts, and how a refusal is shown."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ledger.errors import ProblemList, Refused

REFUSED = 1  # exit code: refused, or something differs
# What is committed was posted, even if the answer is lost on its way; so is nothing else.
_NOTHING = "nothing was posted that was not told as posted; the same command again posts nothing twice"
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
        said = _told(error)
        if said is None:
            raise
        click.echo(f"refused: {said}", err=True)
        raise SystemExit(REFUSED) from None


def _told(error: Exception) -> str | None:
    """What an error says to who gave a command, where it is none of the code's: of the login, the database, a file."""
    from ledger.database import connect, embedded

    if getattr(getattr(error, "orig", None), "sqlstate", None) == NOT_ALLOWED:
        return "database: this login may not do that: expected one of the application, not of an auditor"
    failed = connect.failure(error)
    if failed is not None:
        ended = None if os.environ.get("TICKMARK_DATABASE_URL") else embedded.ended(embedded.data_folder())
        return f"database: {failed}{f' (its log says: {ended})' if ended else ''}: {_NOTHING}"
    cause: BaseException | None = error
    while cause is not None:  # libraries wrap what they could not write
        if isinstance(cause, OSError) and cause.errno is not None:
            return f"{cause.filename or 'a file'}: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return None
