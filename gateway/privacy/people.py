"""Who he is, in PostgreSQL: on the roster, by an account, in the audit log."""

from collections.abc import Sequence
from typing import Any

from gateway import roster
from gateway.accounts import people
from gateway.database import Database
from gateway.privacy.retention import ACCOUNTS, AUDIT_LOG, ROSTER
from gateway.privacy.store import Held, Lot
from gateway.security import audit_log
from wire.scopes import Scope


class People:
    name = "postgresql"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def export(self, student_id: str) -> Held:
        async with self._database.transaction(readonly=True) as connection:
            listed = await roster.of_student(connection, student_id)
            accounts = await people.of_student(connection, student_id)
            said = await audit_log.about(connection, *_names(student_id, accounts))
        return {ROSTER: listed, ACCOUNTS: accounts, AUDIT_LOG: said}

    async def erase(self, student_id: str, *, dry_run: bool) -> list[Lot]:
        async with self._database.transaction() as connection:
            listed = await roster.of_student(connection, student_id)
            accounts = await people.of_student(connection, student_id)
            said = await audit_log.about(connection, *_names(student_id, accounts))
            if not dry_run:
                await people.forget(connection, student_id)
                await roster.forget(connection, student_id)
        stays = "never: its rows are chained, and name him by his ids alone"
        return [Lot(ROSTER, len(listed)), Lot(ACCOUNTS, len(accounts)), Lot(AUDIT_LOG, len(said), stays)]


def _names(student_id: str, accounts: Sequence[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Under which he is in the log: as who did something, and as on whom it was done."""
    own = [account["username"] for account in accounts]
    return own, [*own, str(Scope.student(student_id))]
