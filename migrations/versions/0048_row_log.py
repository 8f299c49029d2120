"""What was written to each table that figures stand on, kept row by row and sealed.

Revision ID: 0048
"""

from migrations.scripts import beside

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
