"""The elements of a JSON list, told apart without recursion, so that one nested too deep hides no other. Pure."""

import re
from itertools import islice
from typing import NamedTuple

TOKENS_MAX = 100_000  # some 50 ms, in which nobody else is served; 500 events as they are meant have 20,000

_BLANK = b" \t\n\r"
# A string as a whole, brackets as many as stand together, a comma. Nothing is looked at twice: a string that does not
# end goes to the end of the text, or each quote in it would begin another such.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]+|[\]}]+|,', re.DOTALL)


class Element(NamedTuple):
    """`text[start:end]`, blanks around it included."""

    start: int
    end: int
    depth: int  # of what is nested in it: 0 for a number, 1 for {}


def split(text: bytes) -> list[Element]:
    """Of the list that `text` is, in one pass. Raises ValueError where it is none, has no end, or more than TOKENS_MAX
    tokens.

    Brackets are counted, not matched, and what lies between commas is not looked at: whether it all is JSON a decoder
    has to say.
    """
    opened = len(text) - len(text.lstrip(_BLANK))
    if not text.startswith(b"[", opened):
        raise ValueError("it is no list")
    found: list[Element] = []
    start = opened + 1
    depth = deepest = 0
    for token in islice(_TOKEN.finditer(text, start), TOKENS_MAX):
        first, size = text[token.start()], token.end() - token.start()
        if first in b"[{":
            depth += size
            deepest = max(deepest, depth)
        elif first in b"]}":
            if size > depth:
                end = token.start() + depth
                if found or text[start:end].strip(_BLANK):
                    found.append(Element(start, end, deepest))
                return found
            depth -= size
        elif first in b"," and depth == 0:
            found.append(Element(start, token.start(), deepest))
            start, deepest = token.end(), 0
    raise ValueError("the list has no end, or not soon enough")
