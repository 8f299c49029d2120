"""Exports that are written in the background.

Revision ID: 0027
"""

from migrations.scripts import beside

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
