"""One pub/sub connection to Redis. When it breaks it is over: it never comes back by itself.

redis-py's own PubSub reconnects unseen, in whichever task notices first. What is published meanwhile would be missed
without a word, and two tasks that notice at once leave a socket open.
"""

import asyncio
import math
from typing import NamedTuple

import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError


class Message(NamedTuple):
    kind: str  # message, subscribe (confirmed), unsubscribe or pong
    channel: str
    data: bytes  # of a message


class Subscription:
    """`async with` connects and closes. One task may read while another sends. Everything raises redis.RedisError or
    OSError where the connection is gone."""

    def __init__(self, pool: "redis.ConnectionPool", timeout_s: float) -> None:
        """`pool` only says how to connect; `timeout_s`: for connecting, and for each command to be taken."""
        self._connection: redis.Connection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._timeout_s = timeout_s

    async def __aenter__(self) -> "Subscription":
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:  # cancelled half way, it would leave the socket open
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.disconnect(nowait=True)

    async def subscribe(self, *channels: str) -> None:
        """Returns before it is confirmed. Redis confirms a channel each time, subscribed before or not."""
        await self._send("SUBSCRIBE", *channels)

    async def unsubscribe(self, *channels: str) -> None:
        await self._send("UNSUBSCRIBE", *channels)

    async def ping(self) -> None:
        """Returns before it is answered. Only while something is subscribed."""
        await self._send("PING")

    async def next(self) -> Message:
        """Waits for as long as it takes. Cancelling loses the connection, not a message alone."""
        answer = await self._connection.read_response(timeout=math.inf, push_request=True)
        match answer:
            case [bytes(kind), bytes(channel), bytes(data)]:
                return Message(kind.decode(), channel.decode(), data)
            case [b"subscribe" | b"unsubscribe" as kind, bytes(channel), _]:
                return Message(kind.decode(), channel.decode(), b"")
            case [b"pong", _] | b"PONG":
                return Message("pong", "", b"")
        raise RedisConnectionError(f"not an answer to a subscriber: {answer!r}")

    async def _send(self, *command: str) -> None:
        if not self._connection.is_connected:  # it would connect anew
            raise RedisConnectionError("the connection is gone")
        async with asyncio.timeout(self._timeout_s):
            await self._connection.send_command(*command, check_health=False)
