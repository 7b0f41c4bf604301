"""What nobody would post, to a gateway with real servers: no answer is a fault of ours, and each is described."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest
from broken_bodies import Broken, bodies
from doors import at_the_door, prepared, problem
from fuzzing import SEED, Found, fuzz
from gateway_process import serving
from hypothesis import HealthCheck, Phase, given, seed, settings

from gateway.database import connected
from gateway.security import keys

PLENTY = "100000000/minute"
SETTINGS = {
    "CLASSPULSE_DASHBOARD_ACCESS": "accounts",
    "CLASSPULSE_SECRET_KEY": "of the tests, and of nobody else at all",
    "CLASSPULSE_RATE_LIMIT_EVENTS": PLENTY,
    "CLASSPULSE_RATE_LIMIT_EVENTS_PER_ADDRESS": PLENTY,
    "CLASSPULSE_RATE_LIMIT_READS": PLENTY,
    "CLASSPULSE_RATE_LIMIT_READS_PER_USER": PLENTY,
}
DOORS = ("/api/v1/events", "/xapi", "/ingest")
# A password takes 0.1 s of a core; admins' questions read Kafka.
DEAR = {"/api/v1/auth/login": 4, "/api/v1/admin": 8}


async def ask(asked_with: Mapping[str, Sequence[str]], examples: int, **changes: str) -> Found:
    async with serving(**SETTINGS, **changes) as (port, process):
        # In a thread, so that what the gateway writes into its log is read meanwhile.
        found = await asyncio.to_thread(fuzz, f"http://127.0.0.1:{port}", asked_with, examples, DEAR)
        process.terminate()
        _, log = await process.communicate()
    print(found)  # noqa: T201 -- `make fuzz` shows it
    lines = [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
    assert not found.wrong, "\n\n".join(found.wrong.values())
    return found


async def test_every_answer_is_described(
    with_topics: str, postgres_url: str, redis_url: str, pytestconfig: pytest.Config
) -> None:
    producer, _ = await prepared(postgres_url)
    async with connected(postgres_url, 10) as database:
        admin = await keys.create(database, "ops", role=keys.Role.ADMIN)
    right, wrong = [producer] * 6 + [admin, ""], [admin] * 6 + [producer, ""]
    found = await ask(
        {**dict.fromkeys(DOORS, right), "/": wrong},
        pytestconfig.getoption("--examples"),
        CLASSPULSE_KAFKA=with_topics,
        CLASSPULSE_POSTGRES_URL=postgres_url,
        CLASSPULSE_REDIS_URL=redis_url,
    )
    assert {status for status in found.statuses() if status >= 500} == set()


async def test_every_answer_is_described_while_all_servers_are_away() -> None:
    found = await ask({"/": ["cp_" + "a" * 43]}, 1)
    assert {status for status in found.statuses() if status >= 500} == {503}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """For Hypothesis, whose functions are not asynchronous."""
    with asyncio.Runner() as runner:
        yield runner


def test_a_broken_body_is_never_a_fault_of_ours(
    with_topics: str, postgres_url: str, runner: asyncio.Runner, pytestconfig: pytest.Config
) -> None:
    plenty = {"rate_limit_events": PLENTY, "rate_limit_events_per_address": PLENTY}
    opening = at_the_door(with_topics, postgres_url, **plenty)
    door = runner.run(opening.__aenter__())
    runner.run(door.opened())
    answers: Counter[int] = Counter()

    @seed(SEED)
    @settings(
        max_examples=pytestconfig.getoption("--bodies"),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(bodies(door.course))
    def post(broken: Broken) -> None:
        headers = {"Authorization": f"Bearer {door.key}", **broken.headers}
        # What the app raises comes out here.
        answer = runner.run(door.client.request(broken.method, broken.url, content=broken.body, headers=headers))
        answers[answer.status_code] += 1
        if answer.status_code not in (200, 202, 204):
            assert answer.status_code in (400, 409, 413, 415, 422), (broken, answer.text)
            problem(answer, answer.status_code)

    try:
        post()
    finally:
        runner.run(opening.__aexit__(None, None, None))
    print(f"{answers.total():,} bodies: {dict(sorted(answers.items()))}")  # noqa: T201
    assert answers.keys() >= {200, 202, 204, 400, 415, 422}
