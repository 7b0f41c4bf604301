"""Where everything of one local stack lies: `.classpulse/`, or the folder that CLASSPULSE_HOME names."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack import child, ports
from stack.errors import StackError

FOLDER = Path(".classpulse")


@dataclass(frozen=True)
class Home:
    folder: Path
    cache: Path  # what was downloaded and unpacked; homes may share one

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        folder = Path(environment.get("CLASSPULSE_HOME") or FOLDER).absolute()
        return cls(folder, Path(environment.get("CLASSPULSE_CACHE") or folder / "cache").absolute())

    @property
    def run_file(self) -> Path:
        return self.folder / "run.json"

    @property
    def launcher_pid_file(self) -> Path:
        return self.folder / "launcher.pid"

    @property
    def launcher_pid(self) -> int | None:
        """Of the launcher that runs here now."""
        return child.running_pid(self.launcher_pid_file)

    @property
    def demo_key_file(self) -> Path:
        return self.folder / "demo.key"

    @property
    def status_key_file(self) -> Path:
        """An admin's key, made by `classpulse status` for itself."""
        return self.folder / "status.key"

    @property
    def demo_roster_file(self) -> Path:
        return self.folder / "demo-roster.csv"

    @property
    def processes(self) -> Path:
        """Pid files of our own processes; each server has a folder of its own."""
        return self.folder / "processes"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    @property
    def ports_file(self) -> Path:
        return self.folder / "ports.json"

    def kept_ports(self) -> dict[str, int]:
        """By service, as it was last time."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self.ports_file.read_text()))
        return {}

    def port(self, name: str) -> int:
        """The one it had last time where that is free, so that bookmarks and clients go on working."""
        kept = self.kept_ports()
        if not (name in kept and ports.is_free(kept[name])):
            others = set(kept.values())
            kept[name] = next(port for port in iter(ports.free, None) if port not in others)
            temporary = self.ports_file.with_suffix(".new")
            temporary.write_text(json.dumps(kept, indent=1))
            temporary.replace(self.ports_file)
        return kept[name]

    @contextlib.contextmanager
    def launching(self) -> Iterator[None]:
        """Around all that a launcher does: there is one in a home at a time. Raises StackError where another runs.

        The kernel gives the lock back when its holder dies, so there is no stale one; children do not inherit it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # As root PostgreSQL runs as somebody else, who must be able to pass through.
        self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        with (self.folder / "launcher.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(f"another launcher is at work in {self.folder}", advice="classpulse status") from None
            child.write_pid_file(self.launcher_pid_file, os.getpid())
            try:
                yield
            finally:
                self.launcher_pid_file.unlink(missing_ok=True)
