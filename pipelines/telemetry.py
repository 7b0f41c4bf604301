"""Every Prometheus metric of the workers, served at /metrics of each worker's own port."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("classpulse_records_total", "Records handled to the end.", ["app", "topic"])
VERDICTS = Counter("classpulse_events_total", "What became of the events read, by verdict.", ["verdict"])
SKIPPED = Counter(
    "classpulse_offsets_skipped_total", "Offsets of activity that were never read: events may be missing."
)
IDS_FORGOTTEN = Counter(
    "classpulse_event_ids_forgotten_total", "Event ids given up early: such an event sent again counts again."
)
WINDOWS_REFUSED = Counter(
    "classpulse_windows_refused_total", "Partials of windows that are not kept any more: their values lack them."
)
AUDIT_DIFFERENCE = Gauge(
    "classpulse_audit_difference",
    "Events of the last hour that do not add up: accepted, judged, in the windows. 0, or there is a fault.",
    ["partition", "stage"],
)
DEAD_LETTERS = Counter("classpulse_dead_letters_total", "Records sent to activity.dead-letters.", ["app", "reason"])
BATCH_SECONDS = Histogram(
    "classpulse_batch_seconds", "Time from taking a batch to its last acknowledged write.", ["app"]
)
SINK_RETRIES = Counter("classpulse_sink_retries_total", "Writes to a store that had to be tried again.", ["sink"])
SINK_WAITING = Gauge("classpulse_sink_waiting", "1 while a store cannot be reached and its topic is held.", ["sink"])
POINTS_WRITTEN = Counter("classpulse_points_written_total", "Metric points written to a store.", ["sink"])
PARKED = Counter(
    "classpulse_updates_parked_total", "Updates a store did not take, sent to metrics.parked.", ["sink", "reason"]
)
EVENT_LOOP_LAG = Gauge(
    "classpulse_event_loop_lag_seconds", "How late the worker's event loop woke, at worst of 2 s.", ["app"]
)
LAG_RECORDS = Gauge("classpulse_worker_lag_records", "Records not yet read, over the worker's partitions.", ["app"])
READY = Gauge("classpulse_worker_ready", "1 while the worker is ready.", ["app"])
PROGRESS = Gauge(
    "classpulse_worker_last_progress_timestamp_seconds", "When the worker last finished records; 0: never.", ["app"]
)
