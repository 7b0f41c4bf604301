"""`python -m gateway`: reads the settings, and serves until SIGTERM or SIGINT."""

import sys

from pydantic import ValidationError

from gateway.server import serve, serve_shared
from gateway.settings import GatewaySettings

if __name__ == "__main__":
    try:
        found = GatewaySettings()
    except ValidationError as error:
        sys.exit(str(error))
    if found.gateway_processes > 1:
        sys.exit(serve_shared(found))
    serve()
