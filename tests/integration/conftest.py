import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from doors import AtTheDoor, at_the_door, make_topics

from gateway import schema
from gateway.database import Database, connected
from stack.kafka import Kafka


@pytest.fixture(scope="module", autouse=True)
def _what_is_left_open_is_told_of_its_own_file() -> Iterator[None]:
    """A connection that nobody closed is an error when it is collected: in the middle of whichever test, otherwise."""
    yield
    gc.collect()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """With our tables, and empty."""
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 5) as database:
        yield database


@pytest.fixture(scope="module")
def with_topics(module_kafka: Kafka) -> str:
    """The address of a broker of the module's own: others leave in `activity` what no door would."""
    asyncio.run(make_topics(module_kafka.address))
    return module_kafka.address


@pytest.fixture
async def door(with_topics: str, postgres_url: str) -> AsyncIterator[AtTheDoor]:
    async with at_the_door(with_topics, postgres_url) as at:
        await at.opened()
        yield at
