"""topics.yaml as frozen objects, and how a broker differs from it. Pure: `cli/topics.py` asks and mends the broker.

Kafka keeps a topic's partitions and configuration, but not what its key means. So `apply` writes that down in a topic
of its own, APPLIED (key = topic name, value = `Applied` as JSON), and a key that changes is noticed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

PATH = Path(__file__).parent.parent / "topics.yaml"

ACTIVITY = "activity"
PARTIALS = "partials"
METRICS = "metrics"
LATE = "activity.late"
DEAD_LETTERS = "activity.dead-letters"
PARKED = "metrics.parked"
HANDLED = "dead-letters.handled"
AUDIT = "audit"
BALANCES = "audit.balances"
APPLIED = "topics.applied"

PARTITIONS_MAX = 1_000  # more is a slip of the pen, and would stall a broker of one node

_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_RETENTION = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")  # org.apache.kafka.common.internals.Topic
_REQUIRED = frozenset({"about", "key", "partitions", "cleanup", "writers", "readers"})
_FIELDS = _REQUIRED | {"retention", "max_message_bytes"}

MESSAGE_BYTES = 1_048_588  # Kafka's own default
MESSAGE_BYTES_MAX = 16 * 2**20  # more would stall a consumer


class TopicsError(ValueError):
    """topics.yaml cannot be used; the message names file, topic and field."""


@dataclass(frozen=True)
class Topic:
    name: str
    about: str
    key: str
    partitions: int
    cleanup: str  # delete or compact
    retention_ms: int | None  # None: compacted, kept for good
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    max_message_bytes: int = MESSAGE_BYTES

    @property
    def configs(self) -> dict[str, str]:
        """What the broker is told, as it names and writes it."""
        large = self.max_message_bytes != MESSAGE_BYTES
        size = {"max.message.bytes": str(self.max_message_bytes)} if large else {}
        if self.retention_ms is None:
            # Small segments let the cleaner reach what was written a moment ago: recovery reads what it leaves.
            compact = {
                "cleanup.policy": "compact",
                "segment.bytes": str(16 * 2**20),
                "min.cleanable.dirty.ratio": "0.3",
            }
            return compact | size
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)} | size


@dataclass(frozen=True)
class Actual:
    """A topic as a broker has it."""

    partitions: int
    configs: dict[str, str] = field(default_factory=dict)


class Applied(msgspec.Struct, frozen=True):
    """What the last `apply` made of a topic."""

    key: str
    partitions: int

    @classmethod
    def of(cls, topic: Topic) -> "Applied":
        return cls(key=topic.key, partitions=topic.partitions)


encode_applied = msgspec.json.Encoder().encode
_applied_decoder = msgspec.json.Decoder(Applied)


def decode_applied(data: bytes) -> Applied:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _applied_decoder.decode(data)


@dataclass(frozen=True)
class Create:
    topic: Topic


@dataclass(frozen=True)
class AddPartitions:
    topic: Topic
    actual: int


@dataclass(frozen=True)
class SetConfig:
    topic: Topic
    changes: dict[str, tuple[str | None, str]]  # name → (on the broker, wanted)


@dataclass(frozen=True)
class Record:
    """The broker has the topic, APPLIED does not say so: made by other means, or an `apply` died half way."""

    topic: Topic


@dataclass(frozen=True)
class Refused:
    topic: Topic
    reason: str


Step = Create | AddPartitions | SetConfig | Record


@dataclass(frozen=True)
class Plan:
    """With anything refused, nothing is applied. `unknown` topics are information: nobody deletes them."""

    steps: tuple[Step, ...]
    refused: tuple[Refused, ...]
    unknown: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return bool(self.steps or self.refused)


def diff(wanted: Mapping[str, Topic], actual: Mapping[str, Actual], applied: Mapping[str, Applied]) -> Plan:
    """What turns `actual` into `wanted`. `actual` holds no internal topics of Kafka."""
    steps: list[Step] = []
    refused: list[Refused] = []
    for topic in wanted.values():
        on_broker = actual.get(topic.name)
        if on_broker is None:
            steps.append(Create(topic))
            continue
        record = applied.get(topic.name)
        reasons = _objections(topic, on_broker, record)
        if reasons:
            refused += (Refused(topic, reason) for reason in reasons)
            continue
        if on_broker.partitions < topic.partitions:
            steps.append(AddPartitions(topic, on_broker.partitions))
        changes = {
            name: (on_broker.configs.get(name), value)
            for name, value in topic.configs.items()
            if on_broker.configs.get(name) != value
        }
        if changes:
            steps.append(SetConfig(topic, changes))
        if record != Applied.of(topic) and on_broker.partitions == topic.partitions:
            steps.append(Record(topic))
    return Plan(tuple(steps), tuple(refused), tuple(sorted(set(actual) - set(wanted))))


def _objections(topic: Topic, on_broker: Actual, record: Applied | None) -> list[str]:
    reasons = []
    if on_broker.partitions > topic.partitions:
        reasons.append(
            f"partitions would shrink from {on_broker.partitions} to {topic.partitions}: Kafka cannot, and the records "
            "of the partitions taken away would be lost"
        )
    if record is not None and record.key != topic.key:
        reasons.append(
            f"key would change from {record.key!r} to {topic.key!r}: records already there lie in the partition of "
            "the old key, so order and counts per key would break; give the new meaning a new topic"
        )
    return reasons


def load(path: Path = PATH) -> dict[str, Topic]:
    """Name → topic, in the file's order. Raises TopicsError; OSError where the file cannot be read."""
    try:
        document = yaml.load(path.read_bytes(), Loader=_StrictLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise TopicsError(f"{path.name}: {error}") from None
    if not isinstance(document, dict) or set(document) != {"topics"} or not isinstance(document["topics"], dict):
        raise TopicsError(f"{path.name}: expected one mapping named 'topics' at the top, and nothing beside it")
    topics = {name: _topic(name, fields, path.name) for name, fields in document["topics"].items()}
    by_metric_name: dict[str, str] = {}
    for name in topics:
        # Kafka refuses the second of two such names, because its metrics write a dot as an underscore.
        other = by_metric_name.setdefault(name.replace(".", "_"), name)
        if other != name:
            raise TopicsError(f"{path.name}: topic {name!r}: differs from {other!r} only in '.' and '_'")
    return topics


def _topic(name: Any, fields: Any, file: str) -> Topic:
    where = f"{file}: topic {name!r}"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in {".", ".."}:
        raise TopicsError(f"{where}: is no name for a Kafka topic: expected 1 to 249 of letters, digits, '.', '_', '-'")
    if not isinstance(fields, dict):
        raise TopicsError(f"{where}: expected a mapping with {', '.join(sorted(_REQUIRED))}")
    if unknown := sorted(map(str, fields.keys() - _FIELDS)):
        raise TopicsError(f"{where}: unknown field {unknown[0]!r}: expected {', '.join(sorted(_FIELDS))}")
    if missing := sorted(_REQUIRED - fields.keys()):
        raise TopicsError(f"{where}: field {missing[0]!r} is missing")
    for text in ("about", "key"):
        if not isinstance(fields[text], str) or not fields[text].strip():
            raise TopicsError(f"{where}: field {text!r}: expected text, got {fields[text]!r}")
    partitions = fields["partitions"]
    if type(partitions) is not int or not 1 <= partitions <= PARTITIONS_MAX:
        raise TopicsError(f"{where}: field 'partitions': expected 1 to {PARTITIONS_MAX}, got {partitions!r}")
    size = fields.get("max_message_bytes", MESSAGE_BYTES)
    if type(size) is not int or not MESSAGE_BYTES <= size <= MESSAGE_BYTES_MAX:
        raise TopicsError(
            f"{where}: field 'max_message_bytes': expected {MESSAGE_BYTES} to {MESSAGE_BYTES_MAX}, got {size!r}"
        )
    return Topic(
        name=name,
        about=fields["about"],
        key=fields["key"],
        partitions=partitions,
        cleanup=fields["cleanup"],
        retention_ms=_retention_ms(fields["cleanup"], fields.get("retention"), where),
        writers=_names(fields["writers"], "writers", where),
        readers=_names(fields["readers"], "readers", where),
        max_message_bytes=size,
    )


def _retention_ms(cleanup: Any, retention: Any, where: str) -> int | None:
    if cleanup == "compact":
        if retention is not None:
            raise TopicsError(f"{where}: field 'retention': a compacted topic keeps the newest of each key for good")
        return None
    if cleanup != "delete":
        raise TopicsError(f"{where}: field 'cleanup': expected delete or compact, got {cleanup!r}")
    if retention is None:
        raise TopicsError(f"{where}: field 'retention' is missing: 'cleanup: delete' needs one, like 7d")
    match = _RETENTION.fullmatch(retention) if isinstance(retention, str) else None
    if match is None:
        raise TopicsError(f"{where}: field 'retention': expected a number with m, h or d, like 7d, got {retention!r}")
    return int(match[1]) * _UNIT_MS[match[2]]


def _names(value: Any, name: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise TopicsError(f"{where}: field {name!r}: expected a list of names, got {value!r}")
    return tuple(value)


class _StrictLoader(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win; here that would lose a topic without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
