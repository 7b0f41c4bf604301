"""How often a log-in may fail. Without Redis, so that each count is this process's."""

import pytest

from gateway.accounts.attempts import OF_ACCOUNT, OF_ADDRESS, Attempts
from gateway.security.shared_windows import SharedWindows


@pytest.fixture
def attempts() -> Attempts:
    return Attempts(SharedWindows("redis://127.0.0.1:1/0", wait_s=1))  # not started


async def test_an_account_waits_after_as_many_attempts_from_wherever_they_come(attempts: Attempts) -> None:
    begun = [await attempts.begin("aoi", f"10.0.0.{n}") for n in range(OF_ACCOUNT.amount)]
    assert begun == [None] * OF_ACCOUNT.amount
    wait_ms = await attempts.begin("aoi", "10.0.1.1")
    assert wait_ms is not None
    assert 0 < wait_ms <= 2 * OF_ACCOUNT.get_expiry() * 1_000
    assert await attempts.begin("beni", "10.0.1.1") is None


async def test_one_that_succeeds_forgets_those_before(attempts: Attempts) -> None:
    for _ in range(3 * OF_ACCOUNT.amount):
        assert await attempts.begin("aoi", "10.0.0.1") is None
        await attempts.succeeded("aoi")


async def test_an_address_waits_after_as_many_failures_whoever_is_tried_and_not_for_those_who_succeed(
    attempts: Attempts,
) -> None:
    for number in range(OF_ADDRESS.amount):
        assert await attempts.begin(f"a{number}", "10.0.0.1") is None
        await attempts.failed("10.0.0.1")
        await attempts.begin("good", "10.0.0.1")
        await attempts.succeeded("good")
    assert await attempts.begin("another", "10.0.0.1") is not None
    assert await attempts.begin("another", "::ffff:10.0.0.2") is None


async def test_whoever_has_a_network_of_ipv6_has_one_address(attempts: Attempts) -> None:
    for number in range(OF_ADDRESS.amount):
        await attempts.failed(f"2001:db8::{number + 1:x}")
    assert await attempts.begin("aoi", "2001:db8::ffff:1") is not None
    assert await attempts.begin("aoi", "2001:db8:0:1::1") is None
    assert await attempts.begin("aoi", "unknown") is None
