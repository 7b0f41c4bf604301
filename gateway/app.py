"""The gateway, put together: `python -m gateway`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import redis.asyncio as redis
import structlog
from fastapi import FastAPI
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway import dashboard, health, page, probes, problems, telemetry, workers
from gateway.accounts import endpoint as accounts
from gateway.accounts.attempts import Attempts
from gateway.accounts.oidc import endpoint as oidc
from gateway.accounts.oidc.provider import Client, Provider
from gateway.accounts.oidc.state import Seal
from gateway.admin import audit_endpoint as audit
from gateway.admin import endpoint as admin
from gateway.admin import trace_endpoint as trace
from gateway.canary import Canary
from gateway.correlation import Correlated, Correlation
from gateway.database import SCHEMA, Database
from gateway.history import endpoint as history
from gateway.history.influx import InfluxReader
from gateway.history.postgres import PostgresReader
from gateway.history.store import HistoryReader
from gateway.ingest import endpoint as ingest
from gateway.ingest import sensors
from gateway.ingest.admission import Admission
from gateway.ingest.claims import Claims
from gateway.ingest.publisher import Publisher
from gateway.ingest.spool import Spool
from gateway.ingest.xapi import endpoint as xapi
from gateway.lag import endpoint as lag
from gateway.lag import exporting
from gateway.lag.sampler import Sampler, our_groups
from gateway.live import stream
from gateway.live.doors import Bound, Doors
from gateway.live.endpoint import LiveSocket
from gateway.live.feed import Feed
from gateway.objectives import exporting as objectives
from gateway.objectives.ledger import Ledger
from gateway.oncall import endpoint as oncall
from gateway.oncall.broadcast import Broadcast
from gateway.oncall.lookout import Lookout, audited
from gateway.oncall.meters import Meters
from gateway.oncall.performance import Sources
from gateway.oncall.pulse import Pulse
from gateway.oncall.timing import Timed, Timings
from gateway.orders import endpoint as orders
from gateway.orders.board import OrderBoard
from gateway.probes import Probe, Watch
from gateway.roster import RosterCopy
from gateway.security.access import DashboardAccess
from gateway.security.gate import Gate
from gateway.security.headers import SafeHeaders
from gateway.security.keys import KeyRing, Role
from gateway.security.limits import Limits, Rates
from gateway.security.rate_headers import RateHeaders
from gateway.security.recorder import Recorder
from gateway.security.roles import KeyAccess
from gateway.security.shared_windows import SharedWindows
from gateway.security.signing import SigningKeys
from gateway.security.tokens import AccessTokens
from gateway.settings import GatewaySettings, listed
from gateway.siblings import Siblings
from gateway.statements import endpoint as statements
from gateway.statements.store import Statements
from traces.tracer import Tracer
from wire import topics

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_S = 2.0  # for one answer; then the reader is told that Redis is away
REDIS_CONNECTIONS_MAX = 32  # more questions at once are refused, which reads as "away"


def create_app(settings: GatewaySettings) -> FastAPI:
    """Opens nothing; that is the lifespan's. Nothing here waits for a server: each part starts without its own, says so
    once, and goes on when it is there."""
    tracer = Tracer(settings.traces, "classpulse-gateway")
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
    claims = Claims(settings.kafka)
    feed = Feed(settings.redis_url, tracer=tracer)
    meters = Meters(feed, claims.note)
    spool = Spool(Path(settings.spool_folder), settings.spool_max_mb * 2**20) if settings.spool_folder else None
    publisher = Publisher(
        settings.kafka,
        meters.note,
        settings.under_way_max_mb * 2**20,
        spool,
        spooled_is_accepted=settings.spool_accepts,
        tracer=tracer,
    )
    windows = SharedWindows(settings.redis_url, settings.rate_limit_wait_ms / 1_000)
    limits = Limits(_rates(settings), keys.knows, windows)
    reader = _history_reader(settings, database)
    asked = (
        Probe("kafka", probes.kafka(settings.kafka)),
        Probe("postgresql", probes.postgresql(database, SCHEMA)),
        Probe("redis", probes.pong(client)),
        Probe("history", reader.check),
    )
    groups, there = our_groups(), topics.load()
    seen = workers.Seen(client)
    heartbeats = Probe("workers", seen.ask, workers.FRESH_S)
    sampler = Sampler(
        listed(settings.kafka), lambda: seen.by(heartbeats), exporting.tell, groups, surveyed=tuple(there)
    )
    board = OrderBoard(database, client, tuple(groups))
    canary = Canary(publisher, feed, settings.probe_every_s)
    recorder = Recorder(database)
    tokens = None
    if settings.dashboard_access == "accounts":
        tokens = AccessTokens(SigningKeys(database, settings.secret_key.get_secret_value()))
    by_provider = _oidc(settings)
    access = DashboardAccess(settings.dashboard_access, listed(settings.dashboard_hosts))
    gate = Gate(access, KeyAccess(keys, limits, Role.ADMIN), tokens, roster, recorder)

    siblings = Siblings(client)
    ledger = Ledger(database, objectives.tell)
    ask_audit = audited(settings.kafka)
    lookout = Lookout(asked, heartbeats, seen, lambda: canary.found, sampler, limits, ask_audit, ledger, siblings)
    bound = Bound(settings.live_viewers_max, settings.live_viewers_per_address, settings.live_viewers_per_user)
    doors, timings, pulse = Doors(bound), Timings(), Pulse()
    sources = Sources(meters, timings, pulse, publisher, spool, feed, doors, sampler)
    broadcast = Broadcast(lookout, sources, there)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(tracer.close)
            stack.push_async_callback(client.aclose)
            stack.push_async_callback(reader.close)
            for part in (
                database,
                windows,
                roster,
                recorder,
                ledger,
                siblings,
                claims,
                publisher,
                feed,
                canary,
                Watch([*asked, heartbeats]),
                sampler,
                board,
                pulse,
                meters,
                lookout,
                broadcast,
            ):
                await part.start()
                stack.push_async_callback(part.stop)
            if by_provider:
                await by_provider.provider.start()
                stack.push_async_callback(by_provider.provider.stop)
            log.info("the gateway serves", host=settings.gateway_host, port=settings.gateway_port)
            yield

    app = FastAPI(
        title="ClassPulse",
        version=version("classpulse"),
        lifespan=lifespan,
        docs_url=None,  # the viewers of FastAPI load their code from elsewhere; /openapi.json is there
        redoc_url=None,
    )
    problems.install(app)
    correlation = Correlation(tracer, settings.traces_share)
    admission = Admission(keys, limits, roster, publisher, settings.clock_skew_s, correlation)
    app.include_router(ingest.router(admission, limits))
    store = Statements(database) if settings.xapi_store else None
    if store:
        app.include_router(statements.router(store, gate, limits))
    app.include_router(xapi.router(admission, limits, store))
    app.include_router(sensors.router(admission, limits))
    app.include_router(dashboard.router(client, roster, gate, limits))
    app.include_router(history.router(reader, gate, limits))
    app.include_router(stream.router(feed, doors, gate, limits))
    # The last one added is the outermost. What a WebSocket need not go through costs no viewer anything.
    app.add_middleware(Timed, timings=timings)
    app.add_middleware(SafeHeaders)
    app.add_middleware(LiveSocket, feed=feed, gate=gate, doors=doors, spend=limits.spend_handshake)
    app.add_middleware(RateHeaders)
    app.add_middleware(Correlated, traced=tracer.on)
    app.include_router(health.router(asked, seen, heartbeats, lambda: canary.found, gate, limits))
    app.include_router(telemetry.router(gate, limits))
    attempts = Attempts(windows)
    app.include_router(accounts.router(database, tokens, gate, recorder, limits, attempts))
    app.include_router(oidc.router(database, tokens, by_provider, gate, recorder, limits, attempts))
    app.include_router(admin.router(settings.kafka, gate, recorder, limits, settings.clock_skew_s))
    app.include_router(audit.router(settings.kafka, gate, limits))
    app.include_router(trace.router(settings.kafka, gate, limits))
    app.include_router(lag.router(sampler, groups, there, gate, limits))
    app.include_router(orders.router(database, board, groups, gate, recorder, limits))
    processes = settings.gateway_processes
    app.include_router(oncall.router(lookout, heartbeats, seen, sources, broadcast.draw, processes, gate, limits))
    page.serve(app)
    return app


def _rates(settings: GatewaySettings) -> Rates:
    return Rates(
        events=settings.rate_limit_events,
        events_per_address=settings.rate_limit_events_per_address,
        reads=settings.rate_limit_reads,
        reads_per_user=settings.rate_limit_reads_per_user,
        handshakes=settings.rate_limit_handshakes,
    )


def _oidc(settings: GatewaySettings) -> oidc.Oidc | None:
    if not settings.oidc_issuer:
        return None
    secret = settings.oidc_client_secret.get_secret_value()
    provider = Provider(Client(settings.oidc_issuer, settings.oidc_client_id, secret, settings.oidc_scopes))
    name = settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or ""
    return oidc.Oidc(provider, Seal(settings.secret_key.get_secret_value()), settings.oidc_claim, name)


def _history_reader(settings: GatewaySettings, database: Database) -> HistoryReader:
    if settings.influx_url:
        token = settings.influx_token.get_secret_value()
        return InfluxReader(settings.influx_url, token, settings.influx_org, settings.influx_bucket)
    return PostgresReader(database)
