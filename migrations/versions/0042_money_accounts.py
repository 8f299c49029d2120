"""Accounts of money, and what moves between them.

Revision ID: 0042
"""

from migrations.scripts import beside

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
