"""Exports sent to the systems they are for, each object once.

Revision ID: 0025
"""

from migrations.scripts import beside

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
