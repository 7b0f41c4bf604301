"""What an app may be told, and what it is told is wrong with it."""

import logging

import faust
import pytest

from batching import BatchingApp, Limits, unpack


def app() -> BatchingApp:
    return BatchingApp("app", broker="kafka://127.0.0.1:1")


def test_the_lean_unpacker_fits_the_pinned_aiokafka(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert type(unpack.choose("lean")) is unpack.Lean
    assert not caplog.messages


def test_another_aiokafka_is_unpacked_the_portable_way(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiokafka.__version__", "0.15.0")
    with caplog.at_level(logging.WARNING):
        assert type(unpack.choose("lean")) is unpack.Portable
    assert "this is 0.15.0" in caplog.text


def test_another_shape_is_unpacked_the_portable_way(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("aiokafka.consumer.fetcher.FetchResult._update_position")
    with caplog.at_level(logging.WARNING):
        assert type(unpack.choose("lean")) is unpack.Portable
    assert "FetchResult has no _update_position" in caplog.text


def test_an_unknown_unpacker() -> None:
    with pytest.raises(ValueError, match="lean or portable"):
        BatchingApp("app", limits=Limits(unpacker="fast"))


def test_a_topic_is_read_once() -> None:
    it = app()
    it.batch_topic("a")
    with pytest.raises(faust.exceptions.ImproperlyConfigured, match="read already"):
        it.batch_topic("a")


def test_a_table_needs_its_source() -> None:
    with pytest.raises(faust.exceptions.ImproperlyConfigured, match="no batch topic"):
        app().write_behind_table("t", source="a")


def test_agents_of_plain_topics_and_plain_tables_are_refused() -> None:
    it = app()
    with pytest.raises(faust.exceptions.ImproperlyConfigured, match="batch_topic"):
        it.agent(it.topic("a"))(lambda stream: stream)
    with pytest.raises(faust.exceptions.ImproperlyConfigured, match="write_behind_table"):
        it.Table("t")


def test_changelogs_are_named_as_faust_names_them() -> None:
    it = app()
    it.batch_topic("a")
    assert it.write_behind_table("t", source="a").changelog == "app-t-changelog"
    assert it.tables.changelog_topics == {"app-t-changelog"}
