"""One person is one id, whichever way an e-mail address is told, and the id is not the address."""

import hashlib

from wire import persons

ADDRESS = "yuki@example.org"
SHA1 = hashlib.sha1(f"mailto:{ADDRESS}".encode()).hexdigest()


def test_an_address_is_the_same_person_as_its_hash() -> None:
    told = (ADDRESS, f"mailto:{ADDRESS}", SHA1, SHA1.upper())
    assert {persons.of_address(each) for each in told} == {persons.of_name(ADDRESS)}
    assert not {ADDRESS, SHA1} & {persons.of_address(ADDRESS)}


def test_a_name_stays_as_it_is() -> None:
    assert persons.of_name("s001") == "s001"


def test_a_url_is_not_kept() -> None:
    assert "example" not in persons.of_url("https://yuki.example.org")
    assert persons.of_url("https://a.example.org") != persons.of_url("https://b.example.org")
