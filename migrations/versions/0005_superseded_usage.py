"""Usage that a later document replaces.

Revision ID: 0005
"""

from migrations.scripts import beside

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
