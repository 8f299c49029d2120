"""The books from an empty database, a file a subject: migrations/books, in this order.

51 revisions made the same before, object by object; books of the last of them, 0053, have this schema and go on from here.

Revision ID: 0053
"""

from pathlib import Path

import migrations
from migrations.scripts import no_way_back, run

revision = "0053"
down_revision = None
branch_labels = None
depends_on = None

SUBJECTS = (
    "history",
    "parties",
    "documents",
    "journal",
    "wallets",
    "usage",
    "invoices",
    "payments",
    "contracts",
    "proof",
    "exports",
    "access",
)

downgrade = no_way_back


def upgrade() -> None:
    """Make all of it, or nothing."""
    books = Path(migrations.__file__).with_name("books")
    run(*(books / f"{subject}.sql" for subject in SUBJECTS))
