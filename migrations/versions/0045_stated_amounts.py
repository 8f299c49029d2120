"""Taxes and amounts that another system worked out, and credits of no line of an invoice.

Revision ID: 0045
"""

from migrations.scripts import beside

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
