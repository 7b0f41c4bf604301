"""How final each window of the history is, and up to which watermark it was told."""

from alembic import op

from wire import history

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # What lies there already was told before there were states. Constant defaults: no row is rewritten.
    op.execute(f"""
        ALTER TABLE {history.TABLE}
            ADD COLUMN state text NOT NULL DEFAULT 'provisional',
            ADD COLUMN watermark_ms bigint NOT NULL DEFAULT 0""")
