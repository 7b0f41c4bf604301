"""Starting clients of aiokafka's while a broker may be on its way back."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

log = logging.getLogger(__name__)

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer)

_PAUSE_S, _PAUSE_S_MAX = 0.1, 2.0


async def started(make: Callable[[], Client]) -> Client:
    """One of what `make` makes, once it has reached a broker; for how long to try is the caller's to say. A login or a
    certificate that is refused looks like no broker. Raises aiokafka's other errors."""
    pause_s = _PAUSE_S
    while True:
        client = make()
        try:
            await client.start()
        except BaseException as error:
            await client.stop()
            if not _unreachable(error):
                raise
            log.warning("cannot connect: %s; trying again", error)
        else:
            return client
        await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 -- jitter, not a secret
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


def _unreachable(error: BaseException) -> bool:
    """Also as a transactional producer wraps it while it begins. Not what cancels, whatever that comes of."""
    causes = (error, error.__cause__)
    return isinstance(error, KafkaError) and any(isinstance(one, KafkaConnectionError) for one in causes)
