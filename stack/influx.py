"""InfluxDB 2, where an `influxd` is to be had: no package index has one."""

import lzma
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from stack import answers
from stack.errors import StackError
from stack.secret import write_secret
from stack.server import CACHE, Progress, Server, quiet

ORG = "classpulse"
BUCKET = "classpulse"
SHARED = Path("..") / "shared" / "bin" / "influxd.xz"  # beside the project

_CHECK_TIMEOUT_S = 30.0
_SETUP_TIMEOUT_S = 15.0


def find(
    cache: Path, environment: Mapping[str, str], project: Path, progress: Progress = quiet
) -> tuple[Path | None, str]:
    """The server's program and how it was found, or None and why there is none. Never raises; may unpack for seconds.

    In this order: the path CLASSPULSE_INFLUXD, PATH, the cache, the file CLASSPULSE_INFLUXD_XZ, SHARED.
    """
    named = environment.get("CLASSPULSE_INFLUXD", "")
    if named:
        why_not = _runs(Path(named))
        return (None, f"CLASSPULSE_INFLUXD={named}: {why_not}") if why_not else (Path(named), "CLASSPULSE_INFLUXD")
    on_path = shutil.which("influxd", path=environment.get("PATH"))
    if on_path and not _runs(Path(on_path)):
        return Path(on_path), "PATH"
    packed = Path(environment.get("CLASSPULSE_INFLUXD_XZ", "") or project / SHARED)
    if packed.is_file():
        try:
            unpacked = _unpack(packed, cache, progress)
        except (OSError, lzma.LZMAError) as error:
            return None, f"{packed} cannot be unpacked: {error}"
        why_not = _runs(unpacked)
        return (None, f"{packed}: {why_not}") if why_not else (unpacked, str(packed))
    for cached in sorted(cache.glob("influxd-*/influxd")):
        if not _runs(cached):
            return cached, "cache"
    return None, f"no influxd in CLASSPULSE_INFLUXD, on PATH or in {cache}, and {packed} is not there"


class Influx(Server):
    """With ORG, BUCKET and a token with all rights, made on its first start."""

    name: ClassVar[str] = "influxd"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # it ignores SIGTERM while it has connections

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        *,
        program: Path,
        cache: Path = CACHE,
        log: Path | None = None,
        progress: Progress = quiet,
    ) -> None:
        super().__init__(home, port, cache=cache, log=log, progress=progress)
        self.program = program

    org = ORG
    bucket = BUCKET

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def token_file(self) -> Path:
        return self.home / "token"

    @property
    def token(self) -> str:
        """Made with the first start of this home."""
        return self.token_file.read_text().strip()

    def prepare(self) -> None:
        if not self.token_file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            write_secret(self.token_file, secrets.token_urlsafe(48))

    def command(self) -> list[str]:
        data = self.home / "data"
        options = {
            "http-bind-address": self.address,
            "bolt-path": data / "influxd.bolt",
            "sqlite-path": data / "influxd.sqlite",
            "engine-path": data / "engine",
            "log-level": "info",
        }
        return [
            str(self.program),
            "run",
            *(f"--{name}={value}" for name, value in options.items()),
            "--reporting-disabled",
        ]

    def answers(self) -> bool:
        found = answers.http_json(f"{self.url}/health")
        return found is not None and found[0] == 200 and found[1].get("status") == "pass"

    def create_bucket(self, name: str) -> None:
        """Without retention. Raises StackError."""
        where = f"{self.url}/api/v2/orgs?org={ORG}"
        found = answers.http_json(where, token=self.token)
        if found is None or found[0] != 200:
            raise StackError(f"influxd at {self.url} does not tell its organisation: {found}")
        wanted = {"orgID": found[1]["orgs"][0]["id"], "name": name, "retentionRules": []}
        done = answers.http_json(f"{self.url}/api/v2/buckets", wanted, token=self.token)
        if done is None or done[0] != 201:
            raise StackError(f"influxd at {self.url} does not create the bucket {name}: {done}")

    def settle(self) -> None:
        deadline = time.monotonic() + _SETUP_TIMEOUT_S
        found = None
        while time.monotonic() < deadline:
            found = answers.http_json(f"{self.url}/api/v2/setup")
            if found is not None and found[0] == 200:
                break
            time.sleep(0.05)
        if found is None or found[0] != 200:
            raise StackError(f"influxd at {self.url} does not say whether it is set up: {found}", lines=self.tail())
        if not found[1]["allowed"]:
            return
        wanted = {"username": ORG, "password": secrets.token_urlsafe(24), "org": ORG, "bucket": BUCKET}
        done = answers.http_json(
            f"{self.url}/api/v2/setup", {**wanted, "token": self.token}, timeout_s=_SETUP_TIMEOUT_S
        )
        if done is None or done[0] != 201:
            raise StackError(f"influxd at {self.url} cannot be set up: {done}", lines=self.tail())


def _runs(program: Path) -> str:
    """Why it does not run; "" where it does."""
    try:
        done = subprocess.run(
            [str(program), "help"], capture_output=True, text=True, timeout=_CHECK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    return "" if done.returncode == 0 else f"`influxd help` ended with exit code {done.returncode}: {done.stderr[:200]}"


def _unpack(packed: Path, cache: Path, progress: Progress) -> Path:
    with packed.open("rb") as opened:
        digest = sha256(opened.read()).hexdigest()
    folder = cache / f"influxd-{digest[:12]}"
    program = folder / "influxd"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".influxd-{os.getpid()}"
        size = packed.stat().st_size
        with packed.open("rb") as raw, lzma.open(raw) as source, temporary.open("wb") as out:
            while chunk := source.read(1 << 20):
                out.write(chunk)
                progress("InfluxDB", min(raw.tell(), size), size)
        temporary.chmod(0o755)
        temporary.replace(program)
    return program
