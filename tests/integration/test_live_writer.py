"""LiveWriter and update.lua on a real Valkey: what is in Redis afterwards, and what a watcher was told."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from worker_process import point

from pipelines.live.writer import LiveWriter
from wire import channels, frames, metrics
from wire.frames import Update
from wire.metrics import Metric, MetricPoint, ScopeUpdate, State
from wire.scopes import Scope

EXOTIC = ["py101", "a b", "{a}", "}{", '"quoted"', "back\\slash", "生徒 🎓", "x:now", "*?[a]", "%s", "x" * 128]
DAY = date(2026, 1, 15)
Client = Any  # redis.asyncio.Redis; its stubs allow every answer to be text or bytes or nothing


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[LiveWriter]:
    made = LiveWriter(redis_url)
    yield made
    await made.close()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with redis.from_url(redis_url) as connected:
        yield connected


def by_kind(value: float, kind: str = "code_run", **fields: int) -> MetricPoint:
    return point(value, metric=Metric.EVENTS_BY_KIND, label=kind, **fields)


async def now(client: Client, scope: str) -> dict[str, MetricPoint]:
    held = await client.hgetall(channels.now(scope))
    return {field.decode(): metrics.decode_point(json) for field, json in held.items()}


async def streamed(client: Client, scope: str) -> list[tuple[str, bytes]]:
    return [(id_.decode(), fields[b"frame"]) for id_, fields in await client.xrange(channels.stream(scope))]


class Watcher:
    """Every message of a scope's channel from the moment of entering."""

    def __init__(self, client: Client, scope: str) -> None:
        self._channel = client.pubsub(ignore_subscribe_messages=True)
        self._name = channels.live(scope)

    async def __aenter__(self) -> "Watcher":
        await self._channel.subscribe(self._name)
        await self._channel.parse_response()  # Redis has it
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.aclose()

    async def next(self) -> bytes:
        async with asyncio.timeout(10):
            while (message := await self._channel.get_message(timeout=5)) is None:
                pass
            return bytes(message["data"])


@pytest.mark.parametrize("id_", EXOTIC)
async def test_an_update_is_in_the_values_the_stream_and_the_channel_alike(
    writer: LiveWriter, client: Client, id_: str
) -> None:
    scope = str(Scope.team(id_, id_))
    told = [point(3, minute=1), point(0.1 + 0.2, metric=Metric.ERROR_RATE, n=7), by_kind(12)]
    async with Watcher(client, scope) as watcher:
        assert await writer.write([ScopeUpdate(scope=scope, points=told)]) == 3
        published = await watcher.next()
    frame = frames.decode(published)
    assert isinstance(frame, Update)
    assert (frame.scope, frame.offset, frame.values, frame.skipped) == (scope, 1, told, 0)
    assert frame.epoch
    assert await streamed(client, scope) == [("1-0", published)]
    assert await now(client, scope) == {one.field: one for one in told}
    day = await client.hgetall(channels.day(scope, DAY))
    assert {field.decode(): metrics.decode_point(json) for field, json in day.items()} == {told[2].field: told[2]}


async def test_what_has_gathered_of_a_scope_is_told_in_one_frame(writer: LiveWriter, client: Client) -> None:
    updates = [
        ScopeUpdate(scope=scope, points=[point(number), point(number, minute=number)])
        for number in range(1, 4)
        for scope in ("course:gathered", "course:other")
    ]
    await writer.write(updates)
    ((_, frame),) = await streamed(client, "course:gathered")
    newest = point(3, minute=3)
    told = [(one["value"], one["as_of_ms"]) for one in msgspec.json.decode(frame)["values"]]
    assert told == [(newest.value, newest.as_of_ms)]
    assert len(await streamed(client, "course:other")) == 1


async def test_the_same_updates_again_change_nothing_and_tell_nobody(writer: LiveWriter, client: Client) -> None:
    updates = [
        ScopeUpdate(scope="course:again", points=[point(number, minute=number), by_kind(number, as_of_ms=number)])
        for number in range(1, 6)
    ]
    await writer.write(updates)
    held, stream = await now(client, "course:again"), await streamed(client, "course:again")
    await writer.write(updates[-1:])
    await writer.write(updates)  # a replay from before: what lies behind the newest is not shown again
    assert (await now(client, "course:again"), await streamed(client, "course:again")) == (held, stream)


async def test_an_older_window_and_an_older_view_of_a_window_never_overwrite_a_newer(
    writer: LiveWriter, client: Client
) -> None:
    #   windows        10:00       10:01       (as of +0 s, +10 s)
    #   told           -           5, then 4 as of an earlier time, then 9 of 10:00, then 6 as of the same time
    newest = point(5, minute=1)
    for one, shown in [
        (newest, 5),
        (msgspec.structs.replace(newest, value=4.0, as_of_ms=newest.as_of_ms - 1), 5),
        (point(9, minute=0, as_of_ms=newest.as_of_ms + 60_000), 5),
        (msgspec.structs.replace(newest, value=6.0), 6),  # an event that moved no clock
    ]:
        await writer.write([ScopeUpdate(scope="course:order", points=[one])])
        assert (await now(client, "course:order"))["events_per_minute"].value == shown


async def test_a_past_window_told_again_as_final_or_corrected_hides_no_newer_one(
    writer: LiveWriter, client: Client
) -> None:
    #   minutes   ├ 10:00 ┤├ 10:01 ┤          hours   ├ 10:00 ┤├ 11:00 ┤
    #   told           5        3                          50       7
    #   then      final, corrected to 6                  final, corrected to 60, long after the newer began
    scope = "course:settled"
    later_ms = point(0, minute=90).as_of_ms
    newest = {
        "events_per_minute": point(3, minute=1),
        "events_per_hour": point(7, minute=60, metric=Metric.EVENTS_PER_HOUR),
    }
    for past in (point(5), point(50, metric=Metric.EVENTS_PER_HOUR)):
        await writer.write([ScopeUpdate(scope=scope, points=[past, newest[past.field]])])
        final = msgspec.structs.replace(past, state=State.FINAL, as_of_ms=later_ms, watermark_ms=later_ms - 60_000)
        corrected = msgspec.structs.replace(final, value=past.value * 1.2, state=State.CORRECTED)
        for told in (final, corrected):
            offset = await client.hget(channels.head(scope), "offset")
            await writer.write([ScopeUpdate(scope=scope, points=[told])])
            assert (await now(client, scope))[past.field] == newest[past.field]
            assert await client.hget(channels.head(scope), "offset") == offset, "nothing that is shown has changed"
        await writer.write([ScopeUpdate(scope=scope, points=[newest[past.field], corrected])])  # in whichever order
        assert (await now(client, scope))[past.field] == newest[past.field]


async def test_the_newest_window_becomes_final_where_it_is_shown(writer: LiveWriter, client: Client) -> None:
    """The room is empty, and no newer window follows: the one shown is told again, as of the same time or a later."""
    scope = "course:rested"
    shown = point(5)
    final = msgspec.structs.replace(shown, state=State.FINAL, watermark_ms=shown.end_ms + 120_000)
    corrected = msgspec.structs.replace(final, value=6.0, n=6, as_of_ms=shown.as_of_ms + 1, state=State.CORRECTED)
    for told in (shown, final, corrected):
        await writer.write([ScopeUpdate(scope=scope, points=[told])])
        assert await now(client, scope) == {"events_per_minute": told}
    _, frame = (await streamed(client, scope))[-1]
    decoded = frames.decode(frame)
    assert isinstance(decoded, Update)
    assert decoded.values == [corrected]


async def test_in_any_order_of_the_updates_the_newest_is_held_and_offsets_have_no_gaps(
    writer: LiveWriter, client: Client
) -> None:
    rng = random.Random(5)
    for trial in range(20):
        scope = f"student:shuffled-{trial}"
        updates = [
            ScopeUpdate(scope=scope, points=[point(10 * minute + seen, minute, as_of_ms=1_768_471_200_000 + seen)])
            for minute in range(4) for seen in range(4)
        ]  # fmt: skip
        rng.shuffle(updates)
        first = rng.randrange(len(updates))
        await writer.write(updates[:first])
        await writer.write(updates[first:])
        assert (await now(client, scope))["events_per_minute"].value == 33
        offsets = [int(id_.partition("-")[0]) for id_, _ in await streamed(client, scope)]
        assert offsets == list(range(1, len(offsets) + 1))
        assert offsets[-1] == int(await client.hget(channels.head(scope), "offset"))


async def test_of_many_windows_in_one_update_only_the_newest_is_told(writer: LiveWriter, client: Client) -> None:
    points = [point(number, minute=number) for number in range(500)]
    await writer.write([ScopeUpdate(scope="course:backlog", points=points)])
    ((_, frame),) = await streamed(client, "course:backlog")
    decoded = frames.decode(frame)
    assert isinstance(decoded, Update)
    assert decoded.values == points[-1:]


async def test_snapshot_and_updates_join_by_epoch_and_offset(writer: LiveWriter, client: Client) -> None:
    """What a viewer does: the values at some offset, with every later update on top, are the values at the end."""
    scope = "course:join"
    rng = random.Random(3)
    joined: dict[str, MetricPoint] = {}
    since = 0
    for step in range(60):
        kinds = rng.sample(["code_run", "page_viewed", "other"], rng.randrange(1, 4))
        points = [by_kind(step, kind, as_of_ms=step) for kind in kinds]
        await writer.write([ScopeUpdate(scope=scope, points=points)])
        if step == 20:
            joined, since = await now(client, scope), int(await client.hget(channels.head(scope), "offset"))
    for id_, frame in await streamed(client, scope):
        decoded = frames.decode(frame)
        assert isinstance(decoded, Update)
        if int(id_.partition("-")[0]) > since:
            joined |= {one.field: one for one in decoded.values}
    assert joined == await now(client, scope)


async def test_after_a_flush_the_scope_begins_anew_under_another_epoch(writer: LiveWriter, client: Client) -> None:
    scope = "course:flushed"
    await writer.write([ScopeUpdate(scope=scope, points=[point(1)])])
    before = await client.hget(channels.head(scope), "epoch")
    await client.flushdb()
    await client.script_flush()  # as a restart would: the script is loaded anew too
    await writer.write([ScopeUpdate(scope=scope, points=[point(1)])])
    ((id_, frame),) = await streamed(client, scope)
    decoded = frames.decode(frame)
    assert isinstance(decoded, Update)
    assert (id_, decoded.offset) == ("1-0", 1)
    assert decoded.epoch.encode() == await client.hget(channels.head(scope), "epoch") != before


async def test_a_head_lost_alone_begins_a_new_epoch_with_an_empty_stream(writer: LiveWriter, client: Client) -> None:
    scope = "course:headless"
    for number in range(3):
        await writer.write([ScopeUpdate(scope=scope, points=[point(number, minute=number)])])
    await client.delete(channels.head(scope))
    await writer.write([ScopeUpdate(scope=scope, points=[point(9, minute=9)])])
    assert [id_ for id_, _ in await streamed(client, scope)] == ["1-0"]


async def test_everything_lives_as_long_as_the_names_say(writer: LiveWriter, client: Client) -> None:
    scope = "course:mortal"
    await writer.write([ScopeUpdate(scope=scope, points=[point(1), by_kind(1)])])
    for key in (channels.now(scope), channels.head(scope), channels.stream(scope)):
        assert channels.NOW_TTL_S - 60 < await client.ttl(key) <= channels.NOW_TTL_S, key
    assert channels.DAY_TTL_S - 60 < await client.ttl(channels.day(scope, DAY)) <= channels.DAY_TTL_S


@pytest.mark.parametrize(("scope", "length"), [("student:busy", 30), ("team:c/t", 1_000), ("course:student:", 1_000)])
async def test_the_stream_is_bounded(writer: LiveWriter, client: Client, scope: str, length: int) -> None:
    assert channels.stream_max_len(scope) == length
    many = [ScopeUpdate(scope=scope, points=[point(n, minute=n)]) for n in range(length * 2 + 150)]
    for update in many:
        await writer.write([update])
    stream = await streamed(client, scope)
    assert length <= len(stream) <= length + 100, "Redis drops a hundred at once"
    assert stream[-1][0] == f"{len(many)}-0"


async def test_days_are_kept_apart_and_the_newest_is_shown(writer: LiveWriter, client: Client) -> None:
    scope = "course:days"
    today = by_kind(5)
    yesterday = by_kind(7, start_ms=today.start_ms - 86_400_000)
    await writer.write([ScopeUpdate(scope=scope, points=[yesterday, today])])
    await writer.write([ScopeUpdate(scope=scope, points=[msgspec.structs.replace(yesterday, value=8.0, n=8)])])
    values = {}
    for day in (DAY, datetime.fromtimestamp(yesterday.start_ms / 1000, UTC).date()):
        held = await client.hget(channels.day(scope, day), today.field)
        values[day.day] = metrics.decode_point(held).value
    assert values == {15: 5, 14: 8}
    assert (await now(client, scope))[today.field] == today


async def test_every_metric_of_a_day_goes_by_its_day(writer: LiveWriter, client: Client) -> None:
    scope = "school:all"
    days = [point(5, metric=Metric.EVENTS_PER_DAY), point(0.5, metric=Metric.SCORE_HISTOGRAM, label="0.9")]
    hour = point(3, metric=Metric.EVENTS_PER_HOUR)
    await writer.write([ScopeUpdate(scope=scope, points=[*days, hour])])
    held = await client.hgetall(channels.day(scope, DAY))
    assert {field.decode() for field in held} == {one.field for one in days}
    final = [msgspec.structs.replace(one, state=State.FINAL, as_of_ms=one.end_ms + 120_000) for one in days]
    tomorrow = [msgspec.structs.replace(one, start_ms=one.end_ms, as_of_ms=one.end_ms + 60_000) for one in days]
    await writer.write([ScopeUpdate(scope=scope, points=[*tomorrow, *final])])
    held = await client.hgetall(channels.day(scope, DAY))
    assert {field.decode(): metrics.decode_point(json) for field, json in held.items()} == {
        one.field: one for one in final
    }
    assert await now(client, scope) == {one.field: one for one in [*tomorrow, hour]}


async def test_seen_says_when_something_happened_and_not_that_time_passed(writer: LiveWriter, client: Client) -> None:
    #   event time   10:00:40   10:00:50        11:00:00                  00:02 of the next day
    #   told         an event   time passes     all, after a restart      the day is final
    scope = str(Scope.team("py/101", "t1"))

    async def seen_after(*points: MetricPoint) -> int:
        await writer.write([ScopeUpdate(scope=scope, points=list(points))])
        ((id_, seen_ms),) = await client.zrange(channels.seen("team"), 0, -1, withscores=True)
        assert id_ == b"py/101/t1"
        return int(seen_ms)

    minute = point(1)
    first_ms = minute.end_ms - 20_000
    day = by_kind(1, as_of_ms=first_ms)
    assert await seen_after(day, msgspec.structs.replace(minute, as_of_ms=first_ms)) == first_ms
    assert await seen_after(msgspec.structs.replace(minute, as_of_ms=first_ms + 10_000)) == first_ms
    later = msgspec.structs.replace(day, as_of_ms=minute.end_ms + 3_600_000)
    assert await seen_after(later, point(0, minute=60)) == first_ms
    final = msgspec.structs.replace(day, state=State.FINAL, as_of_ms=day.end_ms + 120_000)
    still = msgspec.structs.replace(minute, start_ms=final.as_of_ms, as_of_ms=final.as_of_ms + 60_000)
    assert await seen_after(final, still) == first_ms


async def test_seen_is_the_end_of_a_minute_that_lies_back_and_never_goes_back(
    writer: LiveWriter, client: Client
) -> None:
    """A late event, and the chunks of a backlog: the days first, the minutes behind them."""
    as_of_ms = point(0, minute=30).end_ms
    days, minutes = by_kind(4, as_of_ms=as_of_ms), [point(2, minute=n, as_of_ms=as_of_ms) for n in (3, 7)]
    head = point(0, minute=30)
    await writer.write([ScopeUpdate(scope="student:s1", points=each) for each in ([days], [*minutes, head])])
    assert await client.zscore(channels.seen("student"), "s1") == minutes[-1].end_ms
    await writer.write([ScopeUpdate(scope="student:s1", points=[days, minutes[0], head])])
    assert await client.zscore(channels.seen("student"), "s1") == minutes[-1].end_ms


async def test_of_those_seen_the_newest_are_kept(writer: LiveWriter, client: Client) -> None:
    held = {f"s{number}": number for number in range(channels.SEEN_MAX)}
    await client.zadd(channels.seen("student"), held)
    updates = [
        ScopeUpdate(scope=f"student:new{n}", points=[by_kind(1), point(1, as_of_ms=10**9 + n)]) for n in range(3)
    ]
    await writer.write(updates)
    assert await client.zcard(channels.seen("student")) == channels.SEEN_MAX
    assert await client.zrange(channels.seen("student"), 0, 0) == [b"s3"]
    assert await client.zrevrange(channels.seen("student"), 0, 2) == [b"new2", b"new1", b"new0"]


@pytest.mark.parametrize("id_", EXOTIC)
async def test_a_traced_update_says_so_where_it_is_published_alone(
    writer: LiveWriter, client: Client, id_: str
) -> None:
    scope, traceparent = str(Scope.course(id_)), f"00-{'a' * 32}-{'b' * 16}-01"
    async with Watcher(client, scope) as watcher:
        for number, carried in enumerate(({}, {scope: traceparent}, {"course:other": traceparent})):
            writer.carry(carried)
            await writer.write([ScopeUpdate(scope=scope, points=[point(number + 1)])])
            frame, told = frames.untraced(await watcher.next())
            assert told == carried.get(scope, "")
            assert frame == (await streamed(client, scope))[-1][1]
            assert isinstance(frames.decode(frame), Update)
