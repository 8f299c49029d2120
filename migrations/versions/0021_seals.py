"""Seals: entries in blocks that no change goes unnoticed in, and what they add up to by day.

Revision ID: 0021
"""

from migrations.scripts import beside

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
