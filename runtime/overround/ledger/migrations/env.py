"""What Alembic runs: on the connection it is given, or as SQL text with ``--sql``."""

from alembic import context

from overround.ledger.schema import METADATA

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name=context.config.get_main_option("dialect", "postgresql"),
        target_metadata=METADATA,
        literal_binds=True,
    )
else:
    context.configure(connection=connection, target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
