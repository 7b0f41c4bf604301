"""Batches of events on disk, for as long as Kafka is away: each a file of its own, in the order of their numbers.

A file has its name only when all of it is on the disk, so kill -9 and a power cut leave whole ones; it is deleted when
Kafka has acknowledged all of it. What is killed in between is sent a second time, and counts once by its event ids.
"""

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from gateway.ingest.lanes import Record

log = structlog.get_logger(__name__)

FILE_MIN_BYTES = 4_096  # what a small one takes on the disk
TAKEN_MAX_BYTES = 2**20  # at once, to be published together

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


class SpoolError(Exception):
    """The batch is not kept; the message says why."""


class Spool:
    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Opens nothing. `folder` is made where it is missing, and no other process may have it."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._files: deque[tuple[Path, int]] = deque()  # complete, oldest first, with what each takes
        self._bytes = 0  # of those, and of what is being written
        self._number = 0
        self._writing = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._lock = -1
        self.filled = asyncio.Event()  # there is something to take

    @property
    def holds(self) -> bool:
        """Also while the first is being written: what comes meanwhile has to go behind it."""
        return self._bytes > 0

    @property
    def held_bytes(self) -> int:
        return self._bytes

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @property
    def batches(self) -> int:
        return len(self._files)

    def open(self) -> None:
        """Finds what an earlier process has left. Raises SpoolError where the folder cannot be used."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for half in self._folder.glob("*.part"):
                half.unlink()
            for file in sorted(self._folder.glob("*.batch")):
                self._add(file, self._takes(file.stat().st_size))
                self._number = int(file.stem) + 1
        except BlockingIOError:
            raise SpoolError(f"{self._folder} is another gateway's spool: each needs its own") from None
        except (OSError, ValueError) as error:
            raise SpoolError(f"the spool {self._folder} cannot be used: {error}") from error
        if self._files:
            log.warning("the spool holds events of an earlier run", batches=len(self._files))

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def put(self, records: Sequence[Record]) -> None:
        """Returns when it is on the disk, behind all that came before. Raises SpoolError."""
        data = _encode(records)
        size = self._takes(len(data))
        if self._bytes + size > self._max_bytes:
            raise SpoolError(f"the spool is full: it may have {self._max_bytes} bytes")
        self._bytes += size
        # Not to be cancelled half way: a thread goes on, and the file would be there without being known.
        writing = asyncio.create_task(self._write(data, size))
        self._under_way.add(writing)
        writing.add_done_callback(self._under_way.discard)
        await asyncio.shield(writing)

    async def _write(self, data: bytes, size: int) -> None:
        """Raises SpoolError."""
        async with self._writing:
            file = self._folder / f"{self._number:012}.batch"
            self._number += 1
            try:
                await asyncio.to_thread(_write, file, data)
            except OSError as error:
                raise SpoolError(f"the spool cannot be written: {error}") from error
            else:
                self._add(file, size)
            finally:
                self._bytes -= size  # which `put` reserved

    async def oldest(self) -> tuple[int, list[Record]]:
        """How many files, and what is in them; [] where the first cannot be read, and is put aside."""
        return await asyncio.to_thread(self._read)

    def drop(self, files: int) -> None:
        """What `oldest` gave is in Kafka."""
        for _ in range(files):
            file, size = self._files.popleft()
            file.unlink(missing_ok=True)
            self._bytes -= size
        if not self._files:
            self.filled.clear()

    def _add(self, file: Path, size: int) -> None:
        self._files.append((file, size))
        self._bytes += size
        self.filled.set()

    def _read(self) -> tuple[int, list[Record]]:
        found: list[Record] = []
        size = 0
        files = list(self._files)
        for number, (file, takes) in enumerate(files):
            if number and size + takes > TAKEN_MAX_BYTES:
                return number, found
            try:
                some = _decode(file.read_bytes())
            except (OSError, msgspec.DecodeError) as error:
                if number:
                    return number, found
                log.error("a file of the spool cannot be read, and is put aside", file=str(file), reason=str(error))
                file.rename(file.with_suffix(".bad"))
                return 1, []
            found += some
            size += takes
        return len(files), found

    @staticmethod
    def _takes(size: int) -> int:
        return -(-size // FILE_MIN_BYTES) * FILE_MIN_BYTES


def _write(file: Path, data: bytes) -> None:
    part = file.with_suffix(".part")
    with part.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    part.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
