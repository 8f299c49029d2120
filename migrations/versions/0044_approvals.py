"""Approved rules that stand for a second person, and what was undone when a month was closed.

Revision ID: 0044
"""

from migrations.scripts import beside

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
