"""What every history store keeps to: one suite on real servers, written by `pipelines/history`, read by the gateway."""

import csv
import io
import time
import uuid
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from conftest import Bucket
from hypothesis import given, settings
from hypothesis import strategies as st
from worker_process import point

from gateway import schema
from gateway.database import Database
from gateway.history.influx import InfluxReader
from gateway.history.postgres import PostgresReader
from gateway.history.store import HistoryAwayError, HistoryReader
from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.history.store import HistoryStore, Row, StoreRefusedError, StoreUnavailableError
from stack import ports
from stack.influx import Influx
from wire import history, metrics
from wire.metrics import WINDOW_S, Metric, MetricPoint, State
from wire.scopes import Scope

ALWAYS = (-86_400_000, 9_223_372_036_853)  # window starts, ms: the bounds of `wire.metrics.TimeMs`


@dataclass
class Store:
    writer: HistoryStore
    reader: HistoryReader

    async def read(self, scope: str, point: MetricPoint) -> list[MetricPoint]:
        """All windows of the point's value in that scope."""
        return await self.reader.read(scope, point.metric, point.label, *ALWAYS)


def bucket_store(bucket: Bucket) -> Store:
    return Store(InfluxStore(*bucket), InfluxReader(*bucket))


@pytest.fixture(params=["influxdb", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    database = None
    if request.param == "influxdb":
        made = bucket_store(request.getfixturevalue("influx_bucket"))
    else:
        url = request.getfixturevalue("postgres_url")
        await schema.migrate(url)
        database = Database(url)
        await database.start()
        made = Store(PostgresStore(url), PostgresReader(database))
    assert made.writer.name == made.reader.name == request.param
    yield made
    await made.writer.close()
    await made.reader.close()
    if database is not None:
        await database.stop()


async def test_nothing_written_nothing_read(store: Store) -> None:
    await store.writer.write([])
    assert await store.read("course:c", point(1)) == []


async def test_every_metric_is_read_as_it_was_written(store: Store) -> None:
    labels = {Metric.EVENTS_BY_KIND: ["code_run", "page_viewed"], Metric.SCORE_HISTOGRAM: ["0.0", "0.9"]}
    named = [(metric, label) for metric in Metric for label in labels.get(metric, [""])]
    written = [point(1 / (number + 3), metric=metric, label=label) for number, (metric, label) in enumerate(named)]
    await store.writer.write([("school:all", one) for one in written])
    for one in written:
        assert await store.read("school:all", one) == [one]


@pytest.mark.parametrize("student", ["s1", 's "1"', "s\\1", "s,1 =", "s' or 1", "生徒"])
async def test_a_scope_is_read_whole_and_erased_and_no_other(store: Store, student: str) -> None:
    scope, other = str(Scope.student(student)), str(Scope.student(f"{student}1"))
    kinds = [point(1, metric=Metric.EVENTS_BY_KIND, label=label) for label in ("code_run", "page_viewed")]
    written = [*kinds, point(2, start_ms=60_000), point(3, start_ms=120_000)]
    await store.writer.write([(where, one) for where in (scope, other) for one in written])
    assert sorted(await store.reader.everything(scope), key=written.index) == written
    await store.reader.erase(scope)
    assert await store.reader.everything(scope) == []
    assert sorted(await store.reader.everything(other), key=written.index) == written


async def test_numbers_and_times_keep_all_their_digits(store: Store) -> None:
    first, last = point(0.1 + 0.2, start_ms=0, as_of_ms=9_223_372_036_853), point(2.0**40, n=2**40)
    await store.writer.write([("course:c", last), ("course:c", first)])
    assert await store.read("course:c", first) == [first, last]


@pytest.mark.parametrize("state", State)
async def test_a_state_and_a_watermark_come_back(store: Store, state: State) -> None:
    written = point(1, state=state, watermark_ms=1_768_471_380_000)
    await store.writer.write([("course:c", written), ("course:c", point(2, minute=1))])
    first, second = await store.read("course:c", written)
    assert (first, type(first.state)) == (written, State)
    assert (second.state, second.watermark_ms) == (State.PROVISIONAL, 0)


async def test_a_window_is_told_again_as_final_then_as_corrected(store: Store) -> None:
    #   as of     10:01        10:03       10:03, told later     10:20
    #   told      1            1 final     1 final, once more    2 corrected
    told = point(1)
    final = msgspec.structs.replace(told, as_of_ms=told.as_of_ms + 120_000, watermark_ms=told.end_ms, state=State.FINAL)
    again = msgspec.structs.replace(final, watermark_ms=final.watermark_ms + 10_000)
    corrected = msgspec.structs.replace(
        again, value=2.0, n=2, as_of_ms=told.as_of_ms + 1_140_000, watermark_ms=0, state=State.CORRECTED
    )
    for one in (told, final, again, corrected):
        await store.writer.write([("course:c", one)])
        assert await store.read("course:c", told) == [one]


async def test_what_was_written_before_there_were_states_is_provisional(store: Store) -> None:
    old, new = point(1), point(2, minute=1, state=State.FINAL, watermark_ms=1_768_471_380_000)
    await write_as_before(store.writer, "course:c", old)
    assert await store.read("course:c", old) == [old]
    await store.writer.write([("course:c", new)])
    assert await store.read("course:c", old) == [old, new]


async def write_as_before(writer: HistoryStore, scope: str, old: MetricPoint) -> None:
    """As the version before states wrote it."""
    if isinstance(writer, PostgresStore):
        connection = await asyncpg.connect(writer._url)
        await connection.execute(
            f"INSERT INTO {history.TABLE} (scope, metric, label, start_ms, window_s, value, n, as_of_ms)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            *(scope, old.metric.value, old.label, old.start_ms, old.window_s, old.value, old.n, old.as_of_ms),
        )
        await connection.close()
        return
    assert isinstance(writer, InfluxStore)
    tags, fields, time_ms = history.line(scope, old).split(" ")
    line = " ".join([tags, fields.partition(",state=")[0], time_ms])
    headers = {"Authorization": writer._headers["Authorization"]}
    async with httpx.AsyncClient(headers=headers) as http:
        assert (await http.post(writer._url, params=writer._query, content=line)).status_code == 204


async def test_a_second_write_of_a_window_replaces_the_first_and_touches_no_other(store: Store) -> None:
    first, neighbour = point(1, minute=0), point(5, minute=1)
    later = msgspec.structs.replace(first, value=2.0, n=2, as_of_ms=first.as_of_ms + 1)
    await store.writer.write([("course:c", first), ("course:c", neighbour), ("course:d", first)])
    await store.writer.write([("course:c", later)])
    assert await store.read("course:c", first) == [later, neighbour]
    assert await store.read("course:d", first) == [first]


async def test_the_same_write_made_again_changes_nothing(store: Store) -> None:
    rows: list[Row] = [(f"student:s{number}", point(number, minute=number)) for number in range(50)]
    for _ in range(3):
        await store.writer.write(rows)
    for scope, one in rows:
        assert await store.read(scope, one) == [one]


async def test_a_value_that_changes_while_time_stands_still_is_kept_in_its_last_version(store: Store) -> None:
    versions = [point(number, as_of_ms=1_768_471_260_000) for number in (1, 2, 1)]
    for version in versions:
        await store.writer.write([("course:c", version)])
    assert await store.read("course:c", versions[0]) == [versions[-1]]


EXOTIC = [
    "a b,c=d",
    "SCHOOL\\yuki",
    r"a\ b\,c\=d",
    '"生徒" 🎓',
    "it's; DROP TABLE history_points; --",
    '") |> yield() //',
    "${scope} %s %(scope)s $1 #",
    "course-v1:FUN-MOOC+00002+session01",
    " leading",
    "trailing ",
    "ａｂ́",
    "x" * 128,
]


@pytest.mark.parametrize("id_", EXOTIC)
async def test_ids_of_any_kind_come_back_and_are_told_apart(store: Store, id_: str) -> None:
    mine, other = point(1), point(2)
    scopes = [Scope.student(id_), Scope.course(id_), Scope.team(id_, id_.replace("/", "-"))]
    await store.writer.write([(str(scope), mine) for scope in scopes])
    await store.writer.write([(f"{scope}.", other) for scope in scopes])
    for scope in scopes:
        assert await store.read(str(scope), mine) == [mine]
        assert await store.read(f"{scope}.", mine) == [other]


_ids = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=128).filter(
    lambda text: not text.endswith("\\")
)


@settings(max_examples=10)  # each is a row; all of them are one write
@given(st.lists(st.tuples(_ids, st.floats(0, 1e15), st.integers(0, 2**53)), min_size=20, max_size=60))
def test_whatever_passes_the_decoder_passes_the_bounds_of_a_scope(drawn: list[tuple[str, float, int]]) -> None:
    for id_, value, n in drawn:
        update = metrics.ScopeUpdate(scope=str(Scope.student(id_)), points=[point(value, n=n)])
        assert metrics.decode(metrics.encode(update)) == update


async def test_a_large_batch_is_written_whole(store: Store) -> None:
    minutes = [point(float(number), minute=number) for number in range(12_000)]
    await store.writer.write([("course:c", one) for one in minutes])
    assert await store.read("course:c", minutes[0]) == minutes


async def in_bulk(store: Store, *metrics: Metric, scopes: Collection[str] = ()) -> dict[tuple[str, str, str, int], Any]:
    """Value and n of what lies within twenty minutes, by scope, metric, label and start."""
    first = point(0).start_ms
    held: dict[tuple[str, str, str, int], Any] = {}
    async for part in store.writer.read(metrics, first, first + 20 * 60_000, scopes):
        for one in part:
            value, n = held.get(one[:4], (None, None))
            held[one[:4]] = value if one.value is None else one.value, n if one.n is None else one.n
    return held


async def test_all_of_a_time_is_read_in_bulk(store: Store) -> None:
    minutes = [point(number + 0.1, minute=number, n=number) for number in range(-1, 21)]
    fives = [point(number, minute=number, metric=Metric.ACTIVE_STUDENTS) for number in (0, 15, 16)]
    scopes = [str(Scope.student(id_)) for id_ in EXOTIC]
    await store.writer.write([(scope, one) for scope in scopes for one in minutes + fives])
    await store.writer.write([("course:c", point(1, metric=Metric.PRESENT_STUDENTS))])  # not asked for
    within = {(one.metric.value, one.start_ms): (one.value, one.n) for one in [*minutes[1:21], *fives[:2]]}
    metrics_ = (Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS)
    expected = {(scope, metric, "", start): of for scope in scopes for (metric, start), of in within.items()}
    assert await in_bulk(store, *metrics_) == expected
    some = {key: of for key, of in expected.items() if key[0] in scopes[3:7]}
    assert await in_bulk(store, *metrics_, scopes=scopes[3:7]) == some
    assert await in_bulk(store, Metric.ERROR_RATE) == {}


async def test_labels_come_in_bulk(store: Store) -> None:
    kinds = [point(number, metric=Metric.EVENTS_BY_KIND, label=label) for number, label in enumerate(["a b", "c"])]
    written = [*kinds, point(7, metric=Metric.EVENTS_PER_DAY)]
    await store.writer.write([("course:c", one) for one in written])
    day_ms = kinds[0].start_ms
    found = {
        (one.metric, one.label, number)
        async for part in store.writer.read(list(Metric), day_ms, day_ms + 86_400_000)
        for one in part
        for number in (one.value, one.n)
        if number is not None
    }
    assert found == {(one.metric.value, one.label, number) for one in written for number in (one.value, one.n)}
    assert [part async for part in store.writer.read(list(Metric), day_ms, day_ms + 86_399_999) if part] == []


async def test_a_row_the_store_will_never_take_is_told_from_the_others(store: Store) -> None:
    impossible = point(1, minute=3, n=2**63)  # one more than 64 bits hold
    rows = [("course:c", point(number, minute=number)) for number in range(7)]
    with pytest.raises(StoreRefusedError):
        await store.writer.write([*rows[:3], ("course:c", impossible), *rows[4:]])
    await store.writer.write(rows)  # and nothing of it is in the way of another
    assert await store.read("course:c", impossible) == [one for _, one in rows]


async def test_a_bucket_with_retention_takes_what_is_young_enough(influx: Influx) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    async with httpx.AsyncClient(base_url=influx.url, headers={"Authorization": f"Token {influx.token}"}) as http:
        org = (await http.get("/api/v2/orgs", params={"org": influx.org})).json()["orgs"][0]["id"]
        year = {"type": "expire", "everySeconds": 365 * 86_400}
        made = await http.post("/api/v2/buckets", json={"orgID": org, "name": name, "retentionRules": [year]})
        assert made.status_code == 201, made.text
    store = bucket_store(Bucket(influx.url, influx.token, influx.org, name))
    old, young = point(1, start_ms=0), point(2, start_ms=int(time.time()) * 1000)
    with pytest.raises(StoreRefusedError):
        await store.writer.write([("course:c", old)])
    await store.writer.write([("course:c", young)])
    assert await store.read("course:c", young) == [young]
    await store.writer.close()
    await store.reader.close()


async def test_a_point_that_influxdb_is_just_writing_is_not_read_yet(influx_bucket: Bucket) -> None:
    """Its fields become visible one by one; here one never does."""
    store = bucket_store(influx_bucket)
    whole, half = point(1), point(2, minute=1)
    await store.writer.write([("course:c", whole)])
    line, n = history.line("course:c", half), f"n={half.n}i,"
    assert n in line
    headers = {"Authorization": f"Token {influx_bucket.token}"}
    where = {"org": influx_bucket.org, "bucket": influx_bucket.name, "precision": "ms"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{influx_bucket.url}/api/v2/write", params=where, headers=headers, content=line.replace(n, "")
        )
    assert answer.status_code == 204
    assert await store.read("course:c", whole) == [whole]
    await store.writer.close()
    await store.reader.close()


async def test_rows_out_of_order_postgresql_keeps_the_one_that_has_seen_more(postgres_url: str) -> None:
    """InfluxDB cannot: see InfluxStore, which says why it need not."""
    await schema.migrate(postgres_url)
    database = Database(postgres_url)
    await database.start()
    store = Store(PostgresStore(postgres_url), PostgresReader(database))
    older, newer = point(1), point(2, as_of_ms=point(1).as_of_ms + 1)
    await store.writer.write([("course:c", newer)])
    await store.writer.write([("course:c", older)])
    assert await store.read("course:c", older) == [newer]
    await store.writer.close()
    await store.reader.close()
    await database.stop()


async def test_a_store_that_is_away_is_told_from_one_that_refuses(store: Store) -> None:
    away: HistoryStore
    if store.writer.name == "influxdb":
        away = InfluxStore(f"http://127.0.0.1:{ports.free()}", "token", "org", "bucket")
    else:
        away = PostgresStore(f"postgresql://postgres@127.0.0.1:{ports.free()}/classpulse")
    with pytest.raises(StoreUnavailableError):
        await away.write([("course:c", point(1))])
    await away.close()


async def test_a_store_not_set_up_yet_is_waited_for(influx_bucket: Bucket, postgres_url: str) -> None:
    not_yet: list[HistoryStore] = [
        InfluxStore(influx_bucket.url, influx_bucket.token, influx_bucket.org, "no-such-bucket"),
        InfluxStore(influx_bucket.url, "wrong", influx_bucket.org, influx_bucket.name),
        PostgresStore(postgres_url),  # no table
        PostgresStore(f"{postgres_url}_not_there"),
    ]
    for one in not_yet:
        with pytest.raises(StoreUnavailableError):
            await one.write([("course:c", point(1))])
    await schema.migrate(postgres_url)
    await not_yet[2].write([("course:c", point(1))])  # and goes on by itself
    for one in not_yet:
        await one.close()


async def test_a_reader_of_a_store_that_is_away_says_so() -> None:
    reader = InfluxReader(f"http://127.0.0.1:{ports.free()}", "token", "org", "bucket")
    with pytest.raises(HistoryAwayError):
        await reader.read("course:c", Metric.ERROR_RATE, "", 0, WINDOW_S[Metric.ERROR_RATE])
    await reader.close()


async def test_whether_influxdb_is_there_is_asked_of_one_series(
    influx_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = influx_bucket.url, influx_bucket.token, influx_bucket.org, influx_bucket.name
    writer, reader = InfluxStore(*bucket), InfluxReader(*bucket)
    now_ms = int(time.time() * 1000)
    told = MetricPoint(
        metric=Metric.EVENTS_PER_MINUTE, window_s=60, start_ms=now_ms - 30_000, value=1.0, n=1, as_of_ms=now_ms
    )
    await writer.write([(scope, told) for scope in ("school:all", *(f"course:c{number}" for number in range(50)))])
    answers: list[str] = []
    ask = reader._ask

    async def heard(*asked: Any, **options: Any) -> str:
        answers.append(await ask(*asked, **options))
        return answers[-1]

    monkeypatch.setattr(reader, "_ask", heard)
    await reader.check()
    assert len(list(csv.DictReader(io.StringIO(answers[0])))) == 1
    await writer.close()
    await reader.close()
