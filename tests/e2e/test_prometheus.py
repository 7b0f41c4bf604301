"""A real Prometheus with our configuration on the whole stack: it reaches each process, and what rules and boards ask
for is answered."""

import contextlib
import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import prometheus
import pytest
import yaml
from running import PROJECT, RunningStack, eventually

from stack import ports

OPS = PROJECT / "ops"
RULE_FILES = ("slo.yml", "symptoms.yml")
BOARDS = [json.loads(path.read_text()) for path in sorted((OPS / "grafana" / "boards").glob("*.json"))]
QUERIES = {
    f"{board['uid']}: {panel['title']} {target['refId']}": target["expr"]
    for board in BOARDS
    for panel in board["panels"]
    for target in panel["targets"]
}
# Nobody watches and nothing goes wrong here; and what is of 30 days is computed every 5 minutes.
NOTHING_YET = re.compile(r"paint|live_l|dead_letters|parked|ratio30d|ALERTS")


class Asked:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    async def get(self, path: str, **query: str) -> Any:
        async with httpx.AsyncClient(timeout=20) as client:
            try:
                response = await client.get(f"{self.url}/{path}?{urlencode(query)}")
            except httpx.TransportError:
                return {}
        if response.status_code == 503:  # it is still starting
            return {}
        answer = response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def values(self, expression: str) -> list[Any]:
        return list((await self.get("query", query=expression)).get("result", []))


@pytest.fixture(scope="module")
def probed(servers_dir: Path) -> Iterator[RunningStack]:
    if prometheus.find("prometheus") is None:
        pytest.skip("there is no Prometheus; `make test` fetches it where there is apt-get")
    stack = RunningStack(servers_dir / f"stack-{uuid.uuid4().hex[:8]}")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as cleanup:
        patch.setenv("CLASSPULSE_PROBE_EVERY_S", "1")
        cleanup.callback(shutil.rmtree, stack.home, ignore_errors=True)
        cleanup.callback(stack.down)
        stack.run("up", "--empty", "--detach", timeout_s=180)
        yield stack


@pytest.fixture(scope="module")
def asked(probed: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Our configuration, with this stack's addresses and every second."""
    program = prometheus.find("prometheus")
    assert program is not None
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        address = f"127.0.0.1:{probed.service(job['job_name'])['port']}"
        job["static_configs"] = [{"targets": [address]}]
        if "authorization" in job:
            job["authorization"] = {"credentials_file": str(folder / "metrics.key")}
    (folder / "metrics.key").write_text("")  # as compose writes it where nobody logs in
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    for file in RULE_FILES:
        shutil.copy(OPS / "prometheus" / file, folder)
    port = ports.free()
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Asked(port)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def test_each_process_is_reached(asked: Asked) -> None:
    async def up() -> list[str] | None:
        targets = (await asked.get("targets")).get("activeTargets", [])
        healthy = sorted(target["labels"]["job"] for target in targets if target["health"] == "up")
        return healthy if healthy == ["aggregate", "gateway", "history", "live"] else None

    await eventually(up, 60, "all four targets are up")


async def test_rules_and_panels_are_answered(asked: Asked, probed: RunningStack) -> None:
    event = {"student_id": "s1", "course_id": "c1", "kind": "code_run", "occurred_at": datetime.now(UTC).isoformat()}
    headers = {"Authorization": f"Bearer {probed.api_key}"}

    door = probed.door
    missing = dict(QUERIES)

    async def all_answer() -> bool:
        async with httpx.AsyncClient(timeout=20) as client:
            assert (await client.post(door, json=[event], headers=headers)).status_code == 202
        for title, expression in list(missing.items()):
            if await asked.values(expression) or NOTHING_YET.search(expression):
                del missing[title]
        return not missing

    try:
        await eventually(all_answer, 90, "every panel has data")
    except AssertionError as error:
        raise AssertionError(f"{error}; without data: {missing}") from None

    groups = (await asked.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(groups) >= 8
    assert {(rule["name"], rule.get("lastError")) for rule in rules if rule.get("lastError")} == set()
    pages = [rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"]
    assert pages == []
