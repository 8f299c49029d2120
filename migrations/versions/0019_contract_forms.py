"""Contracts combined, renewed and terminated; milestones; financing; what is expected back.

Revision ID: 0019
"""

from migrations.scripts import beside

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
