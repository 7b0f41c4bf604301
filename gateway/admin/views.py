"""Letters as they are told, by the API and by `classpulse dead-letters --json`."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway.admin.handling import Report
from gateway.admin.letters import Letter
from wire.dead_letters import Action, Reason

LAST_MS = 253_402_300_799_000  # in the year 9999


class Source(BaseModel):
    """The record that could not be used."""

    topic: Annotated[str, Field(examples=["activity"])]
    partition: int
    offset: int
    timestamp: datetime


class Deed(BaseModel):
    action: Action
    at: datetime
    by: Annotated[str, Field(description="an API key's name, or who ran the command", examples=["ops"])]
    why: Annotated[str, Field(examples=["the plug-in is mended"])]


class LetterView(BaseModel):
    id: Annotated[str, Field(description="where it lies", examples=["activity.dead-letters-3-41"])]
    written: datetime
    reason: Reason
    detail: str
    source: Source
    key: Annotated[str | None, Field(description="bytes that are not UTF-8 as \\xff", examples=["s001"])]
    value_bytes: Annotated[int | None, Field(description="null: it has no value")]
    sink: Annotated[str | None, Field(description="of a parked update: the store that did not take it")]
    tries: Annotated[int | None, Field(description="of a parked update")]
    handled: Annotated[Deed | None, Field(description="null: nobody has done anything yet")]


class WholeLetter(LetterView):
    key_base64: str | None
    value_base64: str | None
    value_text: Annotated[str | None, Field(description="null where it is not UTF-8")]


class Outcome(BaseModel):
    id: Annotated[str, Field(examples=["activity.dead-letters-3-41"])]
    result: Literal["done", "would_be_done", "refused"]
    reason: Annotated[str | None, Field(description="of a refused one")]
    note: Annotated[str | None, Field(description="what is worth knowing all the same")]


class Outcomes(BaseModel):
    action: Action
    dry_run: bool
    done: Annotated[int, Field(description="or would be")]
    refused: int
    more: Annotated[int, Field(description="that match, behind these: the same again does them")]
    letters: Annotated[list[Outcome], Field(description="oldest first")]


def view(letter: Letter) -> LetterView:
    content, mark = letter.content, letter.handled
    return LetterView(
        id=str(letter.id),
        written=utc(letter.written_ms),
        reason=content.reason,
        detail=content.detail,
        source=Source(
            topic=content.topic,
            partition=content.partition,
            offset=content.offset,
            timestamp=utc(content.timestamp_ms),
        ),
        key=None if content.key is None else content.key.decode("utf-8", "backslashreplace"),
        value_bytes=content.left_out_bytes or (None if content.value is None else len(content.value)),
        sink=content.sink or None,
        tries=content.tries or None,
        handled=mark and Deed(action=mark.action, at=utc(mark.at_ms), by=mark.by, why=mark.why),
    )


def whole(letter: Letter) -> WholeLetter:
    content = letter.content
    try:
        text = None if content.value is None else content.value.decode()
    except UnicodeDecodeError:
        text = None
    return WholeLetter(
        **dict(view(letter)),
        key_base64=None if content.key is None else b64encode(content.key).decode(),
        value_base64=None if content.value is None else b64encode(content.value).decode(),
        value_text=text,
    )


def outcomes(report: Report) -> Outcomes:
    done: Literal["done", "would_be_done"] = "done" if report.done else "would_be_done"
    return Outcomes(
        action=report.action,
        dry_run=not report.done,
        done=len(report.good),
        refused=len(report.verdicts) - len(report.good),
        more=report.more,
        letters=[
            Outcome(
                id=str(verdict.letter.id),
                result="refused" if verdict.objection else done,
                reason=verdict.objection or None,
                note=verdict.note or None,
            )
            for verdict in report.verdicts
        ],
    )


def utc(epoch_ms: int) -> datetime:
    """A letter says what it likes, and a record without a timestamp has -1."""
    return datetime.fromtimestamp(max(0, min(epoch_ms, LAST_MS)) / 1000, UTC)
