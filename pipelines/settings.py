"""What the workers read from the environment, once, at start. Every name has the prefix CLASSPULSE_."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65_535)]


class WorkerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CLASSPULSE_", frozen=True)

    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port, separated by commas")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey: heartbeats and live values")
    worker_host: str = Field("127.0.0.1", description="address of the worker's own HTTP port")
    worker_port: Port = Field(6066, description="serves /livez, /startupz, /readyz and /metrics")
    transport: Literal["batch", "stock"] = Field(
        "batch", description="how records are read: by the batch, or by Faust's own transport"
    )
    unpacker: Literal["lean", "portable"] = Field(
        "lean", description="how batches are unpacked: from within aiokafka, or by its public calls"
    )
    session_s: float = Field(
        6.0, ge=1, description="a worker not heard of for so long has left its group: others take over its partitions"
    )
    log_format: Literal["console", "json"] = Field("console", description="how log lines are written")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")
    traces: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="collector of OpenTelemetry's traces: its address for OTLP over HTTP; empty: none are made",
    )
    stall_s: float = Field(
        40.0, gt=0, description="a worker with unread records and no progress for so long is not ready"
    )
    loop_dump_s: float = Field(
        10.0, gt=0, description="an event loop that has not turned for so long: where each thread is goes into the log"
    )
    # Reading back a large table may hold the loop for seconds on a slow machine.
    loop_exit_s: float = Field(
        30.0, gt=0, description="for so long: the process ends with exit code 75, to be started again"
    )


class AggregateSettings(WorkerSettings):
    # At most 3 h: what is kept of a student grows with it, and is one record (aggregate/students.py).
    lateness_s: int = Field(
        3600, ge=300, le=10_800, description="an event further behind its partition's newest one is late"
    )
    grace_s: int = Field(120, ge=0, le=3600, description="a window is final when the watermark is so far past its end")
    # More than 78,000 take twice as much memory. With 8 partitions and 1,000 events/s so many come in 10 min.
    dedupe_ids_max: int = Field(
        78_000, ge=1_000, description="event ids kept of a partition and generation; two generations are kept"
    )
    clock_skew_s: int = Field(
        300, ge=0, description="an event further ahead of its record's timestamp is a dead letter"
    )


class LiveSettings(WorkerSettings):
    worker_port: Port = Field(6067, description="serves /livez, /startupz, /readyz and /metrics")


class HistorySettings(WorkerSettings):
    worker_port: Port = Field(6068, description="serves /livez, /startupz, /readyz and /metrics")
    postgres_url: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/classpulse"),
        description="keeps the history where there is no InfluxDB",
    )
    influx_url: str = Field("", description="InfluxDB 2; empty: the history goes to PostgreSQL")
    influx_token: SecretStr = Field(SecretStr(""), description="InfluxDB token with write access to the bucket")
    influx_org: str = Field("classpulse", description="InfluxDB organisation")
    influx_bucket: str = Field("classpulse", description="InfluxDB bucket")
