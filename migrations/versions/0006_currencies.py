"""Exchange rates.

Revision ID: 0006
"""

from migrations.scripts import beside

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
