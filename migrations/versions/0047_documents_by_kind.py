"""Documents of a customer by their type.

Revision ID: 0047
"""

from migrations.scripts import beside

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
