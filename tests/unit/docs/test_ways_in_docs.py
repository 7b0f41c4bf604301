"""docs/ways-in.md has the tables by which what others send becomes events, word for word."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.ingest import caliper, jupyter
from gateway.ingest.xapi import adapter
from wire import xapi
from wire.events import Kind

PAGE = (Path(__file__).parents[3] / "docs" / "ways-in.md").read_text()
TABLES: dict[str, Mapping[str, Kind]] = {
    "verb": xapi.KIND_OF_VERB,
    "video verb": xapi.KIND_OF_VIDEO_VERB,
    "event": jupyter.KIND_OF_EVENT,
    "action": caliper.KIND_OF_ACTION,
    "event and action": {"/".join(pair): kind for pair, kind in caliper.KIND_OF_EVENT.items()},
}


@pytest.mark.parametrize("heading", TABLES)
def test_each_word_has_its_kind_and_no_other_is_told(heading: str) -> None:
    _, _, table = PAGE.partition(f"\n| {heading} | kind |\n|---|---|\n")
    told: list[tuple[str, str]] = []
    for line in table.split("\n\n")[0].splitlines():
        words, kind = line.strip("|").split("|")
        told += [(word, kind.strip(" `")) for word in re.findall(r"`([^`]+)`", words)]
    assert dict(told) == {word: kind.value for word, kind in TABLES[heading].items()}
    assert len(told) == len(TABLES[heading])


def test_the_sources_of_ids_are_told() -> None:
    for param, names in jupyter.SOURCES.values():
        assert f"`params.{param}`" in PAGE
        assert all(f"`{name}`" in PAGE for name in names)
    for iri in adapter.COURSE_NAMES:
        place, _, name = iri.rpartition("/")
        assert f"`{name}`" in PAGE
        assert f"`{place}/`" in PAGE
