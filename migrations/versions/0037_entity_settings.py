"""How long after it was used usage is billed, and in which month what is billed in arrears counts, by entity.

Revision ID: 0037
"""

from migrations.scripts import beside

revision = "0037"
down_revision = "0034"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
