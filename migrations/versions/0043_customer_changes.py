"""Customers change from a day on; their terms and whom they belong to.

Revision ID: 0043
"""

from migrations.scripts import beside

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
