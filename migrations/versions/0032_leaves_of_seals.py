"""The leaves of each block are kept.

Revision ID: 0032
"""

from migrations.scripts import beside

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
