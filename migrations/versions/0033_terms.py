"""The terms of obligations are kept in editions: all of them anew whenever a document changes any.

Revision ID: 0033
"""

from migrations.scripts import beside

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
