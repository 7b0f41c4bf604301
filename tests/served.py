"""The gateway in the test's own loop, asked over ASGI: its lifespan runs, its servers are real, it takes no port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from gateway.app import create_app
from gateway.settings import GatewaySettings
from stack import ports


def settings(**given: object) -> GatewaySettings:
    """What is not given leads to a port where nobody listens, never to a server that happens to run here."""
    nowhere = f"127.0.0.1:{ports.free()}"
    away = {"kafka": nowhere, "redis_url": f"redis://{nowhere}/0", "postgres_url": f"postgresql://{nowhere}/none"}
    # A busy machine is not to look like a silent Redis; and each event is what a test has posted.
    return GatewaySettings.model_validate({**away, "rate_limit_wait_ms": 1_000, "probe_every_s": 0, **given})


@asynccontextmanager
async def gateway(wanted: GatewaySettings, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A client at `address` of a gateway with these settings."""
    app = create_app(wanted)
    transport = httpx.ASGITransport(app=app, client=(address, 50_000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
    ):
        yield client
