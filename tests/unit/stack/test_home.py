"""The home's ports, its one launcher, and what it says of a launcher that is gone."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stack import child, ports, state
from stack.errors import StackError
from stack.home import Home
from stack.state import Board, Service


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, tmp_path / "cache")


def test_the_environment_says_where_it_is(tmp_path: Path) -> None:
    assert Home.of({}) == Home(Path(".classpulse").absolute(), Path(".classpulse/cache").absolute())
    named = Home.of({"CLASSPULSE_HOME": str(tmp_path)})
    assert named == Home(tmp_path, tmp_path / "cache")
    assert Home.of({"CLASSPULSE_HOME": str(tmp_path), "CLASSPULSE_CACHE": "/parts"}).cache == Path("/parts")


def test_a_service_keeps_its_port(home: Home) -> None:
    first = {name: home.port(name) for name in ("gateway", "kafka", "valkey")}
    assert len(set(first.values())) == 3
    assert {name: home.port(name) for name in reversed(first)} == first


def test_a_port_that_is_taken_is_replaced_and_the_new_one_kept(home: Home) -> None:
    taken = home.port("gateway")
    with socket.socket() as other:
        other.bind((ports.HOST, taken))
        other.listen()
        new = home.port("gateway")
    assert new != taken
    assert home.port("gateway") == new


def test_a_damaged_ports_file_is_as_none(home: Home) -> None:
    home.ports_file.write_text("{")
    assert home.port("gateway") == home.port("gateway")


def test_there_is_one_launcher_in_a_home(home: Home) -> None:
    assert home.launcher_pid is None
    with home.launching():
        assert home.launcher_pid is not None
        with pytest.raises(StackError, match="another launcher"), home.launching():
            pass
        assert home.launcher_pid is not None
    assert home.launcher_pid is None
    with home.launching():
        pass


def test_nobody_else_may_read_what_runs_because_it_holds_a_token(home: Home) -> None:
    with Board(home).change() as run:
        run.environment["CLASSPULSE_INFLUX_TOKEN"] = "secret"
    assert stat.S_IMODE(home.run_file.stat().st_mode) == 0o600


def test_what_was_written_is_read_while_the_launcher_runs(home: Home) -> None:
    with home.launching():
        board = Board(home)
        with board.change() as run:
            run.services.append(Service(name="kafka", kind="server", pid=1, detail="授業"))
        with board.service("kafka") as kafka:
            kafka.state = "ready"
        found = state.read(home)
        assert found == board.run
        assert found.state == "starting"
        assert found.services[0].detail == "授業"


def test_a_launcher_that_was_killed_left_nothing_running(home: Home) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    child.write_pid_file(home.launcher_pid_file, dead.pid)
    board = Board(home)
    with board.change() as run:
        run.state, run.launcher_pid = "running", dead.pid
        run.services.append(Service(name="kafka", kind="server", state="ready", pid=dead.pid))
    dead.wait()
    found = state.read(home)
    assert (found.state, found.launcher_pid, found.error) == ("stopped", None, "the launcher was killed")
    assert (found.services[0].state, found.services[0].pid) == ("stopped", None)


@pytest.mark.parametrize("text", [None, "", "{", json.dumps({"state": "flying"}), "[]"])
def test_no_file_or_a_strange_one_is_a_stack_that_is_stopped(home: Home, text: str | None) -> None:
    if text is not None:
        home.run_file.write_text(text)
    assert state.read(home).state == "stopped"
