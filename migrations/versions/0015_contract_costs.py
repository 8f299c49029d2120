"""Costs to obtain a contract, and progress that is estimated anew.

Revision ID: 0015
"""

from migrations.scripts import beside

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
