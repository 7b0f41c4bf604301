"""GET /api/v1/history/{scope}, out of InfluxDB and out of its stand-in."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
import served

from gateway import schema
from gateway.history import endpoint
from gateway.settings import GatewaySettings
from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.history.store import HistoryStore, Row
from wire.metrics import WINDOW_S, Metric, MetricPoint, State

T0 = datetime(2026, 1, 15, 0, 30, tzinfo=UTC)
T0_MS = int(T0.timestamp() * 1000)

# Everything that means something to Flux, SQL, line protocol or a URL.
NASTY = [
    's"1',
    "s'1",
    "s 1,b=c",
    "s\\1",
    '") |> drop() //',
    "'; DROP TABLE history_points; --",
    "${scope}",
    "学生/一?&#%",
]


def point(metric: Metric, start_ms: int, value: float, label: str = "") -> MetricPoint:
    return MetricPoint(
        metric=metric,
        label=label,
        window_s=WINDOW_S[metric],
        start_ms=start_ms,
        value=value,
        n=int(value),
        as_of_ms=start_ms + 1_234,
    )


def minutes(*values: float, metric: Metric = Metric.EVENTS_PER_MINUTE) -> list[MetricPoint]:
    return [point(metric, T0_MS + 60_000 * number, value) for number, value in enumerate(values)]


@pytest.fixture(params=["influxdb", "postgresql"])
async def store(request: pytest.FixtureRequest) -> tuple[GatewaySettings, HistoryStore]:
    """How the gateway reads a store, and how `pipelines/history` writes it."""
    if request.param == "influxdb":
        url, token, org, name = request.getfixturevalue("influx_bucket")
        read = served.settings(influx_url=url, influx_token=token, influx_org=org, influx_bucket=name)
        return read, InfluxStore(url, token, org, name)
    url = request.getfixturevalue("postgres_url")
    await schema.migrate(url)
    return served.settings(postgres_url=url), PostgresStore(url)


async def write(store: HistoryStore, rows: Sequence[Row]) -> None:
    try:
        await store.write(rows)
    finally:
        await store.close()


async def ask(client: httpx.AsyncClient, scope: str, **parameters: Any) -> dict[str, Any]:
    parameters = {"metric": "events_per_minute"} | {name.rstrip("_"): value for name, value in parameters.items()}
    answer = await client.get(f"/api/v1/history/{quote(scope, safe='')}", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_windows_of_a_span_by_time(store: tuple[GatewaySettings, HistoryStore]) -> None:
    settings, writer = store
    mine = [("course:py101", each) for each in reversed(minutes(1, 2, 3, 4))]
    others = [("course:py102", each) for each in minutes(9, 9)]
    others += [("course:py101", each) for each in minutes(7, 7, metric=Metric.ACTIVE_STUDENTS)]
    await write(writer, [*mine, *others])
    async with served.gateway(settings) as client:
        said = await ask(client, "course:py101", from_="2026-01-15T09:31:00+09:00", to="2026-01-15T00:33:00Z")
    assert said == {
        "scope": "course:py101",
        "metric": "events_per_minute",
        "label": "",
        "store": "influxdb" if settings.influx_url else "postgresql",
        "points": [
            {
                "start": f"2026-01-15T00:{minute}:00Z",
                "end": f"2026-01-15T00:{minute + 1}:00Z",
                "value": minute - 29,
                "n": minute - 29,
                "as_of": f"2026-01-15T00:{minute}:01.234000Z",
                "state": "provisional",
                "watermark": None,
            }
            for minute in (31, 32)
        ],
    }


async def test_each_value_says_its_state_and_its_watermark(store: tuple[GatewaySettings, HistoryStore]) -> None:
    settings, writer = store
    told = [
        msgspec.structs.replace(each, state=state, watermark_ms=T0_MS + 500 if number else 0)
        for number, (each, state) in enumerate(zip(minutes(1, 2, 3), State, strict=True))
    ]
    await write(writer, [("school:all", each) for each in told])
    async with served.gateway(settings) as client:
        said = await ask(client, "school:all", from_=T0.isoformat(), to="2026-01-15T00:33:00Z")
    assert [(each["state"], each["watermark"]) for each in said["points"]] == [
        ("provisional", None),
        ("final", "2026-01-15T00:30:00.500000Z"),
        ("corrected", "2026-01-15T00:30:00.500000Z"),
    ]


async def test_every_metric_can_be_asked_for_with_each_of_its_labels(
    store: tuple[GatewaySettings, HistoryStore],
) -> None:
    settings, writer = store
    named = [(metric, label) for metric in Metric for label in endpoint.LABELS.get(metric, ("",))]
    day_ms = T0_MS - T0_MS % 86_400_000
    rows = [point(metric, day_ms, number, label) for number, (metric, label) in enumerate(named)]
    await write(writer, [("school:all", each) for each in rows])
    async with served.gateway(settings) as client:
        for number, (metric, label) in enumerate(named):
            span = {"from_": "2026-01-15T00:00:00Z", "to": "2026-01-15T00:01:00Z"}
            said = await ask(client, "school:all", metric=metric, label=label, **span)
            assert [each["value"] for each in said["points"]] == [number], (metric, label)


async def test_nobodys_id_can_ask_for_more_than_it_names(store: tuple[GatewaySettings, HistoryStore]) -> None:
    settings, writer = store
    scopes = [f"student:{id_}" for id_ in NASTY]
    await write(writer, [(scope, minutes(number)[0]) for number, scope in enumerate(scopes)])
    async with served.gateway(settings) as client:
        for number, scope in enumerate(scopes):
            said = await ask(client, scope, from_=T0.isoformat(), to="2026-01-15T00:31:00Z")
            assert [each["value"] for each in said["points"]] == [number], scope
        assert (await ask(client, "student:none", from_=T0.isoformat(), to="2026-01-15T00:31:00Z"))["points"] == []


async def test_days_are_asked_by_kind_and_the_last_window_is_the_default(
    store: tuple[GatewaySettings, HistoryStore],
) -> None:
    settings, writer = store
    today_ms = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    days = [
        point(Metric.EVENTS_BY_KIND, today_ms, 5, "code_run"),
        point(Metric.EVENTS_BY_KIND, today_ms, 6, "video_played"),
        point(Metric.EVENTS_BY_KIND, today_ms - 3 * 86_400_000, 7, "code_run"),
    ]
    await write(writer, [("team:py101/t 1", each) for each in days])
    async with served.gateway(settings) as client:
        said = await ask(client, "team:py101/t 1", metric="events_by_kind", label="code_run")
        assert [each["value"] for each in said["points"]] == [5]
        assert (await ask(client, "team:py101/t 1"))["points"] == []


BAD: dict[str, list[tuple[str, dict[str, str]]]] = {
    "scope": [
        ("nobody:s1", {}),
        ("student:", {}),
        ("team:t1", {}),
        ("school:s1", {}),
        ("student:a\0b", {}),
        ("student:" + "x" * 129, {}),
    ],
    "metric": [("student:s1", {"metric": "mood"}), ("student:s1", {"metric": ""})],
    "label": [
        ("student:s1", {"label": "code_run"}),
        ("student:s1", {"metric": "events_by_kind"}),
        ("student:s1", {"metric": "events_by_kind", "label": '"'}),
        ("school:all", {"metric": "task_progress"}),
        ("school:all", {"metric": "task_progress", "label": "mean"}),
        ("school:all", {"metric": "score_histogram", "label": "1.0"}),
        ("school:all", {"metric": "score_mean", "label": "0.9"}),
    ],
    "from": [
        ("student:s1", {"from": "yesterday"}),
        ("student:s1", {"from": "2026-01-15T00:00:00"}),  # of which zone?
        ("student:s1", {"from": "2026-01-15T09:00:00 09:00"}),  # a + that nobody escaped
        ("student:s1", {"from": "1969-12-31T23:59:59Z"}),
        ("student:s1", {"to": "1970-01-01T00:00:00Z"}),
        ("student:s1", {"from": "2026-01-15T00:00:00.000001Z", "to": "2026-01-15T00:00:00.000002Z"}),
        ("student:s1", {"from": "2026-01-15T00:00:00Z", "to": "2026-01-15T00:00:00Z"}),
        ("student:s1", {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:01Z"}),
    ],
    "to": [("student:s1", {"to": "0001-01-01T00:00:00Z"}), ("student:s1", {"to": "9999-12-31T23:59:59-12:00"})],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "scope", "parameters"), [(field, *case) for field, cases in BAD.items() for case in cases]
)
async def test_what_cannot_be_asked_is_named(field: str, scope: str, parameters: dict[str, str]) -> None:
    async with served.gateway(served.settings()) as client:
        answer = await client.get(
            f"/api/v1/history/{quote(scope, safe='')}", params={"metric": "events_per_minute"} | parameters
        )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field
    assert answer.json()["detail"].startswith(f"{field}: ")


async def test_metric_must_be_named() -> None:
    async with served.gateway(served.settings()) as client:
        answer = await client.get("/api/v1/history/student:s1")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "metric"


@pytest.mark.parametrize("influx", [False, True])
async def test_without_its_store_it_says_so(influx: bool) -> None:
    settings = served.settings()
    if influx:
        settings = served.settings(influx_url=f"http://{settings.kafka}")
    async with served.gateway(settings) as client:
        answer = await client.get("/api/v1/history/student:s1?metric=events_per_minute")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "no history now" in answer.json()["detail"]


async def test_a_whole_month_of_minutes(store: tuple[GatewaySettings, HistoryStore]) -> None:
    settings, writer = store
    many = minutes(*range(31 * 24 * 60 + 1))
    await write(writer, [("course:py101", each) for each in many])
    async with served.gateway(settings) as client:
        said = await ask(client, "course:py101", from_=T0.isoformat(), to="2026-02-15T00:30:00Z")
    assert [each["value"] for each in said["points"]] == list(range(31 * 24 * 60))


async def test_it_is_not_for_strangers_and_not_without_end() -> None:
    async with served.gateway(served.settings(), address="10.0.0.1") as client:
        assert (await client.get("/api/v1/history/student:s1?metric=events_per_minute")).status_code == 403
    async with served.gateway(served.settings(rate_limit_reads="2/minute")) as client:
        asked = [await client.get("/api/v1/history/student:s1?metric=mood") for _ in range(2)]
        asked.append(await client.get("/api/v1/dashboard/overview"))  # the limit is one for all that is read
    assert [answer.status_code for answer in asked] == [400, 400, 429]
    assert int(asked[-1].headers["retry-after"]) > 0
