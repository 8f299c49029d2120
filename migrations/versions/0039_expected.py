"""What of bills is still expected to be given back.

Revision ID: 0039
"""

from migrations.scripts import beside

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
