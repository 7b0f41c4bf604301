"""`python -m gateway`: reads the settings, and serves until SIGTERM or SIGINT."""

import sys

import uvicorn
from pydantic import ValidationError

from gateway.app import create_app
from gateway.live.connection import Connection
from gateway.settings import GatewaySettings, listed
from logs import lines

GRACE_S = 10  # for requests under way when told to stop; compose gives 30
WS_MAX_BYTES = 4_096  # viewers have nothing to say
OTHERS_MAX = 1_000  # connections that are not viewers'; past them uvicorn answers 503
# aiokafka tells of an outage at every attempt to connect, and we tell of it once; uvicorn of each viewer, whose address
# with all its scopes is a kilobyte.
QUIETER = {"aiokafka": "CRITICAL", "uvicorn.error": "WARNING"}


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
        proxy_headers=True,
        forwarded_allow_ips=listed(settings.trusted_proxies),
        limit_concurrency=settings.live_viewers_max + OTHERS_MAX,
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        log_config=lines.config(settings.log_format, settings.log_level, QUIETER),
    )


if __name__ == "__main__":
    try:
        found = GatewaySettings()
    except ValidationError as error:
        sys.exit(str(error))
    serve(found)
