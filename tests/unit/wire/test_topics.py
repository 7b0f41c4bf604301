"""topics.yaml and the plan that turns a broker into it."""

from dataclasses import replace
from pathlib import Path

import pytest

from wire import topics
from wire.topics import Actual, AddPartitions, Applied, Create, Plan, Record, SetConfig, Topic, TopicsError

ORDERS = """
topics:
  orders:
    about: what was ordered
    key: customer
    partitions: 4
    cleanup: delete
    retention: 7d
    writers: [shop]
    readers: []
"""

TOPIC = Topic(
    name="orders",
    about="what was ordered",
    key="customer",
    partitions=4,
    cleanup="delete",
    retention_ms=7 * 86_400_000,
    writers=("shop",),
    readers=(),
)


def _written(folder: Path, text: str) -> Path:
    path = folder / "wanted.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_topics(tmp_path: Path) -> None:
    assert topics.load(_written(tmp_path, ORDERS)) == {"orders": TOPIC}
    assert TOPIC.configs == {"cleanup.policy": "delete", "retention.ms": "604800000"}


def test_a_topic_may_take_larger_records_than_kafka_does_by_default(tmp_path: Path) -> None:
    larger = ORDERS.replace("retention: 7d", "retention: 7d\n    max_message_bytes: 2097152")
    (topic,) = topics.load(_written(tmp_path, larger)).values()
    assert topic == replace(TOPIC, max_message_bytes=2_097_152)
    assert topic.configs == TOPIC.configs | {"max.message.bytes": "2097152"}


def test_our_own_file_names_every_topic_the_code_names() -> None:
    own = topics.load()
    for name in (topics.ACTIVITY, topics.PARTIALS, topics.METRICS, topics.LATE, topics.DEAD_LETTERS, topics.APPLIED):
        assert name in own
    assert (own[topics.APPLIED].partitions, own[topics.APPLIED].cleanup) == (1, "compact")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    key: customer\n", "    kee: customer\n", "topic 'orders': unknown field 'kee'"),
        ("    partitions: 4\n", "", "topic 'orders': field 'partitions' is missing"),
        ("partitions: 4", "partitions: 0", "topic 'orders': field 'partitions': expected 1 to 1000, got 0"),
        ("partitions: 4", "partitions: true", "field 'partitions'"),
        ("partitions: 4", "partitions: 4.0", "field 'partitions'"),
        ("retention: 7d", "retention: 7", "field 'retention': expected a number with m, h or d"),
        ("retention: 7d", "retention: 0d", "field 'retention'"),
        ("retention: 7d", "retention: 7d 3h", "field 'retention'"),
        ("    retention: 7d\n", "", "field 'retention' is missing"),
        ("cleanup: delete", "cleanup: compact", "field 'retention': a compacted topic keeps"),
        ("cleanup: delete", "cleanup: both", "field 'cleanup': expected delete or compact, got 'both'"),
        ("cleanup: delete", "cleanup: [delete]", "field 'cleanup'"),
        ("key: customer", "key: ''", "field 'key': expected text"),
        ("key: customer", "key: 3", "field 'key': expected text, got 3"),
        (
            "retention: 7d",
            "retention: 7d\n    max_message_bytes: 1000",
            "field 'max_message_bytes': expected 1048588 to",
        ),
        ("retention: 7d", "retention: 7d\n    max_message_bytes: 2MB", "field 'max_message_bytes'"),
        ("retention: 7d", "retention: 7d\n    max_message_bytes: 99999999", "field 'max_message_bytes'"),
        ("writers: [shop]", "writers: shop", "field 'writers': expected a list of names, got 'shop'"),
        ("  orders:", "  or ders:", "topic 'or ders': is no name for a Kafka topic"),
        ("  orders:", "  ..:", "topic '..': is no name"),
        ("  orders:", f"  {'x' * 250}:", "is no name"),
        ("  orders:", "  7:", "topic 7: is no name"),
        ("partitions: 4", "partitions: 4\n    partitions: 5", "'partitions' is there twice"),
        ("topics:", "topic:", "expected one mapping named 'topics'"),
        ("topics:", "topics: [", "wanted.yaml: "),
        ("topics:\n", "topics:\n  ? [a]\n  : b\n", "wanted.yaml: "),
    ],
)
def test_a_mistake_is_told_by_file_topic_and_field(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert ORDERS.count(old) == 1
    with pytest.raises(TopicsError) as error:
        topics.load(_written(tmp_path, ORDERS.replace(old, new)))
    assert str(error.value).startswith("wanted.yaml: ")
    assert expected in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "topics:", "topics: 3", "topics: {a: }", "\x00", "a: b: c"])
def test_what_is_no_topics_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TopicsError, match=r"wanted\.yaml"):
        topics.load(_written(tmp_path, text))


def test_a_topic_written_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TopicsError, match="'orders' is there twice"):
        topics.load(_written(tmp_path, ORDERS + ORDERS.removeprefix("\ntopics:\n")))


def test_names_that_kafka_takes_for_one_are_refused(tmp_path: Path) -> None:
    twin = ORDERS.removeprefix("\ntopics:\n")
    text = "topics:\n" + twin.replace("orders", "or.ders") + twin.replace("orders", "or_ders")
    with pytest.raises(TopicsError, match=r"'or_ders': differs from 'or\.ders' only in"):
        topics.load(_written(tmp_path, text))


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        topics.load(tmp_path / "none.yaml")


WANTED = {"orders": TOPIC}
SAME = Actual(4, TOPIC.configs | {"segment.bytes": "1073741824"})
KNOWN = {"orders": Applied("customer", 4)}


def _steps(*steps: topics.Step) -> Plan:
    return Plan(steps, (), ())


def test_an_empty_broker_gets_everything() -> None:
    assert topics.diff(WANTED, {}, {}) == _steps(Create(TOPIC))


def test_what_is_as_wanted_is_left_alone() -> None:
    assert topics.diff(WANTED, {"orders": SAME}, KNOWN) == _steps()
    assert not topics.diff(WANTED, {"orders": SAME}, KNOWN).differs


def test_partitions_are_added_and_settings_set() -> None:
    actual = Actual(2, SAME.configs | {"retention.ms": "1"})
    plan = topics.diff(WANTED, {"orders": actual}, {"orders": Applied("customer", 2)})
    assert plan == _steps(AddPartitions(TOPIC, 2), SetConfig(TOPIC, {"retention.ms": ("1", "604800000")}))


def test_a_setting_the_broker_does_not_tell_is_set() -> None:
    plan = topics.diff(WANTED, {"orders": Actual(4, {"cleanup.policy": "delete"})}, KNOWN)
    assert plan == _steps(SetConfig(TOPIC, {"retention.ms": (None, "604800000")}))


@pytest.mark.parametrize("known", [{}, {"orders": Applied("customer", 2)}])
def test_a_topic_made_by_other_means_is_recorded(known: dict[str, Applied]) -> None:
    assert topics.diff(WANTED, {"orders": SAME}, known) == _steps(Record(TOPIC))


def test_fewer_partitions_are_refused_and_nothing_else_is_planned_for_the_topic() -> None:
    plan = topics.diff(WANTED, {"orders": Actual(5, {})}, {})
    assert plan.steps == ()
    assert plan.differs
    assert [(refused.topic.name, refused.reason.split(":")[0]) for refused in plan.refused] == [
        ("orders", "partitions would shrink from 5 to 4")
    ]


def test_another_key_is_refused() -> None:
    plan = topics.diff(WANTED, {"orders": SAME}, {"orders": Applied("order id", 4)})
    assert "key would change from 'order id' to 'customer'" in plan.refused[0].reason


def test_a_deleted_topic_may_come_back_with_another_key() -> None:
    assert topics.diff(WANTED, {}, {"orders": Applied("order id", 4)}) == _steps(Create(TOPIC))


def test_unknown_topics_are_information() -> None:
    plan = topics.diff(WANTED, {"orders": SAME, "b": Actual(1), "a": Actual(1)}, KNOWN)
    assert plan == Plan((), (), ("a", "b"))
    assert not plan.differs


def test_applying_a_plan_leaves_nothing_to_plan() -> None:
    wanted = {"orders": TOPIC, "new": replace(TOPIC, name="new", cleanup="compact", retention_ms=None)}
    after = {name: Actual(topic.partitions, topic.configs) for name, topic in wanted.items()}
    assert not topics.diff(wanted, after, {name: Applied.of(topic) for name, topic in wanted.items()}).differs


def test_what_was_applied_survives_its_bytes() -> None:
    assert topics.decode_applied(topics.encode_applied(Applied.of(TOPIC))) == Applied("customer", 4)
