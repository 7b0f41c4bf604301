"""How much of what is promised was kept, as each process of the gateway counted it (gateway/objectives)."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # By minute (span_s 60) for six hours, by hour (3600) for a month; `process` is of one start of one process. What
    # is stored is that process's whole count of the minute or hour, so writing it twice changes nothing.
    op.execute("""
        CREATE TABLE objective_counts (
            span_s int NOT NULL CHECK (span_s IN (60, 3600)),
            at timestamptz NOT NULL,
            process bigint NOT NULL,
            objective text NOT NULL,
            good bigint NOT NULL,
            total bigint NOT NULL CHECK (good BETWEEN 0 AND total),
            PRIMARY KEY (span_s, at, process, objective)
        )""")
