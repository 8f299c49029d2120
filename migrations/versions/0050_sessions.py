"""Sessions of the pages.

Revision ID: 0050
"""

from migrations.scripts import beside

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
