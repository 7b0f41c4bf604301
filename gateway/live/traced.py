"""The end of a trace: an update has been given to everybody who watches its scope."""

import time

from gateway.live.fanout import FanOut
from traces import context
from traces.context import Context
from traces.tracer import Attributes, Kind, Tracer
from wire import channels

PENDING_MAX = 100  # updates of one tick


class Traced:
    def __init__(self, tracer: Tracer, fanout: FanOut) -> None:
        self._tracer = tracer
        self._fanout = fanout
        self._pending: list[tuple[str, Context, int]] = []

    def take(self, scope: str, traceparent: str) -> None:
        """It has arrived."""
        parent = context.parse(traceparent)
        if self._tracer.on and parent is not None and len(self._pending) < PENDING_MAX:
            self._pending.append((scope, parent, time.time_ns()))

    def written(self) -> None:
        """What was taken is with the viewers."""
        if not self._pending:
            return
        taken, self._pending = self._pending, []
        for scope, parent, began_ns in taken:
            attributes: Attributes = {
                "messaging.system": "redis",
                "messaging.operation.name": "deliver",
                "messaging.operation.type": "process",
                "messaging.destination.template": channels.live("scope"),
                "classpulse.scope.kind": scope.partition(":")[0],
                "classpulse.viewers": self._fanout.watching_scope(scope),
            }
            self._tracer.begin("deliver update", Kind.CONSUMER, parent, attributes, began_ns=began_ns).end()
