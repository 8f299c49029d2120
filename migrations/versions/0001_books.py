"""The books: documents, accounts, the journal, wallets, receivables and contracts.

Revision ID: 0001
"""

from migrations.scripts import beside

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
