"""Variable consideration, estimated and estimated again.

Revision ID: 0016
"""

from migrations.scripts import beside

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
