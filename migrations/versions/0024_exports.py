"""Exports that are kept, so that nothing goes out twice.

Revision ID: 0024
"""

from migrations.scripts import beside

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
