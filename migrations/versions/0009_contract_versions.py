"""Contract versions.

Revision ID: 0009
"""

from migrations.scripts import beside

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
