"""Who asks, by the API key that is shown."""

from starlette.requests import Request

from gateway import problems
from gateway.problems import ProblemError
from gateway.security.keys import ApiKey, KeyRing, Role
from gateway.security.limits import Limits, presented_key


class KeyAccess:
    """Lets those in whose key has the role. As a dependency of a route, or called by it."""

    def __init__(self, keys: KeyRing, limits: Limits, role: Role) -> None:
        self._keys = keys
        self._limits = limits
        self._role = role

    async def __call__(self, request: Request) -> ApiKey:
        """The key. Raises ProblemError 401, 403 or 429; DatabaseAwayError where it cannot be told."""
        presented = presented_key(request)
        self._limits.admit(request)
        found = await self._keys.verify(presented) if presented else None
        if found is None:
            if presented:
                self._limits.strange(request)
            detail = "this API key is not known, or was revoked" if presented else "an API key is needed"
            raise problems.unknown(f"{detail}: Authorization: Bearer KEY")
        if found.role is not self._role:
            raise ProblemError(403, f"the key {found.name!r} has the role {found.role}; this takes {self._role}")
        request.state.caller = f"key:{found.name}"
        return found
