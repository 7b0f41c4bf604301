"""The live protocol is told three times, as a page, as AsyncAPI and as code, and each time the same."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from msgspec import UNSET

from gateway.live import endpoint, session
from gateway.live.connection import HEARTBEAT_S, WRITE_BUFFER_BYTES
from gateway.live.delivery import BOUNDS
from gateway.live.scope import RECENT
from wire import channels, frames
from wire.frames import PROTOCOL, CloseCode, ErrorCode, Frame, Message, Reason

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "live-protocol.md").read_text()
TELLS, HEARS = get_args(Frame), get_args(Message)


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCS / "live-protocol.yaml").read_text()))


def _fields(of: Any) -> str:
    """As the page writes them: those with a value that means "none" are left out where they have it."""
    omitted = of.__struct_config__.omit_defaults
    return ", ".join(
        f"`{field.encode_name}`" + ("?" if field.default is UNSET or (omitted and not field.required) else "")
        for field in msgspec.structs.fields(of)
    )


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("title", "types"), [("What the viewer says", HEARS), ("What the gateway says", TELLS)])
def test_every_message_has_its_row_with_its_fields(title: str, types: tuple[Any, ...]) -> None:
    rows = re.findall(r"^\| `((?!type)\w+)` \|([^|]*)\|", _section(title), re.MULTILINE)
    assert {name: fields.strip() for name, fields in rows} == {of.__struct_config__.tag: _fields(of) for of in types}


def test_asyncapi_describes_every_message_as_the_code_has_it(asyncapi: dict[str, Any]) -> None:
    _, schemas = msgspec.json.schema_components([*TELLS, *HEARS], ref_template="#/components/schemas/{name}")
    assert asyncapi["components"]["schemas"] == schemas
    assert asyncapi["components"]["messages"] == {
        of.__name__: {
            "name": of.__struct_config__.tag,
            "payload": {"$ref": f"#/components/schemas/{of.__name__}"},
        }
        for of in [*TELLS, *HEARS]
    }
    for operation, types in (("tell", TELLS), ("hear", HEARS)):
        listed = [each["$ref"].rpartition("/")[2] for each in asyncapi["operations"][operation]["messages"]]
        assert listed == [of.__name__ for of in types]
    live = asyncapi["channels"]["live"]
    assert set(live["messages"]) == set(asyncapi["components"]["messages"])
    assert live["address"] == endpoint.PATH
    assert PROTOCOL in str(live["bindings"])
    assert PROTOCOL in PAGE


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("Resume", {each.value for each in Reason if each}),
        ("Errors", {each.value for each in ErrorCode}),
        ("How it ends", {str(each.value) for each in CloseCode} | {"1009", "1011", "1012"}),
    ],
)
def test_every_code_has_its_row_and_no_other_is_told(title: str, told: set[str]) -> None:
    rows = re.findall(r"^\| `?(\w+)`? \|", _section(title), re.MULTILINE)
    assert set(rows) - {"reason", "code"} == told


def test_the_page_has_the_bounds_of_the_code() -> None:
    bounds = BOUNDS
    for said in (
        f"Past {WRITE_BUFFER_BYTES // 1024} KB",
        f"more than {RECENT} updates behind",
        f"told {bounds.behind_s:g} s ago",
        f"more than {bounds.pending_bytes >> 20} MiB",
        f"ping is sent every {HEARTBEAT_S:g} s",
        f"a message of more than {session.MESSAGE_BYTES_MAX // 1024} KB",
        f"more than {session.MESSAGES_PER_S} messages a second, after {session.MESSAGES_AT_ONCE} at once",
        f"{session.SUBSCRIPTIONS_MAX} scopes are watched already",
        f"Of the last {channels.stream_max_len('course:c'):,} (a student's: {channels.stream_max_len('student:s')})",
    ):
        assert said in PAGE
    assert frames.Limits.__struct_fields__ == tuple(
        re.findall(r"`(\w+)`", PAGE.partition("`limits`: ")[2].split(".")[0])
    )
