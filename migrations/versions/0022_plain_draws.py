"""Plain draws on one wallet, in one statement.

Revision ID: 0022
"""

from migrations.scripts import beside

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
