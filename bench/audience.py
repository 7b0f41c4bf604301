"""Viewers by the thousand in one process: a socket each, read as cheaply as it goes, because a reader that is behind
would measure itself."""

import errno
import json
import random
import socket
import time
from collections.abc import Sequence
from typing import TypeVar

from bench.harness import BenchError
from wire.frames import PROTOCOL

GREETED_S_MAX = 60.0
_MASKED, _TEXT, _PONG, _PING = 0x80, 0x81, 0x8A, 9
_UPDATE, _SCOPE, _OFFSET, _SKIPPED = b'{"type":"update","scope":"', b'"scope":"', b'"offset":', b'"skipped":'
_HEAD_BYTES = 240  # of an update before its values


class Watcher:
    """One viewer's socket, and how many updates have come on it: a frame is one."""

    def __init__(self, link: socket.socket, scopes: Sequence[str], rest: bytes = b"") -> None:
        """`rest`: what came behind the handshake."""
        self.link = link
        self.scopes = scopes
        self.frames = 0
        self.tick = 0  # how many ticks have reached him whole
        self.rest = rest

    def say(self, message: object) -> None:
        payload = json.dumps(message, separators=(",", ":")).encode()
        if len(payload) > 125:
            raise ValueError(f"only short messages can be said: {payload!r}")
        self.link.send(bytes((_TEXT, _MASKED | len(payload))) + bytes(4) + payload)

    def subscribe(self) -> None:
        for scope in self.scopes:
            self.say({"type": "subscribe", "scope": scope})

    def read(self, size: int = 1 << 18) -> None:
        """Raises BlockingIOError where there is nothing."""
        data = self.link.recv(size)
        if not data:
            raise BenchError("a viewer's connection was closed")
        data, at = self.rest + data, 0
        while len(data) - at >= 4:
            length, start = data[at + 1], at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : start], "big")
            if start + length > len(data):
                break
            if data[at] & 15 <= 2:
                self.take(data, start, start + length)
            elif data[at] & 15 == _PING:  # who does not answer is cut off after 20 s
                self.link.send(bytes((_PONG, _MASKED | length)) + bytes(4) + data[start : start + length])
            at = start + length
        self.rest = data[at:]

    def take(self, _data: bytes, _start: int, _end: int) -> None:
        self.frames += 1


WatcherT = TypeVar("WatcherT", bound=Watcher)


class Pushed(Watcher):
    """Of Centrifuge, which puts several pushes into one frame."""

    def subscribe(self) -> None:
        self.say({"id": 1, "connect": {}})
        for number, scope in enumerate(self.scopes):
            self.say({"id": 2 + number, "subscribe": {"channel": scope}})

    def take(self, data: bytes, start: int, end: int) -> None:
        self.frames += data.count(b'"pub"', start, end)


class Careful(Watcher):
    """Of the live protocol: holds each update against the one before it."""

    def __init__(self, link: socket.socket, scopes: Sequence[str], rest: bytes = b"") -> None:
        super().__init__(link, scopes, rest)
        self.offsets: dict[bytes, int] = {}
        self.answered = 0  # scopes, by a snapshot or by `resumed`
        self.epochs: dict[bytes, str] = {}
        self.gaps = 0
        self.duplicates = 0
        self.skipped = 0

    def acknowledge(self) -> None:
        """All that has come."""
        scope, offset = next(iter(self.offsets.items()))
        self.say({"type": "ack", "scope": scope.decode(), "offset": offset})

    def take(self, data: bytes, start: int, end: int) -> None:
        head = data[start : min(end, start + _HEAD_BYTES)]
        if not head.startswith(_UPDATE):
            if head.startswith((b'{"type":"snapshot"', b'{"type":"resumed"')):
                self.answered += 1
                scope = _text(head, _SCOPE)
                self.offsets[scope] = _number(head, _OFFSET)
                self.epochs[scope] = _text(head, b'"epoch":"').decode()
            return
        scope, offset = _text(head, _SCOPE), _number(head, _OFFSET)
        skipped = 0 if data.endswith(b":0}", start, end) else _number(data[end - 30 : end], _SKIPPED)
        before = self.offsets[scope]
        self.duplicates += offset <= before
        self.gaps += offset > before + 1 + skipped
        self.offsets[scope] = offset
        if not self.epochs[scope]:  # it had never had a value
            self.epochs[scope] = _text(head, b'"epoch":"').decode()
        self.skipped += skipped
        self.frames += 1 + skipped


def _text(head: bytes, field: bytes) -> bytes:
    at = head.index(field) + len(field)
    return head[at : head.index(b'"', at)]


def _number(head: bytes, field: bytes) -> int:
    at = head.rindex(field) + len(field)
    end = at
    while head[end : end + 1].isdigit():
        end += 1
    return int(head[at:end])


def request(deflate: bool = False) -> bytes:
    extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if deflate else ""
    return (
        "GET /ws/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extensions}"
        f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    ).encode()


def accepted(answer: bytes, deflate: bool = False) -> bytes:
    """What came behind the whole answer to `request`. Raises BenchError where it is no yes."""
    if b" 101 " not in answer.splitlines()[0] or (b"deflate" in answer.partition(b"\r\n\r\n")[0]) is not deflate:
        raise BenchError(f"not the WebSocket that was asked for: {answer[:300]!r}")
    return answer.partition(b"\r\n\r\n")[2]


def opened(
    port: int, kind: type[WatcherT], scopes: Sequence[str], *, deflate: bool = False, buffer: int = 0
) -> WatcherT:
    """A viewer who has said what he wants. `buffer`: bytes the kernel may hold for him; 0: as it likes."""
    link = socket.socket()
    link.settimeout(10)
    if buffer:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    link.connect(("127.0.0.1", port))
    link.sendall(request(deflate))
    answer = b""
    while b"\r\n\r\n" not in answer:
        if not (data := link.recv(4_096)):
            raise BenchError(f"closed instead of an answer: {answer!r}")
        answer += data
    watcher = kind(link, scopes, accepted(answer, deflate))
    watcher.subscribe()
    link.setblocking(False)
    return watcher


class Audience:
    """The same each time: who watches what is drawn with one seed."""

    def __init__(self, port: int, kind: type[Watcher] = Careful, *, deflate: bool = False) -> None:
        self.watchers: list[Watcher] = []
        self._port, self._kind, self._deflate = port, kind, deflate

    def arrive(self, viewers: int, scopes: Sequence[str]) -> None:
        """Each watches 1 to 3 of the scopes. Returns when all are answered, where they are."""
        dice = random.Random(7)  # noqa: S311 -- no secret
        for number in range(viewers):
            wanted = dice.sample(scopes, 1 + number % 3)
            self.watchers.append(opened(self._port, self._kind, wanted, deflate=self._deflate))
        until = time.monotonic() + GREETED_S_MAX
        while any(isinstance(each, Careful) and each.answered < len(each.scopes) for each in self.watchers):
            self.look()
            if time.monotonic() > until:
                raise BenchError("not everybody has got his snapshots")

    def look(self) -> None:
        """Reads what there is."""
        for watcher in self.watchers:
            try:
                while True:
                    watcher.read()
            except BlockingIOError:
                continue

    def acknowledge(self) -> None:
        """All that has come."""
        for watcher in self.watchers:
            if isinstance(watcher, Careful):
                watcher.acknowledge()

    def leave(self) -> None:
        for watcher in self.watchers:
            watcher.link.close()
        self.watchers = []


def connecting(port: int) -> socket.socket:
    """A socket on its way; writable when it is there."""
    link = socket.socket()
    link.setblocking(False)
    if (code := link.connect_ex(("127.0.0.1", port))) not in (0, errno.EINPROGRESS):
        raise BenchError(f"cannot connect: {errno.errorcode[code]}")
    return link
