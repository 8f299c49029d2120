"""A customer's accounts of a role by index, whatever the planner thinks of how many there are.

Revision ID: 0023
"""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the schema beside this file, which is written to be read by whoever audits the database."""
    # Through the driver's own cursor: with no parameters, it takes a script of many statements and leaves % alone.
    op.get_bind().connection.cursor().execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Posted history has no way back: restore a backup instead."""
    raise NotImplementedError("posted history has no way back: restore a backup instead")
