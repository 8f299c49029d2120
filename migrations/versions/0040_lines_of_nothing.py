"""Lines of invoices that bill nothing.

Revision ID: 0040
"""

from migrations.scripts import beside

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
