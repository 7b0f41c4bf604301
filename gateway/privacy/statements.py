"""The xAPI statements in which he is named, where they are kept (`CLASSPULSE_XAPI_STORE`)."""

from msgspec import Raw

from gateway.database import Database
from gateway.privacy.retention import STATEMENTS
from gateway.privacy.store import Held, Lot
from gateway.statements import students


class Statements:
    name = "statements"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def export(self, student_id: str) -> Held:
        async with self._database.transaction(readonly=True) as connection:
            return {STATEMENTS: [Raw(each) async for each in students.of_student(connection, student_id)]}

    async def erase(self, student_id: str, *, dry_run: bool) -> list[Lot]:
        async with self._database.transaction() as connection:
            if dry_run:
                return [Lot(STATEMENTS, await students.number(connection, student_id))]
            erased = await students.erase(connection, student_id)
        return [Lot(STATEMENTS, erased.deleted + erased.blotted)]
