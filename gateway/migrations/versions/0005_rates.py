"""How many events a key may send, where it is not as many as any other."""

from alembic import op

revision = "0005"
down_revision = "0004"

_ONE = "[1-9][0-9]{0,9}/(second|minute|hour|day)"


def upgrade() -> None:
    op.execute(f"ALTER TABLE api_keys ADD COLUMN rate text CHECK (rate ~ '^{_ONE}(;{_ONE})*$')")
