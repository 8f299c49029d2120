"""The command line: `tickmark`."""

from __future__ import annotations

import logging
import signal
import sys

import click

from web.commands import exports, posting, serving, showing, upkeep
from web.commands.shell import refusals


class _Commands(click.Group):
    """Commands none of which ends in a trace of the code for what is wrong outside of it."""

    def invoke(self, ctx: click.Context) -> object:
        """Run one of them."""
        with refusals():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tickmark")
def main() -> None:
    """Double-entry books under usage-based billing: every dollar traces to its source.

    The database is the one TICKMARK_DATABASE_URL names, else an embedded PostgreSQL in the folder TICKMARK_DATA
    (tickmark-data in the current folder).
    """
    # What the driver can't do with a connection that is lost is told once, by the refusal.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    # A plain kill must stop the embedded server too, which happens at exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


for command in (
    posting.post, posting.usage, posting.recognize, posting.revalue, posting.rates, posting.close, posting.reopen, posting.periods,
    showing.report, showing.trace, showing.invoice, showing.print_, showing.rules, exports.export, exports.connect,
    upkeep.verify, upkeep.seal, upkeep.notify, upkeep.erase, upkeep.backup, upkeep.restore, upkeep.db, serving.serve, serving.key, serving.link, serving.demo,
):  # fmt: skip
    main.add_command(command)
