"""When service counts that only an invoice tells of.

Revision ID: 0038
"""

from migrations.scripts import beside

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
