"""A customer's accounts of a role by index, whatever the planner thinks of how many there are.

Revision ID: 0023
"""

from migrations.scripts import beside

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
