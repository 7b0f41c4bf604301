"""What every window of real activity ought to say: one query a metric, on a table of the events, by SQLite.

Nothing of ours is in it but the names of the metrics; docs/semantics.md has the rules in words. Metrics are left out
which the recordings say nothing of (`success`, scores, requests for help), or which no window closes (how students
stand now); a window of theirs that is told as final is one too many.
"""

import sqlite3
from collections.abc import Iterable, Iterator

from real_activity import Happened

Window = tuple[str, str, str, int]  # scope, metric, label, start (epoch ms)

_EVENTS = """
CREATE TABLE event (
    event_id TEXT, student TEXT, course TEXT, team TEXT, kind TEXT, task TEXT, at_ms INTEGER, received_ms INTEGER
)
"""

_SCOPES = """
-- The scopes that the events of a student in a course and team belong to.
CREATE TABLE membership AS
    WITH place AS (SELECT DISTINCT student, course, team FROM event)
    SELECT 'student:' || student AS scope, * FROM place
    UNION ALL SELECT 'team:' || course || '/' || team, * FROM place WHERE team <> ''
    UNION ALL SELECT 'course:' || course, * FROM place
    UNION ALL SELECT 'school:all', * FROM place;
-- How often which student was in a scope, minute by minute.
CREATE TABLE attended AS
    WITH minute AS (
        SELECT student, course, team, kind, at_ms / 60000 * 60000 AS minute_ms, count(*) AS events
        FROM event GROUP BY 1, 2, 3, 4, 5
    )
    SELECT scope, student, kind, minute_ms, events FROM minute JOIN membership USING (student, course, team);
CREATE TABLE final (metric TEXT, scope TEXT, label TEXT, start_ms INTEGER, value, n INTEGER);
"""

_SESSIONS = """
    -- A session: panes of 10 s with no more than 30 min between them. It counts on the day it begins on.
    WITH pane AS (SELECT DISTINCT student, at_ms / 10000 * 10000 AS at_ms FROM event),
    step AS (SELECT *, at_ms - lag(at_ms) OVER (PARTITION BY student ORDER BY at_ms) AS gap_ms FROM pane),
    numbered AS (
        SELECT *, sum(gap_ms IS NULL OR gap_ms > 1800000) OVER (PARTITION BY student ORDER BY at_ms) AS number FROM step
    ),
    session AS (
        SELECT student, min(at_ms) / 86400000 * 86400000 AS day_ms,
            sum(CASE WHEN gap_ms <= 1800000 THEN min(gap_ms, 300000) ELSE 0 END) AS active_ms
        FROM numbered GROUP BY student, number
    ),
    day AS (SELECT DISTINCT student, at_ms / 86400000 * 86400000 AS day_ms FROM event),
    whole AS (
        SELECT 'student:' || student AS scope, day_ms, count(active_ms) AS sessions, total(active_ms) AS active_ms
        FROM day LEFT JOIN session USING (student, day_ms) GROUP BY student, day_ms
    )
"""

# scope, label, start of the window, value, n
QUERIES = {
    "events_per_minute": """
        SELECT scope, '', minute_ms, sum(events), sum(events) FROM attended GROUP BY scope, minute_ms
    """,
    # Windows of 5 min that end on each minute: a minute is in five of them.
    "active_students": """
        SELECT scope, '', minute_ms - back * 60000 AS start_ms, count(DISTINCT student), sum(events)
        FROM (SELECT scope, student, minute_ms, sum(events) AS events FROM attended GROUP BY 1, 2, 3),
            (SELECT 0 AS back UNION VALUES (1), (2), (3), (4))
        GROUP BY scope, start_ms
    """,
    "events_per_hour": """
        SELECT scope, '', minute_ms / 3600000 * 3600000 AS start_ms, sum(events), sum(events)
        FROM attended WHERE scope NOT LIKE 'student:%' GROUP BY scope, start_ms
    """,
    "active_students_hour": """
        SELECT scope, '', minute_ms / 3600000 * 3600000 AS start_ms, count(DISTINCT student), sum(events)
        FROM attended WHERE scope NOT LIKE 'student:%' GROUP BY scope, start_ms
    """,
    # The nearest rank; told is the bucket's upper bound. The buckets are 250 ms, 500 ms, 1 s and so on.
    "ingest_delay_p95": """
        WITH RECURSIVE bucket(ms) AS (VALUES (250) UNION ALL SELECT ms * 2 FROM bucket WHERE ms < 8192000),
        ranked AS (
            SELECT at_ms / 3600000 * 3600000 AS start_ms, received_ms - at_ms AS delay_ms,
                row_number() OVER (PARTITION BY at_ms / 3600000 ORDER BY received_ms - at_ms) AS rank,
                count(*) OVER (PARTITION BY at_ms / 3600000) AS events
            FROM event
        )
        SELECT 'school:all', '', start_ms, (SELECT min(ms) FROM bucket WHERE ms >= delay_ms) / 1000.0, events
        FROM ranked WHERE rank = (events * 95 + 99) / 100
    """,
    "events_per_day": """
        SELECT scope, '', minute_ms / 86400000 * 86400000 AS start_ms, sum(events), sum(events)
        FROM attended GROUP BY scope, start_ms
    """,
    "active_students_day": """
        SELECT scope, '', minute_ms / 86400000 * 86400000 AS start_ms, count(DISTINCT student), sum(events)
        FROM attended GROUP BY scope, start_ms
    """,
    "events_by_kind": """
        SELECT scope, kind, minute_ms / 86400000 * 86400000 AS start_ms, sum(events), sum(events)
        FROM attended GROUP BY scope, kind, start_ms
    """,
    # Nobody is recorded to have completed a task; the students of the day are counted all the same.
    "task_progress": """
        SELECT scope, quartile, minute_ms / 86400000 * 86400000 AS start_ms, 0, count(DISTINCT student)
        FROM attended, (SELECT 'q1' AS quartile UNION VALUES ('median'), ('q3'))
        WHERE scope NOT LIKE 'student:%' OR quartile = 'median' GROUP BY scope, quartile, start_ms
    """,
    # Gaps between the panes of a student at a task on a day; n is the day's events where no task was tried.
    "time_on_task_s": """
        WITH pane AS (
            SELECT DISTINCT student, course, team, task, at_ms / 10000 * 10000 AS at_ms FROM event
            WHERE task IS NOT NULL
        ),
        step AS (
            SELECT student, course, team, at_ms / 86400000 * 86400000 AS day_ms, at_ms - lag(at_ms) OVER (
                PARTITION BY student, course, team, task, at_ms / 86400000 ORDER BY at_ms
            ) AS gap_ms FROM pane
        ),
        whole AS (
            SELECT scope, day_ms, sum(min(gap_ms, 300000)) AS at_it_ms
            FROM step JOIN membership USING (student, course, team) WHERE gap_ms <= 1800000 GROUP BY scope, day_ms
        ),
        day AS (
            SELECT scope, minute_ms / 86400000 * 86400000 AS day_ms, sum(events) AS events FROM attended GROUP BY 1, 2
        )
        SELECT scope, '', day_ms, at_it_ms / 1000.0, events FROM whole JOIN day USING (scope, day_ms)
    """,
    # 1 - Gini * n / (n - 1), the Gini coefficient by the differences of all pairs, in one division.
    "participation_balance": """
        WITH member AS (
            SELECT scope, minute_ms / 86400000 * 86400000 AS day_ms, student, sum(events) AS events
            FROM attended WHERE scope LIKE 'team:%' GROUP BY 1, 2, 3
        ),
        whole AS (
            SELECT scope, day_ms, count(*) AS n, (count(*) - 1) * sum(events) AS most
            FROM member GROUP BY 1, 2 HAVING count(*) > 1
        ),
        pair AS (
            SELECT one.scope, one.day_ms, sum(abs(one.events - other.events)) AS differences
            FROM member one JOIN member other USING (scope, day_ms) WHERE one.student < other.student GROUP BY 1, 2
        )
        SELECT scope, '', day_ms, CAST(most - differences AS REAL) / most, n FROM whole JOIN pair USING (scope, day_ms)
    """,
    "sessions": _SESSIONS + "SELECT scope, '', day_ms, sessions, sessions FROM whole",
    "active_s": _SESSIONS + "SELECT scope, '', day_ms, active_ms / 1000.0, sessions FROM whole",
}


class Truth:
    """Each window with its value and n."""

    def __init__(self, happened: Iterable[Happened]) -> None:
        """Takes some ten seconds for 350,000 events; meant to be called in a thread."""
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.execute(_EVENTS)
        rows = (one._replace(team_id=one.team_id or "") for one in happened)
        self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.executescript(_SCOPES)
        for metric, query in QUERIES.items():
            self._db.execute(f"INSERT INTO final SELECT ?, * FROM ({query})", [metric])
        (self._number,) = self._db.execute("SELECT count(*) FROM final").fetchone()

    def __len__(self) -> int:
        return int(self._number)

    def __iter__(self) -> Iterator[tuple[Window, float, int]]:
        for metric, scope, label, start_ms, value, n in self._db.execute("SELECT * FROM final"):
            yield (scope, metric, label, start_ms), value, n

    def close(self) -> None:
        self._db.close()
