"""Personal fields of documents, beside history, so that they can be erased.

Revision ID: 0028
"""

from migrations.scripts import beside

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
