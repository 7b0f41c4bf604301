"""Real activity through every real component: 22,000 xAPI statements of a MOOC, posted through the HTTP door, twice.

Every metric and window is compared in tests/integration/test_golden_windows.py; here it is what lies in the stores. The
truth is counted here from the file, by code that shares nothing with the project.
"""

import csv
import gzip
import io
import itertools
import json
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis
from running import PROJECT, RunningStack

STATEMENTS = PROJECT.parent / "shared" / "data" / "fun-mooc" / "statements.json.gz"

KIND_OF_VERB = {
    "https://w3id.org/xapi/video/verbs/played": "video_played",
    "https://w3id.org/xapi/video/verbs/paused": "video_paused",
    "https://w3id.org/xapi/video/verbs/seeked": "video_seeked",
    "http://adlnet.gov/expapi/verbs/interacted": "content_interacted",
    "http://adlnet.gov/expapi/verbs/initialized": "video_loaded",
    "http://adlnet.gov/expapi/verbs/completed": "video_completed",
    "http://adlnet.gov/expapi/verbs/terminated": "video_closed",
    "http://id.tincanapi.com/verb/downloaded": "resource_downloaded",
}

Counts = Counter[tuple[str, str, str]]  # (scope, UTC day, kind) → events


def truth(path: Path) -> Counts:
    """Counts per student, per course and of the school."""
    counts: Counts = Counter()
    with gzip.open(path, "rt") as lines:
        for line in lines:
            statement = json.loads(line)
            day = datetime.fromisoformat(statement["timestamp"]).astimezone(UTC).date().isoformat()
            kind = KIND_OF_VERB[statement["verb"]["id"]]
            course = statement["context"]["contextActivities"]["parent"][0]["id"]
            counts[f"student:{statement['actor']['account']['name']}", day, kind] += 1
            counts[f"course:{course}", day, kind] += 1
            counts["school:all", day, kind] += 1
    return counts


def in_influx(stack: RunningStack) -> Counts:
    """Every daily count, asked with a query of our own."""
    bucket = stack.environment("CLASSPULSE_INFLUX_BUCKET")
    flux = f"""from(bucket: "{bucket}") |> range(start: 2021-01-01T00:00:00Z, stop: 2022-01-01T00:00:00Z)
        |> filter(fn: (r) => r._measurement == "events_by_kind" and r._field == "value") |> group()
        |> keep(columns: ["_time", "_value", "scope", "label"])"""
    request = urllib.request.Request(
        f"{stack.environment('CLASSPULSE_INFLUX_URL')}/api/v2/query?org={stack.environment('CLASSPULSE_INFLUX_ORG')}",
        data=flux.encode(),
        headers={
            "Authorization": f"Token {stack.environment('CLASSPULSE_INFLUX_TOKEN')}",
            "Content-Type": "application/vnd.flux",
            "Accept": "application/csv",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        rows = csv.DictReader(io.StringIO(answer.read().decode().strip()))
        return Counter({(row["scope"], row["_time"][:10], row["label"]): int(float(row["_value"])) for row in rows})


async def in_postgres(stack: RunningStack) -> Counts:
    """The same, where there is no InfluxDB."""
    connection = await asyncpg.connect(stack.environment("CLASSPULSE_POSTGRES_URL"))
    try:
        rows = await connection.fetch("SELECT * FROM history_points WHERE metric = 'events_by_kind'")
    finally:
        await connection.close()
    days = [datetime.fromtimestamp(row["start_ms"] / 1000, UTC).date().isoformat() for row in rows]
    return Counter({(row["scope"], day, row["label"]): int(row["value"]) for row, day in zip(rows, days, strict=True)})


async def in_redis(stack: RunningStack) -> Counts:
    """Every daily count, read from the keys as they lie there."""
    counts: Counts = Counter()
    async with redis.from_url(stack.environment("CLASSPULSE_REDIS_URL"), decode_responses=True) as client:
        keys = sorted({key async for key in client.scan_iter(match="classpulse:{*}:day:*", count=1000)})
        async with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            hashes = await pipeline.execute()
    for key, points in zip(keys, hashes, strict=True):
        scope, _, day = key.removeprefix("classpulse:{").rpartition("}:day:")
        for field, point in points.items():
            metric, _, kind = str(field).partition(":")
            if metric == "events_by_kind":
                counts[scope, day, kind] = int(json.loads(point)["value"])
    return counts


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("transport", "number", "times"), [("batch", 22_000, 2), ("stock", 4_000, 1)])
async def test_counts_per_verb_day_and_student_are_exact_and_stay_so_when_the_file_is_sent_again(
    own_stack: RunningStack, transport: str, number: int, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stack of its own: what happened in 2021 is late where anything of today has been told. Faust's own transport,
    which takes its time, gets fewer of the statements."""
    if not STATEMENTS.exists():
        pytest.skip("the statements are not part of the project; they are expected in ../shared/data")
    statements = tmp_path / "statements.json.gz"
    with gzip.open(STATEMENTS) as all_of_them, gzip.open(statements, "wb") as some:
        some.writelines(itertools.islice(all_of_them, number))
    expected = truth(statements)
    assert sum(counted for (scope, _, _), counted in expected.items() if scope.startswith("student:")) == number
    monkeypatch.setenv("CLASSPULSE_TRANSPORT", transport)
    own_stack.run("up", "--empty", "--detach", timeout_s=180)
    influx = own_stack.environment("CLASSPULSE_INFLUX_URL")

    for _ in range(times):
        own_stack.run(
            "replay", str(statements), "--url", own_stack.dashboard, "--key-file", str(own_stack.key_file),
            timeout_s=240,
        )  # fmt: skip
        await own_stack.drained(within_s=240)
        assert await in_redis(own_stack) == expected
        assert (in_influx(own_stack) if influx else await in_postgres(own_stack)) == expected
