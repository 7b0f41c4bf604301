"""The jars of Apache Kafka: which (jars.txt), and having them in the cache, each with the digest written there.

jgo downloads them, from Maven Central and the repositories of the user's own jgo configuration. What to download is
written down rather than resolved, because resolving takes 20 s of CPU, and because a digest that comes from the same
place as the jar proves nothing.
"""

import hashlib
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.server import Progress, quiet

LOCK = Path(__file__).with_name("jars.txt")
ROOTS = ("org.apache.kafka:kafka_2.13:4.1.1", "org.slf4j:slf4j-simple:1.7.36")

_AT_ONCE = 6  # connections; the jars are many and small, so the way there and back is most of the time
_ATTEMPTS = 4
_TIMEOUT_S = 30  # of one connection without a byte


@dataclass(frozen=True)
class Jar:
    coordinates: str  # group:artifact:version
    size_bytes: int
    sha256: str

    @property
    def file(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def read(lock: Path = LOCK) -> list[Jar]:
    """In the file's order, which is the order of the class path. Raises StackError where a line is no jar."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            match line.split():
                case [coordinates, size, sha256] if coordinates.count(":") == 2 and size.isdigit():
                    jars.append(Jar(coordinates, int(size), sha256))
                case _:
                    raise StackError(f"{lock.name}, line {number}: expected coordinates, bytes and sha256")
    return jars


def folder(cache: Path) -> Path:
    return cache / "jars"


def wrong(cache: Path, jars: list[Jar]) -> list[tuple[Jar, str]]:
    """The jars that are missing or not what they should be, each with why. Reads them all: 44 MB, 0.1 s."""
    found = []
    for jar in jars:
        try:
            digest = _sha256(folder(cache) / jar.file)
        except FileNotFoundError:
            found.append((jar, "missing"))
            continue
        if digest != jar.sha256:
            found.append((jar, f"has sha256 {digest[:12]}…, expected {jar.sha256[:12]}…"))
    return found


def fetch(cache: Path, progress: Progress = quiet) -> list[Path]:
    """Paths of all jars, downloaded where they are missing or damaged. Blocks. Raises StackError.

    Several processes may fetch into one cache at once: each jar is put in place whole.
    """
    jars = read()
    needed = [jar for jar, _ in wrong(cache, jars)]
    if needed:
        folder(cache).mkdir(parents=True, exist_ok=True)
        done = _Sum(progress, sum(jar.size_bytes for jar in needed))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="jar") as pool:
            tasks = [pool.submit(_fetch, jar, cache, done) for jar in sorted(needed, key=lambda jar: -jar.size_bytes)]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [folder(cache) / jar.file for jar in jars]


class _Sum:
    """Bytes had so far, over all downloads."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self._total = total
        self._done = 0
        progress("Apache Kafka", 0, total)

    def add(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._progress("Apache Kafka", self._done, self._total)


def _fetch(jar: Jar, cache: Path, done: _Sum) -> None:
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0.5, 1.0) * 2**attempt)  # noqa: S311 - jitter, not a secret
        with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as temporary:
            try:
                downloaded = _download(jar, Path(temporary))
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises RuntimeErrors
                reason = str(error)
                continue
            digest = _sha256(downloaded)
            if digest == jar.sha256:
                downloaded.replace(folder(cache) / jar.file)
                done.add(jar.size_bytes)
                return
            reason = f"it came with sha256 {digest}, expected {jar.sha256}"
    raise StackError(
        f"{jar.coordinates} cannot be downloaded: {reason}",
        advice="check the network and the proxy, then start again (what is there already stays); "
        "or point at a broker somebody else runs: --kafka HOST:PORT",
    )


def _download(jar: Jar, repository: Path) -> Path:
    from jgo.config import GlobalSettings  # here, because it takes 0.2 s that no later start needs
    from jgo.maven import MavenContext

    remotes = {**GlobalSettings.load().repositories}
    remotes.setdefault("central", _central())
    context = MavenContext(repo_cache=repository, remote_repos=remotes, timeout=_TIMEOUT_S)
    group, artifact, version = jar.coordinates.split(":")
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())


def _central() -> str:
    from jgo.constants import MAVEN_CENTRAL_URL

    return str(MAVEN_CENTRAL_URL)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def lock() -> str:
    """A new jars.txt, resolved from ROOTS by jgo. Blocks for half a minute."""
    import jgo

    with tempfile.TemporaryDirectory() as temporary:
        environment = jgo.build("+".join(ROOTS), cache_dir=Path(temporary))
        rows = []
        for dependency in environment.lockfile.dependencies:
            coordinates = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            name = f"{dependency.artifactId}-{dependency.version}.jar"
            (file,) = Path(temporary).rglob(name)
            rows.append(f"{coordinates} {file.stat().st_size} {_sha256(file)}")
    about = LOCK.read_text().splitlines()[0]
    return "\n".join([about, *sorted(rows), ""])


if __name__ == "__main__":
    sys.stdout.write(lock())
