"""Keys of the API and the pages, and answers to repeated requests.

Revision ID: 0026
"""

from migrations.scripts import beside

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

upgrade, downgrade = beside(__file__)
