"""Manual entries.

Revision ID: 0007
"""

from migrations.scripts import beside

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
