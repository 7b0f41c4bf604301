"""Run by Alembic, in the transaction of `gateway/schema.py`, which hands its connection over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
