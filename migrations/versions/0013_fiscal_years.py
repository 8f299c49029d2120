"""Fiscal years.

Revision ID: 0013
"""

from migrations.scripts import beside

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
