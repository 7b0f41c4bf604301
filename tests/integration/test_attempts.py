"""Log-ins that fail are counted for all gateways together, and by each for itself while Redis is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from running import PATIENCE, eventually

from gateway.accounts.attempts import OF_ACCOUNT, OF_ADDRESS, Attempts
from gateway.security.shared_windows import SharedWindows
from stack import ports


@asynccontextmanager
async def gateway(redis_url: str) -> AsyncIterator[tuple[Attempts, SharedWindows]]:
    windows = SharedWindows(redis_url, wait_s=5 * PATIENCE)
    await windows.start()
    try:
        yield Attempts(windows), windows
    finally:
        await windows.stop()


async def test_two_gateways_count_together_and_a_success_at_one_is_forgotten_at_both(redis_url: str) -> None:
    async with gateway(redis_url) as (one, _), gateway(redis_url) as (other, _):
        for number in range(OF_ACCOUNT.amount):
            assert await (one, other)[number % 2].begin("aoi", "10.0.0.1") is None
        assert await one.begin("aoi", "10.0.0.2") is not None
        assert await other.begin("aoi", "10.0.0.2") is not None
        await one.succeeded("aoi")
        assert await other.begin("aoi", "10.0.0.1") is None
        for number in range(OF_ADDRESS.amount):
            await (one, other)[number % 2].failed("10.0.0.1")
        assert await one.begin("beni", "10.0.0.1") is not None
        assert await other.begin("beni", "10.0.0.1") is not None
        assert await other.begin("beni", "10.0.0.2") is None


async def test_each_counts_for_itself_while_redis_is_away() -> None:
    nowhere = f"redis://127.0.0.1:{ports.free()}/0"
    async with gateway(nowhere) as (one, windows), gateway(nowhere) as (other, _):
        for _ in range(OF_ACCOUNT.amount):
            assert await one.begin("aoi", "10.0.0.1") is None
        assert await one.begin("aoi", "10.0.0.1") is not None
        assert await other.begin("aoi", "10.0.0.1") is None

        async def away() -> bool:
            return windows.away is not None

        await eventually(away, 10, "it says so")
        await one.succeeded("aoi")
        assert await one.begin("aoi", "10.0.0.1") is None
