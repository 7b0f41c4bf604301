"""Recorded activity of real students, as events. The files are not part of the project: `../shared/data` has them.

OULAD says the day of a click only. The time within it is made up from a seed: whoever clicks on a day sits down once,
within half an hour from 18 h UTC on, with some seconds between two clicks and now and then a break. Made up of both
recordings is how long an event takes to the door. All else is as recorded; a student's age band is his team.
"""

import csv
import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from running import PROJECT

from wire import events
from wire.events import ActivityEvent, Kind

DATA = PROJECT.parent / "shared" / "data"
STATEMENTS = DATA / "fun-mooc" / "statements.json.gz"
OULAD = DATA / "oulad"

DAY_MS = 86_400_000

KIND_OF_SITE = {"resource": "resource_downloaded", "oucontent": "content_interacted"}  # else a page was viewed
# AAA begins in October; of the day OULAD does not tell, it is taken to be the first.
BEGINS = {"2013J": datetime(2013, 10, 1, tzinfo=UTC), "2014J": datetime(2014, 10, 1, tzinfo=UTC)}

KIND_OF_VERB = {
    "https://w3id.org/xapi/video/verbs/played": "video_played",
    "https://w3id.org/xapi/video/verbs/paused": "video_paused",
    "https://w3id.org/xapi/video/verbs/seeked": "video_seeked",
    "http://adlnet.gov/expapi/verbs/interacted": "content_interacted",
    "http://adlnet.gov/expapi/verbs/initialized": "video_loaded",
    "http://adlnet.gov/expapi/verbs/completed": "video_completed",
    "http://adlnet.gov/expapi/verbs/terminated": "video_closed",
    "http://id.tincanapi.com/verb/downloaded": "resource_downloaded",
}


class Happened(NamedTuple):
    event_id: str
    student_id: str
    course_id: str
    team_id: str | None
    kind: str
    task_id: str | None
    at_ms: int
    received_ms: int

    def record(self) -> tuple[bytes, bytes]:
        """Key and value in `activity`."""
        event = ActivityEvent(
            event_id=self.event_id,
            student_id=self.student_id,
            course_id=self.course_id,
            team_id=self.team_id,
            kind=Kind(self.kind),
            task_id=self.task_id,
            occurred_at_ms=self.at_ms,
            received_at_ms=self.received_ms,
            source="recorded",
        )
        return self.student_id.encode(), events.encode(event)


def clicks(presentation: str, seed: int = 1) -> list[Happened]:
    """Of one presentation of the module AAA, in order of time. A row of `studentVle` is an event, whatever its
    `sum_click`. Skips the test where the files are not."""
    if not OULAD.exists():
        pytest.skip(f"the clicks of OULAD are not part of the project; they are expected in {OULAD}")
    kinds = {row["id_site"]: KIND_OF_SITE.get(row["activity_type"], "page_viewed") for row in _rows("vle")}
    teams = {
        row["id_student"]: row["age_band"] for row in _rows("studentInfo") if row["code_presentation"] == presentation
    }
    sittings: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for number, row in enumerate(_rows("studentVle")):
        if row["code_presentation"] == presentation:
            sittings[row["id_student"], int(row["date"])].append((number, row["id_site"]))
    rng = random.Random(seed)
    begins_ms = int(BEGINS[presentation].timestamp() * 1000)
    out = []
    for (student, day), clicked in sittings.items():
        at_ms = begins_ms + day * DAY_MS + 18 * 3_600_000 + rng.randrange(1_800_000)
        for number, site in clicked:
            at_ms += int(rng.expovariate(1 / 3_000)) if rng.random() < 0.99 else rng.randrange(45 * 60_000)
            kind = kinds[site]
            task = site if kind == "content_interacted" else None
            received_ms = at_ms + int(rng.expovariate(1 / 500))
            out.append(
                Happened(
                    f"{presentation}-{number}", student, f"AAA-{presentation}", teams[student], kind, task, at_ms,
                    received_ms,
                )
            )  # fmt: skip
    return sorted(out, key=lambda event: event.at_ms)


def statements() -> list[Happened]:
    """Of FUN-MOOC, in the file's order: days in a jumble. Skips the test where the file is not."""
    if not STATEMENTS.exists():
        pytest.skip(f"the statements are not part of the project; they are expected in {STATEMENTS}")
    rng = random.Random(1)
    out = []
    with gzip.open(STATEMENTS, "rt") as lines:
        for line in lines:
            statement = json.loads(line)
            at_ms = int(datetime.fromisoformat(statement["timestamp"]).timestamp() * 1000)
            out.append(
                Happened(
                    statement["id"],
                    statement["actor"]["account"]["name"],
                    statement["context"]["contextActivities"]["parent"][0]["id"],
                    None,
                    KIND_OF_VERB[statement["verb"]["id"]],
                    statement["object"]["id"],
                    at_ms,
                    at_ms + int(rng.expovariate(1 / 500)),
                )
            )
    return out


def _rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(OULAD / f"{name}.csv.gz", "rt", newline="") as file:
        yield from csv.DictReader(file)
