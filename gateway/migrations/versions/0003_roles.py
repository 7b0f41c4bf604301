"""What a key is for: events, or looking after what became of them."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE api_keys
            ADD COLUMN role text NOT NULL DEFAULT 'producer' CHECK (role IN ('producer', 'admin'))""")
