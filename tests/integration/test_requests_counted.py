"""Requests are counted by route, and a client cannot make up labels."""

import served


async def test_requests_are_counted_by_their_route() -> None:
    async with served.gateway(served.settings()) as client:
        await client.get("/livez")
        await client.get("/api/v1/history/student:counted-once")
        await client.request("BREW", "/livez")
        await client.post("/api/v1/events", json=[])
        await client.post("/api/v1/events", json=[], headers={"Authorization": "Bearer cp_made_up"})
        await client.get("/made/up/by/somebody")
        told = (await client.get("/metrics")).text
    counts = [line for line in told.splitlines() if line.startswith("classpulse_http_requests_total{")]
    for labels in (
        'method="GET",route="/livez",status_class="2xx"',
        'method="other",route="/livez",status_class="4xx"',
        'method="POST",route="/api/v1/events",status_class="4xx"',
        'method="POST",route="/api/v1/events",status_class="5xx"',  # PostgreSQL is away, which knows the keys
        'method="GET",route="other",status_class="4xx"',
    ):
        assert any(labels in line for line in counts), (labels, counts)
    assert any('route="/api/v1/history/{scope}"' in line for line in counts)
    assert not [line for line in told.splitlines() if "counted-once" in line or "made" in line or "BREW" in line]
    assert 'classpulse_http_request_duration_seconds_count{method="GET",route="/livez"}' in told
