import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import RunningStack


@pytest.fixture(scope="session")
def running_stack(servers_dir: Path) -> Iterator[RunningStack]:
    """Everything, as `make up` starts it, but without the demo classroom."""
    stack = RunningStack(servers_dir / "stack")
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(stack.down)
        stack.run("up", "--empty", "--detach", timeout_s=180)
        yield stack


@pytest.fixture
def own_stack(servers_dir: Path, request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """Not started yet; down after the test, and nothing of it is left."""
    stack = RunningStack(servers_dir / request.node.name)
    yield stack
    stack.down()
    assert stack.left_running() == []
    shutil.rmtree(stack.home, ignore_errors=True)
