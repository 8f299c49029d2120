"""What other systems call documents.

Revision ID: 0046
"""

from migrations.scripts import beside

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
