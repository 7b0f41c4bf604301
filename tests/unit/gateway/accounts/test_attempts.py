"""How often a log-in may fail."""

from gateway.accounts.attempts import OF_ACCOUNT, OF_ADDRESS, Attempts


def test_an_account_waits_after_as_many_attempts_from_wherever_they_come() -> None:
    attempts = Attempts()
    assert [attempts.begin("aoi", f"10.0.0.{n}") for n in range(OF_ACCOUNT.amount)] == [None] * OF_ACCOUNT.amount
    assert attempts.begin("aoi", "10.0.1.1") is not None
    assert attempts.begin("beni", "10.0.1.1") is None


def test_one_that_succeeds_forgets_those_before() -> None:
    attempts = Attempts()
    for _ in range(3 * OF_ACCOUNT.amount):
        assert attempts.begin("aoi", "10.0.0.1") is None
        attempts.succeeded("aoi")


def test_an_address_waits_after_as_many_failures_whoever_is_tried_and_not_for_those_who_succeed() -> None:
    attempts = Attempts()
    for number in range(OF_ADDRESS.amount):
        assert attempts.begin(f"a{number}", "10.0.0.1") is None
        attempts.failed("10.0.0.1")
        attempts.begin("good", "10.0.0.1")
        attempts.succeeded("good")
    assert attempts.begin("another", "10.0.0.1") is not None
    assert attempts.begin("another", "::ffff:10.0.0.2") is None


def test_whoever_has_a_network_of_ipv6_has_one_address() -> None:
    attempts = Attempts()
    for number in range(OF_ADDRESS.amount):
        attempts.failed(f"2001:db8::{number + 1:x}")
    assert attempts.begin("aoi", "2001:db8::ffff:1") is not None
    assert attempts.begin("aoi", "2001:db8:0:1::1") is None
    assert attempts.begin("aoi", "unknown") is None
