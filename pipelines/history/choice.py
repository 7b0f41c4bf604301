"""Which store has the history."""

from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.history.store import HistoryStore
from pipelines.settings import HistorySettings


def choose(settings: HistorySettings) -> HistoryStore:
    """Opens nothing yet."""
    if settings.influx_url:
        token = settings.influx_token.get_secret_value()
        return InfluxStore(settings.influx_url, token, settings.influx_org, settings.influx_bucket)
    return PostgresStore(settings.postgres_url.get_secret_value())
