"""The first tables: API keys, the roster, and the history where there is no InfluxDB."""

from alembic import op

from wire import history

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE api_keys (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text NOT NULL,
            digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
            prefix text NOT NULL,
            courses text[],
            created_at timestamptz NOT NULL DEFAULT now(),
            revoked_at timestamptz
        )""")
    # A revoked key's row stays, so that its name in old events can be explained; the name itself may be given again.
    op.execute("CREATE UNIQUE INDEX api_keys_live_name ON api_keys (name) WHERE revoked_at IS NULL")
    op.execute("CREATE TABLE courses (course_id text PRIMARY KEY, name text NOT NULL)")
    op.execute("""
        CREATE TABLE teams (
            course_id text NOT NULL REFERENCES courses,
            team_id text NOT NULL,
            name text NOT NULL,
            PRIMARY KEY (course_id, team_id)
        )""")
    op.execute("CREATE TABLE students (student_id text PRIMARY KEY, name text NOT NULL)")
    op.execute("""
        CREATE TABLE enrolments (
            course_id text NOT NULL REFERENCES courses,
            student_id text NOT NULL REFERENCES students,
            team_id text,
            PRIMARY KEY (course_id, student_id),
            FOREIGN KEY (course_id, team_id) REFERENCES teams
        )""")
    op.execute(f"""
        CREATE TABLE {history.TABLE} (
            scope text NOT NULL,
            metric text NOT NULL,
            label text NOT NULL DEFAULT '',
            start_ms bigint NOT NULL,
            window_s integer NOT NULL,
            value double precision NOT NULL,
            n bigint NOT NULL,
            as_of_ms bigint NOT NULL,
            PRIMARY KEY (scope, metric, label, start_ms)
        )""")
