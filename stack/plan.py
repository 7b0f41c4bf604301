"""What the local stack consists of: which servers, commands and processes, what each waits for, and its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from stack import child, external, influx
from stack.errors import StackError
from stack.external import External
from stack.home import Home
from stack.influx import BUCKET, ORG, Influx
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.processes import Aggregate, Demo, Gateway, History, Live, Process, Task
from stack.server import Progress, Server, quiet
from stack.state import Kind
from stack.valkey import Valkey

PROJECT = Path(__file__).parents[1]

Settings = dict[str, str]
Service = Server | Task | External


@dataclass(frozen=True)
class Elsewhere:
    """Servers that somebody else runs; "" for those we start."""

    kafka: str = ""
    redis: str = ""
    postgres: str = ""
    influx: str = ""
    influx_token: str = ""
    influx_org: str = ORG
    influx_bucket: str = BUCKET


@dataclass(frozen=True)
class Part:
    service: Service
    after: frozenset[str] = frozenset()  # names of those that must be ready first, and are stopped after it

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def kind(self) -> Kind:
        match self.service:
            case Process():
                return "process"
            case Server():
                return "server"
            case Task():
                return "task"
            case _:
                return "external"


@dataclass(frozen=True)
class Plan:
    parts: tuple[Part, ...]
    settings: Settings  # CLASSPULSE_* that every process of ours gets
    dashboard: str
    no_influx: str  # why there is none; "" where there is one


def build(
    home: Home, elsewhere: Elsewhere, environment: Mapping[str, str], *, empty: bool, progress: Progress = quiet
) -> Plan:
    """Nothing is started yet; influxd is unpacked where it never was, which blocks for seconds and tells `progress`.

    `empty` leaves out the demo classroom. Raises StackError.
    """
    parts: list[Part] = []

    def add(service: Service, *after: str) -> None:
        parts.append(Part(service, frozenset(after)))

    settings = {"CLASSPULSE_HOME": str(home.folder), "CLASSPULSE_CACHE": str(home.cache)}
    for service, its_settings in (_kafka(home, elsewhere), _postgres(home, elsewhere), _valkey(home, elsewhere)):
        add(service)
        settings |= its_settings
    influxd, its_settings, no_influx = _influxd(home, elsewhere, environment, progress)
    settings |= its_settings
    if influxd is not None:
        add(influxd)

    def task(name: str, *arguments: str) -> Task:
        return Task(name, arguments, home.processes, log=home.log(name), settings=settings)

    add(task("topics", "topics", "apply"), "kafka")
    add(task("migrate", "db", "migrate"), "postgres")
    add(task("key", "keys", "create", "demo", "--file", str(home.demo_key_file), "--ensure"), "migrate")

    gateway = Gateway(home.processes, home.port("gateway"), log=home.log("gateway"), settings=settings)
    history_store = "influxd" if influxd else "migrate"
    add(gateway, "topics", "migrate", "valkey", history_store)
    for of, store in ((Aggregate, "valkey"), (Live, "valkey"), (History, history_store)):
        worker = of(home.processes, home.port(of.name), log=home.log(of.name), settings=settings)
        add(worker, "topics", "valkey", store)
    dashboard = f"http://{gateway.address}/"

    if not empty:
        add(task("school", "demo", "roster", "--out", str(home.demo_roster_file)))
        add(task("roster", "roster", "import", str(home.demo_roster_file)), "migrate", "school")
        demo = Demo(home.processes, dashboard, key_file=home.demo_key_file, log=home.log("demo"), settings=settings)
        add(demo, "gateway", "key", "roster", "aggregate", "live", "history")
    return Plan(tuple(parts), settings, dashboard, no_influx)


def end_leftovers(home: Home) -> list[str]:
    """Ends what a launcher of this home that died left running; their names. Blocks. Raises StackError.

    On Linux the kernel has done so already.
    """
    ours: tuple[type[Server], ...] = (Demo, Gateway, Aggregate, Live, History)
    servers: tuple[type[Server], ...] = (Kafka, Postgres, Valkey, Influx)
    folders = {of: home.processes if of in ours else home.folder / of.name for of in ours + servers}
    return [of.name for of, folder in folders.items() if child.end(folder / f"{of.name}.pid", of.stop_signal)]


class _Place(TypedDict):
    home: Path
    port: int
    cache: Path
    log: Path


def _place(home: Home, of: type[Server]) -> _Place:
    return _Place(home=home.folder / of.name, port=home.port(of.name), cache=home.cache, log=home.log(of.name))


def _kafka(home: Home, elsewhere: Elsewhere) -> tuple[Service, Settings]:
    if elsewhere.kafka:
        return external.kafka(elsewhere.kafka), {"CLASSPULSE_KAFKA": elsewhere.kafka}
    server = Kafka(**_place(home, Kafka), quick=True)  # the second compiler would take a core at first, for a classroom
    return server, {"CLASSPULSE_KAFKA": server.address}


def _postgres(home: Home, elsewhere: Elsewhere) -> tuple[Service, Settings]:
    if elsewhere.postgres:
        return external.postgres(elsewhere.postgres), {"CLASSPULSE_POSTGRES_URL": elsewhere.postgres}
    server = Postgres(**_place(home, Postgres))
    return server, {"CLASSPULSE_POSTGRES_URL": server.url}


def _valkey(home: Home, elsewhere: Elsewhere) -> tuple[Service, Settings]:
    if elsewhere.redis:
        return external.valkey(elsewhere.redis), {"CLASSPULSE_REDIS_URL": elsewhere.redis}
    server = Valkey(**_place(home, Valkey))
    return server, {"CLASSPULSE_REDIS_URL": server.url}


def _influxd(
    home: Home, elsewhere: Elsewhere, environment: Mapping[str, str], progress: Progress
) -> tuple[Service | None, Settings, str]:
    """With why there is none."""

    def settings(url: str, token: str) -> Settings:
        return {
            "CLASSPULSE_INFLUX_URL": url,
            "CLASSPULSE_INFLUX_TOKEN": token,
            "CLASSPULSE_INFLUX_ORG": elsewhere.influx_org,
            "CLASSPULSE_INFLUX_BUCKET": elsewhere.influx_bucket,
        }

    if elsewhere.influx:
        if not elsewhere.influx_token:
            raise StackError("an InfluxDB of somebody else's needs a token", advice="set CLASSPULSE_INFLUX_TOKEN")
        return external.influxd(elsewhere.influx), settings(elsewhere.influx, elsewhere.influx_token), ""
    program, found = influx.find(home.cache, environment, PROJECT, progress)
    if program is None:
        return None, settings("", ""), found
    server = Influx(**_place(home, Influx), program=program)
    server.prepare()  # makes its token
    return server, settings(server.url, server.token), ""
