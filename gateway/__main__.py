"""`python -m gateway`: reads the settings, and serves until SIGTERM or SIGINT."""

import sys
from typing import Any

import structlog
import uvicorn
from pydantic import ValidationError

from gateway.app import create_app
from gateway.live.connection import Connection
from gateway.settings import GatewaySettings

GRACE_S = 10  # for requests under way when told to stop; compose gives 30
WS_MAX_BYTES = 4_096  # viewers have nothing to say
OTHERS_MAX = 1_000  # connections that are not viewers'; past them uvicorn answers 503


def serve(settings: GatewaySettings) -> None:
    """Blocks. Ends the process, after a line in the log, where the address is taken."""
    uvicorn.run(
        create_app(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="auto",  # uvloop where there is one
        http="httptools",
        ws=Connection,  # uvicorn's websockets-sansio, with an end nobody can put off
        ws_max_size=WS_MAX_BYTES,
        ws_per_message_deflate=False,  # frames are small and many: compressing each costs more than it saves
        # Only a proxy on this machine is believed when it says who the client is.
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        limit_concurrency=settings.live_viewers_max + OTHERS_MAX,
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        log_config=_logging(settings),
    )


def _logging(settings: GatewaySettings) -> dict[str, Any]:
    """The standard library's dictConfig: one line an event on stderr, structlog's and uvicorn's alike."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Any = structlog.dev.ConsoleRenderer(colors=False)
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
                "foreign_pre_chain": shared,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": settings.log_level},
        # aiokafka tells of an outage at every attempt to connect; we tell of it once.
        "loggers": {"aiokafka": {"level": "CRITICAL"}},
    }


if __name__ == "__main__":
    try:
        found = GatewaySettings()
    except ValidationError as error:
        sys.exit(str(error))
    serve(found)
