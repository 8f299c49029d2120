"""Deliveries of alerts to a webhook.

Revision ID: 0012
"""

from migrations.scripts import beside

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
