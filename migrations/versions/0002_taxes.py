"""Taxes: codes, statuses and the tax of every line.

Revision ID: 0002
"""

from migrations.scripts import beside

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
