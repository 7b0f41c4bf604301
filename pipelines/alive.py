"""A worker's signs of life: is its loop turning, is it getting on, who knows about it."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import faust
import mode
import msgspec
import redis.asyncio as redis
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from pipelines import telemetry
from pipelines.obedience import Obedience
from pipelines.reading import Reading
from pipelines.settings import WorkerSettings
from pipelines.watchdog import Watchdog
from wire import channels, workers

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_S = 1.0  # a heartbeat that takes longer is skipped: the next one is near
STOP_WITHIN_S = 6.0  # less than any supervisor waits before it kills
LOOP_LATE_S = 5.0  # a loop that woke so late was blocked: nothing else was served meanwhile


class Pulse(mode.Service):  # type: ignore[misc]
    """Writes a Heartbeat every HEARTBEAT_S, and reads what is ordered. Knows whether the worker is ready. Redis away
    costs only heartbeats, and orders wait."""

    def __init__(self, app: faust.App, settings: WorkerSettings, reading: Reading) -> None:
        super().__init__()
        self._app = app
        self._reading = reading
        self._settings = settings
        self._id = f"{app.conf.id}-{socket.gethostname()}-{os.getpid()}"
        self._started_at = time.time()
        self._handled = 0
        self._last_progress: float | None = None  # monotonic
        self._caught_up = time.monotonic()  # when there was last nothing left to read
        self._loop_lag_s = 0.0  # at worst between the last two heartbeats
        self._watchdog = Watchdog(settings.loop_dump_s, settings.loop_exit_s)
        self._under_way: list[float] = []  # monotonic starts of the batches an agent has now
        self._redis_said = True
        self.was_ready = False  # ever
        self._stopping_since: float | None = None  # monotonic
        self.held_by: Callable[[], str] = lambda: ""  # the store that is away
        self.obedience = Obedience(int(self._started_at * 1000), reading.pause)

    def begins(self, started: float) -> None:
        self._under_way.append(started)

    def finished(self, started: float, records: int) -> None:
        self._under_way.remove(started)
        if records:
            self._handled += records
            self._last_progress = time.monotonic()

    async def on_start(self) -> None:
        self._redis = redis.from_url(
            self._settings.redis_url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        self._watchdog.start()
        await self._exchange(None)  # started again, it is to be as paused as it was
        self.obedience.obey(int(time.time() * 1000))

    async def on_stop(self) -> None:
        try:
            await self._redis.delete(channels.worker(self._id))
        except (RedisError, OSError):
            log.info("heartbeat left to expire", worker=self._id)
        await self._redis.aclose()
        self._watchdog.stop()

    @mode.Service.task  # type: ignore[untyped-decorator]
    async def _beat(self) -> None:
        while not self.should_stop:
            await self.sleep(channels.HEARTBEAT_S)
            if self._app.should_stop:
                self._leave_in_time()
            if self.should_stop:
                break  # on_stop takes the heartbeat away
            self._loop_lag_s = self._watchdog.lags.since_asked_s()
            beat = self.heartbeat()
            telemetry.EVENT_LOOP_LAG.labels(beat.app).set(self._loop_lag_s)
            telemetry.LAG_RECORDS.labels(beat.app).set(beat.lag_records)
            telemetry.READY.labels(beat.app).set(beat.ready)
            telemetry.PROGRESS.labels(beat.app).set((beat.last_progress_ms or 0) / 1000)
            await self._exchange(beat)
            self.obedience.obey(int(time.time() * 1000))

    def _leave_in_time(self) -> None:
        """Faust waits without end for a batch that waits for a store or for Kafka, and would then commit it."""
        self._stopping_since = self._stopping_since or time.monotonic()
        if time.monotonic() - self._stopping_since > STOP_WITHIN_S:
            log.warning("not done in time; what is not committed will be read again", batches=len(self._under_way))
            logging.shutdown()
            os._exit(os.EX_OK)

    async def _exchange(self, beat: workers.Heartbeat | None) -> None:
        """Tells it and hears what is ordered, in one round trip."""
        try:
            async with self._redis.pipeline(transaction=False) as asked:
                asked.get(channels.standing(self._app.conf.id))
                asked.get(channels.drain(self._id))
                if beat is not None:
                    asked.set(channels.worker(self._id), workers.encode(beat), ex=channels.WORKER_TTL_S)
                standing, drain, *_ = await asked.execute()
        except (RedisError, OSError, TimeoutError) as error:
            if self._redis_said:  # once an outage, not once a heartbeat
                log.warning("no heartbeat: Redis cannot be reached", error=str(error))
            self._redis_said = False
        else:
            if not self._redis_said:
                log.info("heartbeats go on: Redis is back")
            self._redis_said = True
            self.obedience.hear(standing, drain)

    def heartbeat(self) -> workers.Heartbeat:
        """What the worker says of itself now."""
        reason = self.not_ready()
        progress, now = self._last_progress, time.monotonic()
        return workers.Heartbeat(
            worker_id=self._id,
            app=self._app.conf.id,
            version=version("classpulse"),
            pid=os.getpid(),
            web_port=self._settings.worker_port,
            started_at_ms=int(self._started_at * 1000),
            sent_at_ms=int(time.time() * 1000),
            partitions=self._reading.held(),
            events_handled=self._handled,
            last_progress_ms=None if progress is None else int((time.time() - now + progress) * 1000),
            lag_records=self._reading.lag_records(),
            loop_lag_ms=round(self._loop_lag_s * 1000, 1),
            ready=not reason,
            reason=reason,
            loop_lag_worst_ms=round(self._watchdog.lags.worst_s(now) * 1000, 1),
            batch_for_ms=int((now - min(self._under_way)) * 1000) if self._under_way else None,
            held_by=self.held_by(),
            paused=self.obedience.says,
        )

    def not_ready(self) -> str:
        """The reason, or "" when it is ready. A worker without partitions (more workers than partitions) is ready."""
        reason = next((reason for _, reason in self.looked() if reason), "")
        self.was_ready = self.was_ready or not reason
        return reason

    def looked(self) -> Iterator[tuple[str, str]]:
        """What is looked at, with what is wrong with it or ""; one that fails says nothing of those behind it."""
        yield "partitions", self._reading.waits_for()
        lag_s = self._loop_lag_s
        yield "eventLoop", f"event loop woke {lag_s:.1f} s late" if lag_s > LOOP_LATE_S else ""
        now, stall_s = time.monotonic(), self._settings.stall_s
        # What is unread lies in Kafka; what an agent has, or waits behind what it has, is read but not done.
        busy_s = now - min(self._under_way) if self._under_way else 0.0
        yield "batch", f"a batch has been under way for {busy_s:.0f} s" if busy_s > stall_s else ""
        # Faust goes on as if nothing were; aiokafka knows, from its heartbeats to the group's coordinator.
        knows = self._app.consumer._thread._consumer._coordinator.coordinator_id is not None
        yield "coordinator", "" if knows else "no broker answers as the coordinator of its consumer group"
        if (lag := self._reading.lag_records()) == 0 or self.obedience.says:  # paused, it is not to get on
            self._caught_up = now
        still_s = now - max(self._caught_up, self._last_progress or 0.0)
        yield "progress", f"no progress for {still_s:.0f} s with {lag} records unread" if still_s > stall_s else ""


class Web(mode.Service):  # type: ignore[misc]
    """The worker's own HTTP port. It shares the event loop, so a blocked loop does not answer: that is the point."""

    def __init__(self, pulse: Pulse, settings: WorkerSettings) -> None:
        super().__init__()
        self._pulse = pulse
        self._settings = settings

    async def on_start(self) -> None:
        http = web.Application()
        answers = {
            "/livez": self._livez, "/startupz": self._startupz, "/readyz": self._readyz, "/metrics": self._metrics
        }  # fmt: skip
        http.add_routes([web.get(path, answer) for path, answer in answers.items()])
        self._runner = web.AppRunner(http, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.worker_host, self._settings.worker_port).start()

    async def on_stop(self) -> None:
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _startupz(self, _: web.Request) -> web.Response:
        """It has been ready once: from then on not being ready is news."""
        reason = self._pulse.not_ready()
        started = self._pulse.was_ready
        body = {"status": "started" if started else "starting", "reason": "" if started else reason}
        return web.json_response(body, status=200 if started else 503)

    async def _readyz(self, request: web.Request) -> web.Response:
        beat = self._pulse.heartbeat()
        if request.query.get("verbose", "false").lower() not in ("false", "0", "no"):
            return self._verbose(beat)
        return web.Response(
            body=workers.encode(beat), status=200 if beat.ready else 503, content_type="application/json"
        )

    def _verbose(self, beat: workers.Heartbeat) -> web.Response:
        """draft-inadarei-api-health-check-06, with the heartbeat beside its members."""
        checks = {}
        for name, reason in self._pulse.looked():
            said = {"componentId": beat.worker_id, "componentType": "component", "status": "fail" if reason else "pass"}
            checks[f"{beat.app}:{name}"] = [said | ({"output": reason} if reason else {})]
            if reason:
                break
        body = {"status": "pass" if beat.ready else "fail", "releaseId": beat.version, "checks": checks}
        return web.json_response(
            body | ({"output": beat.reason} if beat.reason else {}) | {"heartbeat": msgspec.to_builtins(beat)},
            status=200 if beat.ready else 503,
            content_type="application/health+json",
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
