"""What is kept about one student: given to him, or erased. The only SQL of both.

He is the student whose events have that id; whoever refers to his statements without naming him says nothing of him.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, structs

from gateway.database import Connection
from gateway.ingest.xapi.shapes import Account, Agent
from gateway.statements import facets
from gateway.statements.facets import Kind
from gateway.statements.record import whole
from gateway.statements.store import LOCK

CHUNK = 500
NOBODY = Agent(account=Account("https://classpulse.invalid/erased", "erased"))


class Erased(NamedTuple):
    deleted: int  # what he did
    blotted: int  # where others named him, and what he voided: he is NOBODY there


async def of_student(connection: Connection, student_id: str) -> AsyncIterator[bytes]:
    """Each statement in which he is named, voided ones too, as JSON in the order in which they came. In a transaction
    of the caller's that is `repeatable_read`, as of one moment. Raises DatabaseAwayError."""
    last = -1
    while rows := await connection.fetch(_OF, student_id, last, CHUNK):
        for row in rows:
            yield whole(row["body"], row["stored"], row["happened_us"])
        last = rows[-1]["seq"]


async def number(connection: Connection, student_id: str) -> int:
    """Of the statements in which he is named. Raises DatabaseAwayError."""
    found: int = (await connection.fetchrow(_NUMBER, student_id))["number"]
    return found


async def erase(connection: Connection, student_id: str) -> Erased:
    """In a transaction of the caller's; until its end nobody can keep or read statements. What he did is deleted. Where
    others name him, as a member of their team or the like, he becomes NOBODY and their statement stays; so does what he
    voided, which would else be valid again. Texts and extensions are not looked into. Raises DatabaseAwayError."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    await connection.execute("SET LOCAL classpulse.erasing = 'on'")
    deleted, blotted = 0, 0
    keys: set[str] = set()
    while rows := await connection.fetch(_OF, student_id, -1, CHUNK):
        gone, kept = [], []
        for row in rows:
            blot = _Blot(student_id)
            body = blot.statement(row["body"])
            keys |= blot.keys
            if blot.is_actor and not row["voids"]:
                gone.append(row["seq"])
            else:
                kept.append((row["seq"], body))
        await connection.executemany("UPDATE statements SET body = $2 WHERE seq = $1", kept)
        for sql in _DELETE:
            await connection.execute(sql, gone)
        places = [seq for seq, _ in kept]
        await connection.execute(_UNNAME, student_id, places)
        deleted, blotted = deleted + len(gone), blotted + len(kept)
    found_by = [facets.facet(kind, key) for key in keys for kind in (Kind.AGENT, Kind.RELATED_AGENT)]
    await connection.execute("DELETE FROM statement_facets WHERE facet = ANY($1::bytea[])", found_by)
    await connection.execute("SET LOCAL classpulse.erasing = 'off'")
    return Erased(deleted, blotted)


_fields = msgspec.json.Decoder(dict[str, Raw])
_json = msgspec.json.Decoder()


class _Blot:
    """Puts NOBODY in the student's place, wherever the specification has an agent."""

    def __init__(self, student_id: str) -> None:
        self._student_id = student_id
        self.keys: set[str] = set()  # by which he was found
        self.is_actor = False

    def statement(self, body: bytes) -> bytes:
        fields = _fields.decode(body)
        actor = msgspec.json.decode(fields["actor"], type=Agent)
        self.is_actor = facets.student(actor) == self._student_id
        return msgspec.json.encode(self._shared(fields))

    def _shared(self, fields: dict[str, Raw]) -> dict[str, Any]:
        """Of a SubStatement, of a context, and of one of its agents and groups too."""
        shown: dict[str, Any] = dict(fields)
        for name in ("actor", "object", "instructor", "team", "agent", "group"):
            if name in fields:
                shown[name] = self._thing(fields[name])
        if "context" in fields:
            shown["context"] = self._shared(_fields.decode(fields["context"]))
        for name in ("contextAgents", "contextGroups"):
            if name in fields:
                shown[name] = [
                    self._shared(_fields.decode(each)) for each in msgspec.json.decode(fields[name], type=list[Raw])
                ]
        return shown

    def _thing(self, data: Raw) -> Any:
        """An agent, or what else an object may be."""
        fields = _fields.decode(data)
        kind = _json.decode(fields["objectType"]) if "objectType" in fields else None
        if kind == "SubStatement":
            return self._shared(fields)
        if kind in ("Activity", "StatementRef") or "id" in fields:
            return data
        return self._agent(msgspec.json.decode(data, type=Agent))

    def _agent(self, agent: Agent) -> Agent:
        if facets.student(agent) == self._student_id:
            self.keys.add(facets.agent_key(agent) or "")
            return NOBODY
        if agent.member is UNSET:
            return agent
        return structs.replace(agent, member=[self._agent(each) for each in agent.member])


_NUMBER = "SELECT count(*) AS number FROM statement_students WHERE student_id = $1"
_OF = """
SELECT seq, body, stored, happened_us, voids FROM statement_students JOIN statements USING (seq)
WHERE student_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""
_DELETE = tuple(
    f"DELETE FROM {table} WHERE seq = ANY($1::bigint[])"  # noqa: S608 -- constants
    for table in ("statement_facets", "statement_students", "statements")
)
_UNNAME = "DELETE FROM statement_students WHERE student_id = $1 AND seq = ANY($2::bigint[])"
