"""Free credits that share the price of a contract.

Revision ID: 0018
"""

from migrations.scripts import beside

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
