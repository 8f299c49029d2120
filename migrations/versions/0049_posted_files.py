"""How far files are that are posted in runs.

Revision ID: 0049
"""

from migrations.scripts import beside

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
