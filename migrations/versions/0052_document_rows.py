"""Documents' rows, logged as those of other tables are.

Revision ID: 0052
"""

from migrations.scripts import beside

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
