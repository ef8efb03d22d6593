"""alembic's environment: it runs on the connection, and in the transaction, that lmflow.db.migrations hands over."""

from alembic import context

from lmflow.db import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=context.config.attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
