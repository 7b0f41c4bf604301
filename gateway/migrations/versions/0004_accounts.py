"""People who log in, their sessions, the keys that sign their tokens, and the audit log."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE accounts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            username text NOT NULL UNIQUE,
            display_name text NOT NULL,
            password text NOT NULL,
            role text NOT NULL CHECK (role IN ('viewer', 'teacher', 'admin', 'sre', 'student')),
            student_id text,
            created_at timestamptz NOT NULL DEFAULT now(),
            revoked_at timestamptz,
            CHECK ((role = 'student') = (student_id IS NOT NULL))
        )""")
    op.execute("""
        CREATE TABLE grants (
            account_id bigint NOT NULL REFERENCES accounts,
            course_id text NOT NULL,
            team_id text NOT NULL DEFAULT '',
            PRIMARY KEY (account_id, course_id, team_id)
        )""")
    op.execute("""
        CREATE TABLE sessions (
            id uuid PRIMARY KEY,
            account_id bigint NOT NULL REFERENCES accounts,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz
        )""")
    op.execute("CREATE INDEX sessions_account ON sessions (account_id)")
    op.execute("CREATE INDEX sessions_expiry ON sessions (expires_at)")
    op.execute("""
        CREATE TABLE refresh_tokens (
            digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
            session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
            created_at timestamptz NOT NULL DEFAULT now(),
            used_at timestamptz
        )""")
    op.execute("CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id)")
    # The private half is nowhere: it is derived from the gateway's secret and `kid`.
    op.execute("""
        CREATE TABLE signing_keys (
            kid text PRIMARY KEY,
            public text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            retired_at timestamptz
        )""")
    op.execute("""
        CREATE TABLE audit_log (
            seq bigint PRIMARY KEY,
            at timestamptz NOT NULL,
            who text NOT NULL,
            what text NOT NULL,
            whom text NOT NULL,
            origin text NOT NULL,
            result text NOT NULL,
            detail text NOT NULL,
            hash bytea NOT NULL CHECK (octet_length(hash) = 32)
        )""")
    # One row: what the log ends with. It is also the lock by which writers follow each other.
    op.execute(
        "CREATE TABLE audit_head (one boolean PRIMARY KEY CHECK (one), seq bigint NOT NULL, hash bytea NOT NULL)"
    )
    op.execute("INSERT INTO audit_head VALUES (true, 0, decode(repeat('00', 32), 'hex'))")
    op.execute("""
        CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% only grows: % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'integrity_constraint_violation';
        END $$""")
    op.execute("""
        CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""")
    op.execute("""
        CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""")
    op.execute("""
        CREATE TRIGGER audit_head_only_grows BEFORE UPDATE ON audit_head
        FOR EACH ROW WHEN (NEW.seq <= OLD.seq) EXECUTE FUNCTION audit_refuse()""")
