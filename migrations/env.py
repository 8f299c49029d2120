"""How Alembic reaches the database: on the connection that `ledger.database.connect.upgrade` hands over."""

from alembic import context

from ledger.database.schema.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
