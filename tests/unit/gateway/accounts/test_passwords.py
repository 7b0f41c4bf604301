"""Passwords by Argon2id."""

import asyncio

import pytest

from gateway.accounts.passwords import LENGTH_MAX, LENGTH_MIN, WAITING_MAX, CrowdError, PasswordError, Passwords, hashed


async def test_a_password_fits_its_hash_and_no_other() -> None:
    passwords, held = Passwords(), await hashed("correct horse battery")
    assert held.startswith("$argon2id$v=19$m=65536,t=3,")
    assert await hashed("correct horse battery") != held
    assert await passwords.fits("correct horse battery", held)
    assert not await passwords.fits("correct horse batterz", held)
    assert not await passwords.fits("", held)


async def test_nobodys_fits_nothing_not_even_what_it_is_compared_with() -> None:
    assert not await Passwords().fits("nobody has this password", None)


@pytest.mark.parametrize("length", [0, LENGTH_MIN - 1, LENGTH_MAX + 1])
async def test_too_short_and_too_long_is_none(length: int) -> None:
    with pytest.raises(PasswordError, match="12 to 256"):
        await hashed("x" * length)


async def test_a_crowd_is_told_to_come_back() -> None:
    passwords = Passwords()
    asked = [passwords.fits("x", None) for _ in range(WAITING_MAX + 3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [bool] * WAITING_MAX + [CrowdError] * 3
    assert await passwords.fits("x", None) is False  # and afterwards there is room again
