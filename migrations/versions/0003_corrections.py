"""Corrections of invoices: voids, credit notes, refunds, disputes and write-offs.

Revision ID: 0003
"""

from migrations.scripts import beside

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
