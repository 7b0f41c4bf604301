"""Which consumer group is paused, by whom and why (gateway/orders/book.py)."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE pauses (
            consumer_group text PRIMARY KEY,
            paused_by text NOT NULL,
            reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
            since timestamptz NOT NULL,
            until timestamptz NOT NULL CHECK (until > since)
        )""")
