"""The gateway, put together: `python -m gateway`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import redis.asyncio as redis
import structlog
from fastapi import FastAPI
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway import dashboard, health, page, probes, problems
from gateway.database import SCHEMA, Database
from gateway.history import endpoint as history
from gateway.history.influx import InfluxReader
from gateway.history.postgres import PostgresReader
from gateway.history.store import HistoryReader
from gateway.ingest import endpoint as ingest
from gateway.ingest.publisher import Publisher
from gateway.live import endpoint as live
from gateway.live.feed import Feed
from gateway.probes import Probe, Watch
from gateway.roster import RosterCopy
from gateway.security.access import DashboardAccess
from gateway.security.keys import KeyRing
from gateway.security.limits import Limits
from gateway.settings import GatewaySettings, listed

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_S = 2.0  # for one answer; then the reader is told that Redis is away
REDIS_CONNECTIONS_MAX = 32  # more questions at once are refused, which reads as "away"


def create_app(settings: GatewaySettings) -> FastAPI:
    """Opens nothing; that is the lifespan's. Nothing here waits for a server: each part starts without its own, says so
    once, and goes on when it is there."""
    database = Database(settings.postgres_url.get_secret_value())
    client = redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        max_connections=REDIS_CONNECTIONS_MAX,
        retry=Retry(NoBackoff(), 1),  # a connection that Redis closed meanwhile; whoever asks may ask again
    )
    roster = RosterCopy(database)
    keys = KeyRing(database)
    publisher = Publisher(settings.kafka)
    limits = Limits(settings.rate_limit_events, settings.rate_limit_reads, keys.knows)
    reader = _history_reader(settings, database)
    asked = (
        Probe("kafka", probes.kafka(settings.kafka)),
        Probe("postgresql", probes.postgresql(database, SCHEMA)),
        Probe("redis", probes.pong(client)),
        Probe("history", reader.check),
    )
    feed = Feed(settings.redis_url)
    access = DashboardAccess(settings.dashboard_access, listed(settings.dashboard_hosts))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.aclose)
            stack.push_async_callback(reader.close)
            for part in (database, roster, publisher, feed, Watch(asked)):
                await part.start()
                stack.push_async_callback(part.stop)
            log.info("the gateway serves", host=settings.gateway_host, port=settings.gateway_port)
            yield

    app = FastAPI(
        title="ClassPulse",
        version=version("classpulse"),
        lifespan=lifespan,
        docs_url=None,  # the viewers of FastAPI load their code from elsewhere; /openapi.json is there
        redoc_url=None,
    )
    app.state.limiter = limits.limiter  # where slowapi looks for it
    problems.install(app)
    app.include_router(ingest.router(keys, roster, publisher, limits, settings.clock_skew_s))
    app.include_router(dashboard.router(client, roster, access, limits))
    app.include_router(history.router(reader, access, limits))
    app.include_router(live.router(feed, access.refusal, viewers_max=settings.live_viewers_max))
    app.include_router(health.router(asked, client, access, limits))
    page.serve(app)
    return app


def _history_reader(settings: GatewaySettings, database: Database) -> HistoryReader:
    if settings.influx_url:
        token = settings.influx_token.get_secret_value()
        return InfluxReader(settings.influx_url, token, settings.influx_org, settings.influx_bucket)
    return PostgresReader(database)
