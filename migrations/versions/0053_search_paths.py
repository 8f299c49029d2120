"""Triggers, and what runs as its owner, find the books' own tables, whatever temporary ones a session makes.

Revision ID: 0053
"""

from migrations.scripts import beside

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
