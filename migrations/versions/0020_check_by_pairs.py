"""The check of what arrives: each pair of accounts once, by their keys.

Revision ID: 0020
"""

from migrations.scripts import beside

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
