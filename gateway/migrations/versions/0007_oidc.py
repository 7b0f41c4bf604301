"""Which identity of an OpenID provider an account is (gateway/accounts/identities.py)."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # By `claim` and `known_as` an account is found once; then `subject`, which a provider never gives to another.
    op.execute("""
        CREATE TABLE identities (
            account_id bigint PRIMARY KEY REFERENCES accounts,
            issuer text NOT NULL,
            claim text NOT NULL CHECK (claim IN ('sub', 'email', 'preferred_username')),
            known_as text NOT NULL,
            subject text,
            created_at timestamptz NOT NULL DEFAULT now(),
            met_at timestamptz,
            UNIQUE (issuer, claim, known_as),
            UNIQUE (issuer, subject),
            CHECK ((subject IS NULL) = (met_at IS NULL))
        )""")
