"""${message}

Revision ID: ${up_revision}
"""

from migrations.scripts import beside

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

upgrade, downgrade = beside(__file__)
