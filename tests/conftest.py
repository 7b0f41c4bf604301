"""Real servers for every test that wants one: started once a session, when the first test asks, stopped at its end.

Tests share a server, so each takes what is its own: a fresh database, an empty Redis database, a fresh bucket, topics
or ids nobody else uses. A test that stops or kills a server starts one of its own (`own_kafka`, or the classes of
`stack`), never these.
"""

import functools
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import httpx
import psutil
import pytest
import redis
from running import CACHE, PROJECT

from stack import influx as influxd
from stack.influx import Influx
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.server import Server
from stack.valkey import Valkey

GIB = 2**30

ServerT = TypeVar("ServerT", bound=Server)

_REDIS_DATABASES = itertools.cycle(range(1, 16))


def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` is: two, where the machine has a core and the memory for each one's servers; else
    none but pytest's own. With three on two cores the processor had no pause: a whole stack's tests are bound by it."""
    roomy = (os.cpu_count() or 1) >= 2 and psutil.virtual_memory().total >= 6 * GIB
    return 2 if roomy else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pictures", type=Path, default=PROJECT / "build" / "page", help="where screenshots of the page go"
    )
    parser.addoption("--examples", type=int, default=10, help="how often each route is asked by test_fuzz.py")
    parser.addoption("--bodies", type=int, default=300, help="how many it posts that are broken")


@pytest.fixture(scope="session", autouse=True)
def _trust_read_once() -> Iterator[None]:
    """Each client of httpx reads some 140 certificates anew, 50 ms of a processor, and tests make thousands of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx._transports.default, "create_ssl_context", functools.cache(httpx.create_ssl_context))
        yield


class Bucket(NamedTuple):
    url: str
    token: str
    org: str
    name: str


def _served(server: ServerT) -> Iterator[ServerT]:
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    return CACHE


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """The homes of this session's servers. Not below pytest's own folder, which only its owner may enter: as root,
    PostgreSQL runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="classpulse-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(servers_dir: Path, cache_dir: Path) -> Iterator[Kafka]:
    """Apache Kafka; no topics yet, and none made by themselves."""
    yield from _served(Kafka(servers_dir / "kafka", cache=cache_dir, quick=True))


@pytest.fixture(scope="module")
def module_kafka(servers_dir: Path, cache_dir: Path) -> Iterator[Kafka]:
    """A broker of this module's own, without topics: for what would be in the way of others."""
    server = Kafka(servers_dir / f"kafka-{uuid.uuid4().hex[:8]}", cache=cache_dir, quick=True)
    yield from _served(server)
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture
def own_kafka(servers_dir: Path, cache_dir: Path) -> Iterator[Kafka]:
    """A broker of this test's own, without topics (1 to 2 s): to be killed, or for names that must be fresh."""
    server = Kafka(servers_dir / f"kafka-{uuid.uuid4().hex[:8]}", cache=cache_dir, quick=True)
    yield from _served(server)
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(servers_dir: Path, cache_dir: Path) -> Iterator[Postgres]:
    yield from _served(Postgres(servers_dir / "postgres", cache=cache_dir, durable=False))


@pytest.fixture
def own_postgres(servers_dir: Path, cache_dir: Path) -> Iterator[Postgres]:
    """A server of this test's own: to be killed, or frozen."""
    server = Postgres(servers_dir / f"postgres-{uuid.uuid4().hex[:8]}", cache=cache_dir, durable=False)
    yield from _served(server)
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty database of this test's own, dropped after it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    yield postgres.url_of(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def valkey(servers_dir: Path, cache_dir: Path) -> Iterator[Valkey]:
    yield from _served(Valkey(servers_dir / "valkey", cache=cache_dir))


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """An empty database. Pub/sub knows no databases: channels are everybody's."""
    url = f"redis://{valkey.address}/{next(_REDIS_DATABASES)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def influx(servers_dir: Path, cache_dir: Path) -> Iterator[Influx]:
    """Skips, saying why, where no influxd is to be had."""
    program, reason = influxd.find(cache_dir, os.environ, PROJECT)
    if program is None:
        pytest.skip(reason)
    yield from _served(Influx(servers_dir / "influxd", program=program, cache=cache_dir))


@pytest.fixture
def influx_bucket(influx: Influx) -> Bucket:
    """A bucket of this test's own, without retention."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    influx.create_bucket(name)
    return Bucket(influx.url, influx.token, influx.org, name)
