"""Seals cover documents and accounts too; what verifications found is kept.

Revision ID: 0029
"""

from migrations.scripts import beside

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
