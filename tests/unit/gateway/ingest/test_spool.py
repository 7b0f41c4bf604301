"""What is on the disk comes back whole and in order, and no more than may be."""

import asyncio
from pathlib import Path

import pytest

from gateway.ingest.lanes import Record
from gateway.ingest.spool import FILE_MIN_BYTES, TAKEN_MAX_BYTES, Spool, SpoolError

MANY = 2**30


def batch(number: int, size: int = 10) -> list[Record]:
    return [(b"s%d" % number, b"%d-" % number + b"x" * size), (b"\xff", b"\x00")]


def opened(folder: Path, max_bytes: int = MANY) -> Spool:
    spool = Spool(folder, max_bytes)
    spool.open()
    return spool


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def emptied(spool: Spool) -> list[Record]:
    found: list[Record] = []
    while spool.filled.is_set():
        files, records = await spool.oldest()
        found += records
        spool.drop(files)
    return found


async def test_what_was_put_at_once_comes_back_in_order_also_to_the_next_process(tmp_path: Path) -> None:
    spool = opened(tmp_path / "new" / "spool")
    assert not spool.holds
    await asyncio.gather(*(spool.put(batch(number)) for number in range(5)))
    spool.close()
    after = opened(tmp_path / "new" / "spool")
    await after.put(batch(5))
    assert await emptied(after) == [record for number in range(6) for record in batch(number)]
    assert not after.holds
    after.close()
    assert await emptied(opened(tmp_path / "new" / "spool")) == []


async def test_what_is_not_dropped_is_taken_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    await spool.put(batch(0))
    assert await spool.oldest() == await spool.oldest() == (1, batch(0))


async def test_as_much_as_may_be_published_together_is_taken_at_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(3):
        await spool.put(batch(number, TAKEN_MAX_BYTES // 2 - FILE_MIN_BYTES))
    files, records = await spool.oldest()
    assert (files, records[0][0], records[-2][0]) == (2, b"s0", b"s1")


async def test_a_full_spool_takes_no_more_until_there_is_room(tmp_path: Path) -> None:
    spool = opened(tmp_path, 2 * FILE_MIN_BYTES)
    await spool.put(batch(0))
    await spool.put(batch(1))
    with pytest.raises(SpoolError, match="full"):
        await spool.put(batch(2))
    spool.drop(1)
    await spool.put(batch(3))
    assert await emptied(spool) == [*batch(1), *batch(3)]


async def test_a_file_half_written_is_gone_and_a_broken_one_put_aside(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(3):
        await spool.put(batch(number))
    spool.close()
    (tmp_path / "000000000003.part").write_bytes(b"half")
    broken = tmp_path / "000000000001.batch"
    broken.write_bytes(broken.read_bytes()[:-1])
    after = opened(tmp_path)
    assert await emptied(after) == [*batch(0), *batch(2)]
    assert names(tmp_path) == ["000000000001.bad", "lock"]


async def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(SpoolError, match="another gateway's"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


async def test_a_disk_that_fails_is_told_and_leaves_no_trace(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool")
    (tmp_path / "spool" / "lock").unlink()
    (tmp_path / "spool").rmdir()
    with pytest.raises(SpoolError, match="cannot be written"):
        await spool.put(batch(0))
    assert not spool.holds
