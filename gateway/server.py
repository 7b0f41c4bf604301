"""The gateway's server: one process, or several on one port."""

import contextlib
import gc
import logging.config
import os
import socket
import sys
import tempfile
from typing import Any

import structlog
import uvicorn

from gateway.app import create_app
from gateway.live.connection import HEARTBEAT_S, Connection, HttpConnection
from gateway.live.session import MESSAGE_BYTES_MAX
from gateway.processes import Processes
from gateway.settings import GatewaySettings, listed
from gateway.telemetry import SHARED
from logs import lines, stacks

log = structlog.get_logger(__name__)

GRACE_S = 10  # for requests under way when told to stop; compose gives 30
OTHERS_MAX = 1_000  # connections that are not viewers'; past them uvicorn answers 503
GC_THRESHOLD = (20_000, 20, 50)  # a request makes objects by the hundred, and hardly ever a cycle
FAILED = 3  # as uvicorn ends where it cannot start
# aiokafka and OpenTelemetry tell of an outage at every attempt, and we tell of it once; uvicorn of each viewer, whose
# address with all its scopes is a kilobyte.
QUIETER = {"aiokafka": "CRITICAL", "uvicorn.error": "WARNING", "opentelemetry": "CRITICAL"}


def _log(settings: GatewaySettings) -> dict[str, Any]:
    return lines.config(settings.log_format, settings.log_level, QUIETER)


def serve(on: socket.socket | None = None) -> None:
    """Blocks. `on`: a socket that shares its port; None: the port is ours. Ends the process, after a line in the log,
    where the address is taken."""
    stacks.on_quit()
    settings = GatewaySettings()
    app = create_app(settings)
    gc.collect()
    gc.freeze()  # what is there for good is not looked at again: that would hold every request up for 50 ms
    gc.set_threshold(*GC_THRESHOLD)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.gateway_host,
            port=settings.gateway_port,
            loop="auto",  # uvloop where there is one
            http=HttpConnection,  # uvicorn's httptools
            ws=Connection,  # uvicorn's websockets-sansio, with an end nobody can put off
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_ping_interval=HEARTBEAT_S,
            ws_ping_timeout=HEARTBEAT_S,
            ws_per_message_deflate=False,  # frames are small and many: compressing each costs more than it saves
            proxy_headers=True,
            forwarded_allow_ips=listed(settings.trusted_proxies),
            limit_concurrency=settings.live_viewers_max + OTHERS_MAX,
            server_header=False,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            log_config=_log(settings),
        )
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run(None if on is None else [on])
    if not server.started:
        sys.exit(FAILED)


def serve_shared(settings: GatewaySettings) -> int:
    """Blocks; the exit code. Several processes on one port."""
    stacks.on_quit()
    logging.config.dictConfig(_log(settings))
    with tempfile.TemporaryDirectory(prefix="classpulse-gateway-") as folder:
        os.environ[SHARED] = folder  # their metrics, which any of them tells
        try:
            processes = Processes(serve, settings.gateway_host, settings.gateway_port, settings.gateway_processes)
        except OSError as error:
            log.error(f"{settings.gateway_host}:{settings.gateway_port} cannot be had: {error.strerror}")
            return FAILED
        return processes.run()
