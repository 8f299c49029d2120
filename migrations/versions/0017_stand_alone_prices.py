"""A catalogue of stand-alone selling prices.

Revision ID: 0017
"""

from migrations.scripts import beside

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
