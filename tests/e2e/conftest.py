import contextlib
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
