"""Invoices over several entities.

Revision ID: 0014
"""

from migrations.scripts import beside

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
