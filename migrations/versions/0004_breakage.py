"""Breakage recognised with use, and invoices that replace others.

Revision ID: 0004
"""

from migrations.scripts import beside

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
