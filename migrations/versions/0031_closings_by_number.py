"""Which entries were there when a month was closed is told by their numbers.

Revision ID: 0031
"""

from migrations.scripts import beside

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
