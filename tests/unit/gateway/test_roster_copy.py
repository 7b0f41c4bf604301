"""The gateway's copy of the roster outlives an error that nobody foresaw."""

import structlog
from running import eventually

from gateway.database import Connection, Database, DatabaseAwayError
from gateway.roster import RosterCopy


class Broken(Database):
    """Asked a first time it fails as no database should, later as one that is away."""

    def __init__(self) -> None:
        super().__init__("postgresql://127.0.0.1:1/none")
        self.asked = 0

    def transaction(self, *, readonly: bool = False) -> Connection:
        self.asked += 1
        if self.asked == 1:
            raise ZeroDivisionError
        raise DatabaseAwayError(f"asked again, readonly={readonly}")


async def test_it_is_told_and_the_roster_is_asked_for_again() -> None:
    database = Broken()
    copy = RosterCopy(database)

    async def asked_again() -> bool:
        return database.asked > 1

    with structlog.testing.capture_logs() as lines:
        await copy.start()
        await eventually(asked_again, 10, "the roster is asked for again")
        await copy.stop()
    assert [line["log_level"] for line in lines] == ["error"]
    assert lines[0]["exc_info"]
