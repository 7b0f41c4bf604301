"""How an API key may be shown, told to OpenAPI; who reads it is `presented_key`."""

from fastapi import Depends
from fastapi.security import HTTPBasic, HTTPBearer
from starlette.requests import HTTPConnection


class _Basic(HTTPBasic):
    """FastAPI's own would refuse a user name that is not ASCII."""

    async def __call__(self, request: HTTPConnection) -> None:  # noqa: ARG002 - as FastAPI calls it
        return None


BEARER_OR_BASIC = [
    Depends(HTTPBearer(scheme_name="api_key", auto_error=False)),
    Depends(_Basic(scheme_name="api_key_basic", auto_error=False)),
]
