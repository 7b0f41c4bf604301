"""`traceparent`, as the W3C has it: what is one, and what says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.context import CONTEXTS_MAX, HEADER, Context, headers, of_record, parse

TRACE, SPAN = "4bf92f35" * 4, "00f067aa" * 2
GOOD = Context(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # another flag, which is not known here
        (f"cc-{TRACE}-{SPAN}-01", True),  # of a later version
        (f"cc-{TRACE}-{SPAN}-01-what-comes-there", True),
    ],
)
def test_good_ones(text: str, sampled: bool) -> None:
    assert parse(text) == Context(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",  # not in this version
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}",
    ],
)
def test_bad_ones(text: str) -> None:
    assert parse(text) is None
    assert of_record([(HEADER, text.encode())]) == ()


@given(st.text(max_size=80))
def test_anything_is_read_without_an_error(text: str) -> None:
    found = parse(text)
    assert found is None or parse(str(found)) == found


def test_of_a_record_the_sampled_ones_are_read_and_nothing_else() -> None:
    silent = GOOD._replace(sampled=False)
    others = [("other", b"x"), (HEADER, None), (HEADER, b"\xff\xfe"), *headers([silent])]
    assert of_record([*others, *headers([GOOD])]) == (GOOD,)
    assert of_record([]) == ()


def test_a_record_tells_the_newest_of_many() -> None:
    many = [Context(TRACE, f"{number:016x}", sampled=True) for number in range(1, 3 * CONTEXTS_MAX)]
    told = headers(many)
    assert of_record(told) == tuple(many[-CONTEXTS_MAX:])
    assert of_record([*told, *told]) == tuple(many[-CONTEXTS_MAX:])  # of somebody else, who told more
