"""The command line: `tickmark`."""

from __future__ import annotations

import signal
import sys

import click

from web.commands import exports, posting, serving, showing, upkeep


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tickmark")
def main() -> None:
    """Double-entry books under usage-based billing: every dollar traces to its source.

    The database is the one TICKMARK_DATABASE_URL names, else an embedded PostgreSQL in the folder TICKMARK_DATA
    (tickmark-data in the current folder).
    """
    # A plain kill must stop the embedded server too, which happens at exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


for command in (
    posting.post, posting.usage, posting.recognize, posting.revalue, posting.rates, posting.close, posting.reopen, posting.periods,
    showing.report, showing.trace, showing.invoice, showing.print_, showing.rules, exports.export, exports.connect,
    upkeep.verify, upkeep.seal, upkeep.notify, upkeep.erase, upkeep.backup, upkeep.restore, upkeep.db, serving.serve, serving.key, serving.link, serving.demo,
):  # fmt: skip
    main.add_command(command)
