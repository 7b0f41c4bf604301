import asyncio

from gateway.ending import ended


async def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    lost = 0

    async def round_and_round() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost > 1:
                    raise

    task = asyncio.create_task(round_and_round())
    await asyncio.sleep(0)
    await ended(task)
    assert (task.cancelled(), lost) == (True, 2)


async def test_there_may_be_none_or_one_that_failed() -> None:
    async def fails() -> None:
        raise ValueError("gone")

    await ended(None)
    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await ended(task)
    assert isinstance(task.exception(), ValueError)
