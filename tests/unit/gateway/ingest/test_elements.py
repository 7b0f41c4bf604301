"""The flat scanner tells the elements of a list apart as a decoder does, and bounds what it looks at."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.elements import TOKENS_MAX, split

# Text that is all quotes, backslashes and brackets is where a scanner may go wrong.
TEXT = st.text(max_size=5) | st.text('"\\[]{},', max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(st.lists(JSON, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_it_splits_as_a_decoder_does(elements: list[object], ascii_only: bool, indent: int | None) -> None:
    text = f" {json.dumps(elements, ensure_ascii=ascii_only, indent=indent)}\n".encode()
    found = split(text)
    assert [text[element.start : element.end].strip() for element in found] == [
        bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])
    ]
    assert [element.depth for element in found] == [depth(element) for element in elements]


@given(st.binary() | st.text('"\\[]{}, 1', max_size=40).map(str.encode))
def test_whatever_it_is_given_it_splits_or_says_why_not(text: bytes) -> None:
    try:
        found = split(text)
    except ValueError:
        return
    assert all(0 < element.start <= element.end < len(text) for element in found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no list"),
        (b'{"a": [1]}', "no list"),
        (b"[1, [2]", "no end"),
        (b'["a]', "no end"),
        (b"[" + b'"\\"' * 300_000, "no end"),  # each quote begins no string of its own: that would take hours
        (b"[" + b"," * (TOKENS_MAX + 1) + b"]", "not soon enough"),
    ],
)
def test_what_it_cannot_split_is_said(text: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        split(text)
