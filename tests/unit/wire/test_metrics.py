"""Metric points: names, windows, bytes."""

import msgspec
import pytest

from wire import metrics
from wire.metrics import DAY_S, FIVE_MINUTES_S, HISTORY_STEP_MS, WINDOW_S, Metric, MetricPoint, ScopeUpdate, State
from wire.partials import DISTINCT_PANES, PANE_S
from wire.scopes import Scope

POINT = MetricPoint(
    metric=Metric.EVENTS_BY_KIND, label="code_run", window_s=86_400, start_ms=0, value=3, n=3, as_of_ms=5
)


def test_a_point_is_named_by_metric_and_label() -> None:
    assert POINT.field == "events_by_kind:code_run"
    assert msgspec.structs.replace(POINT, metric=Metric.ERROR_RATE, label="").field == "error_rate"


def test_a_window_ends_where_the_next_begins() -> None:
    assert POINT.end_ms == 86_400_000


def test_every_metric_has_a_window_made_of_whole_panes() -> None:
    assert set(WINDOW_S) == set(Metric)
    assert all(window_s % PANE_S == 0 for window_s in WINDOW_S.values())
    assert HISTORY_STEP_MS % (PANE_S * 1000) == 0
    assert WINDOW_S[Metric.ACTIVE_STUDENTS] <= DISTINCT_PANES * PANE_S  # further back, distinct counts are not exact


def test_windows_that_do_not_slide_begin_where_a_day_can_be_divided() -> None:
    assert all(DAY_S % window_s == 0 for window_s in WINDOW_S.values() if window_s > FIVE_MINUTES_S)


def test_an_update_survives_its_bytes_and_a_newer_writer() -> None:
    update = ScopeUpdate(scope="course:c", points=[POINT])
    assert metrics.decode(metrics.encode(update)) == update
    assert metrics.decode(metrics.encode(update).replace(b"{", b'{"later":1,', 1)) == update
    assert metrics.decode_point(metrics.encode(POINT)) == POINT


@pytest.mark.parametrize("state", State)
def test_a_point_keeps_its_state_and_watermark(state: State) -> None:
    point = msgspec.structs.replace(POINT, state=state, watermark_ms=1_768_471_260_000)
    assert metrics.decode_point(metrics.encode(point)) == point


def test_a_point_of_an_older_writer_is_provisional_and_knows_no_watermark() -> None:
    data = b'{"metric":"error_rate","window_s":300,"start_ms":0,"value":0.5,"n":2,"as_of_ms":299000}'
    point = metrics.decode_point(data)
    assert (point.state, point.watermark_ms) == (State.PROVISIONAL, 0)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"scope":"course:c","points":[{"metric":"happiness"}]}', b'{"scope":1}']
)
def test_what_is_no_update_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        metrics.decode(data)


@pytest.mark.parametrize(
    "scope",
    ["student:s1", "course:http://x/course/7", "team:py101/t1", "team:http://x/course/7/t1", "team:/x/t", "student:a/",
     "course:生徒 🎓", r"student:SCHOOL\yuki", "course:::", "school:all"],
)  # fmt: skip
def test_every_scope_is_read(scope: str) -> None:
    assert Scope.parse(scope)
    assert metrics.decode(metrics.encode(ScopeUpdate(scope=scope, points=[POINT]))).scope == scope


@pytest.mark.parametrize(
    "scope",
    ["", "course", "course:", "class:s1", "team:py101", "team:/t1", "team:py101/", "course:a\x00", "course:a\n",
     "school:s1", "school:", "school:all\n", "school:all/", "course:a\n\n", "\nstudent:a", "student:a\\",
     "team:a\n/t", "team:a/b\\"],
)  # fmt: skip
def test_what_no_store_could_keep_apart_is_no_scope(scope: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"scope"):
        metrics.decode(metrics.encode(ScopeUpdate(scope=scope, points=[POINT])))


@pytest.mark.parametrize(
    "fields",
    [{"start_ms": 2**53}, {"start_ms": -(2**53)}, {"as_of_ms": 2**60}, {"n": -1}, {"n": 2**62}, {"window_s": 0},
     {"window_s": 2**31}, {"label": "a\x00"}, {"label": "a\n"}, {"label": "\\"},
     {"state": "perhaps"}, {"watermark_ms": 2**60}],
)  # fmt: skip
def test_what_no_store_could_take_is_no_point(fields: dict[str, object]) -> None:
    (name,) = fields
    update = ScopeUpdate(scope="course:c", points=[msgspec.structs.replace(POINT, **fields)])
    with pytest.raises(msgspec.ValidationError, match=name):
        metrics.decode(metrics.encode(update))
