"""Usage that falls, credits that go with their bill, and breakage estimated anew.

Revision ID: 0034
"""

from migrations.scripts import beside

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
