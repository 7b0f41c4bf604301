"""Which of a language map's entries somebody reads, by his Accept-Language (RFC 9110, lookup by prefix). Pure."""

import re
from collections.abc import Mapping, Sequence

RANGES_MAX = 32  # of a header: who has more has said enough
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?", re.ASCII)


def ranges(accept_language: str) -> list[str]:
    """The most wanted first, in lower case; what cannot be read is left out."""
    found: list[tuple[float, str]] = []
    for text in accept_language.split(",")[:RANGES_MAX]:
        if matching := _RANGE.fullmatch(text):
            found.append((float(matching[2] or 1), matching[1].lower()))
    return [wanted for quality, wanted in sorted(found, key=lambda each: -each[0]) if quality > 0]


def one_of(texts: Mapping[str, str], wanted: Sequence[str]) -> dict[str, str]:
    """A language map with one entry: the first wanted that is there, else its first."""
    for each in wanted:
        for tag, text in texts.items():
            if each == "*" or f"{tag.lower().replace('_', '-')}-".startswith(f"{each}-"):
                return {tag: text}
    return dict(list(texts.items())[:1])
