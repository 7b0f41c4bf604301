"""Statements of xAPI as they came, for whoever asks for them (gateway/statements)."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # `seq` and `stored` grow together, in the order of commits: whoever writes holds a lock. `body` lacks `stored`, and
    # `timestamp` where none came (`happened_us` is null): both are put in when it is read.
    op.execute("""
        CREATE TABLE statements (
            seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id uuid NOT NULL UNIQUE,
            stored timestamptz NOT NULL,
            source text NOT NULL,
            happened_us bigint,
            digest bytea NOT NULL CHECK (octet_length(digest) = 32),
            refers uuid,
            voids boolean NOT NULL,
            body bytea NOT NULL
        )""")
    op.execute("CREATE INDEX statements_stored ON statements (stored, seq)")
    op.execute("CREATE INDEX statements_refers ON statements (refers) WHERE refers IS NOT NULL")
    # They are few, and asked of every statement that is read.
    op.execute("CREATE INDEX statements_voiding ON statements (refers, source) WHERE voids")
    # What filters find it by, hashed: one index serves them all, in the order in which they answer.
    op.execute("""
        CREATE TABLE statement_facets (
            facet bytea NOT NULL CHECK (octet_length(facet) = 16),
            seq bigint NOT NULL,
            PRIMARY KEY (facet, seq)
        )""")
    op.execute("CREATE INDEX statement_facets_seq ON statement_facets (seq)")
    op.execute("""
        CREATE TABLE statement_students (
            student_id text NOT NULL,
            seq bigint NOT NULL,
            PRIMARY KEY (student_id, seq)
        )""")
    op.execute("CREATE INDEX statement_students_seq ON statement_students (seq)")
    op.execute("""
        CREATE FUNCTION statements_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('classpulse.erasing', true) = 'on' THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION '% only grows, but where a student is erased: % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'integrity_constraint_violation';
        END $$""")
    op.execute("""
        CREATE TRIGGER statements_only_grow BEFORE UPDATE OR DELETE OR TRUNCATE ON statements
        FOR EACH STATEMENT EXECUTE FUNCTION statements_refuse()""")
