"""What limits count, shared by the processes that serve.

Revision ID: 0051
"""

from migrations.scripts import beside

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
