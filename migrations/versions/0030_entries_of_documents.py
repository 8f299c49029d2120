"""A document says how many entries it posted.

Revision ID: 0030
"""

from migrations.scripts import beside

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
