"""Coupons, and receivables recorded once they are unconditional.

Revision ID: 0011
"""

from migrations.scripts import beside

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
