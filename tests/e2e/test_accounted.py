"""The whole stack: what the door accepts is accounted for, whoever is started again, and each event can be followed."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from running import CONSUMED, RunningStack, eventually

from producers.door import Door

RESTARTING = 20  # events posted while one worker is being started again


async def test_what_is_accepted_is_accounted_for_and_each_event_can_be_followed(running_stack: RunningStack) -> None:
    run, now = uuid.uuid4().hex[:8], datetime.now(UTC).isoformat()
    events = [
        {
            "event_id": str(uuid.uuid4()),
            "student_id": f"{run}-s{number % 7}",
            "course_id": f"{run}-c",
            "kind": "code_run",
            "occurred_at": now,
        }
        for number in range(70 + RESTARTING * len(CONSUMED))
    ]

    def balance() -> dict[str, Any]:
        return dict(json.loads(running_stack.run("audit", "balance", "--json")))

    async def claimed_and_judged(number: int) -> None:
        async def all_are() -> bool:
            totals = balance()["totals"]
            return totals["accepted"] >= number and not totals["in_flight"]

        await eventually(all_are, 120, "all is claimed and judged", every_s=1)

    async with Door(running_stack.dashboard, running_stack.api_key, patience_s=30) as door:
        for batch in (events[:50], events[40:70]):  # ten of them twice, which the gateway finds out by itself
            assert (await door.post(batch)).accepted == len(batch)
        for number, worker in enumerate(CONSUMED):  # a rolling restart
            stopped = running_stack.terminate(worker)
            for event in events[70 + RESTARTING * number : 70 + RESTARTING * (number + 1)]:
                assert (await door.post([event])).accepted == 1
            await running_stack.restarted(worker, stopped)
        await claimed_and_judged(len(events))
        running_stack.kill("gateway")  # and forgets what it knew of them
        assert (await door.post(events[60:70])).accepted == 10
    await claimed_and_judged(len(events) + 10)
    view = balance()
    assert (view["adds_up"], view["complete"], view["totals"]["difference"]) == (True, True, 0)
    totals = view["totals"]
    judged = sum(totals[verdict] for verdict in ("folded", "duplicate", "late", "dead"))
    assert totals["accepted"] + totals["unclaimed"] == judged
    assert totals["duplicate"] >= 10

    student = events[65]["student_id"]
    traced = json.loads(running_stack.run("trace", events[65]["event_id"], "--student", student, "--json"))
    assert traced["outcome"] == "counted"
    assert [(record["fate"], record["claimed"]) for record in traced["records"]] == [
        ("folded", True), ("duplicate", True),
    ]  # fmt: skip
    assert "counted once" in running_stack.run("trace", events[0]["event_id"])
