import contextlib
from collections.abc import Iterator

import pytest
from running import RunningStack


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Everything, as `make up` starts it, but without the demo classroom."""
    stack = RunningStack(tmp_path_factory.mktemp("stack"))
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(stack.down)
        stack.run("up", "--empty", "--detach", timeout_s=180)
        yield stack
