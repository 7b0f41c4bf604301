"""A door for the producers' tests: a real HTTP server on loopback that answers as it is told."""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

Answers = Callable[[list[dict[str, Any]]], web.Response]


def accepted(events: list[dict[str, Any]], *, rejected: dict[int, tuple[str, str]] | None = None) -> web.Response:
    """What the gateway answers when it takes all but `rejected` (index → field, reason)."""
    no = rejected or {}
    results = [
        {"index": index, "event_id": event["event_id"], "result": "accepted", "field": None, "reason": None}
        if index not in no
        else {"index": index, "event_id": None, "result": "rejected", "field": no[index][0], "reason": no[index][1]}
        for index, event in enumerate(events)
    ]
    body = {"accepted": len(events) - len(no), "rejected": len(no), "results": results}
    return web.json_response(body, status=422 if len(no) == len(events) else 202)


class AnsweringDoor:
    """Gives `answers` one after the other, then accepts everything. Keeps what it was sent."""

    def __init__(self, *answers: Answers) -> None:
        self._answers = list(answers)
        self.batches: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []

    async def start(self, port: int = 0) -> str:
        """Its address."""
        app = web.Application(client_max_size=10_000_000)
        app.router.add_post("/api/v1/events", self._post)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        events = json.loads(await request.read())
        self.batches.append(events)
        self.headers.append(dict(request.headers))
        return self._answers.pop(0)(events) if self._answers else accepted(events)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]


def saying(status: int, text: str = "", **headers: str) -> Answers:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(status=status, text=text, headers=named)
