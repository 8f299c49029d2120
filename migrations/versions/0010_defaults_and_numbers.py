"""Default taxes, invoice numbers and alerts.

Revision ID: 0010
"""

from migrations.scripts import beside

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
