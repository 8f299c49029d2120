"""Whose money lies where.

Revision ID: 0041
"""

from alembic import op

from migrations import whose_money
from migrations.scripts import beside

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_tables, downgrade = beside(__file__)


def upgrade() -> None:
    """Make the table, and say of the money in the books where it lies."""
    _tables()
    whose_money.tell(op.get_bind())
