"""Wallets.

Revision ID: 0008
"""

from migrations.scripts import beside

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
