"""What the gateway reads from the environment, once, at start. Every name has the prefix CLASSPULSE_."""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from limits import parse_many
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _postgres_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


def _rate(text: str) -> str:
    parse_many(text)  # raises ValueError
    return text


def listed(text: str) -> list[str]:
    """The parts of a setting that are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _networks(text: str) -> str:
    for network in listed(text):
        ip_network(network)  # raises ValueError, for 10.0.0.1/8 too, which uvicorn would take and never match
    return text


def _hosts(text: str) -> str:
    for name in listed(text):
        if name != "*" and not _NAME.fullmatch(name):
            ip_address(name)  # raises ValueError: with a scheme, a port or brackets it would never match
    return text


_NAME = re.compile(r"[A-Za-z0-9._-]+")  # an IPv4 address too

Port = Annotated[int, Field(ge=0, le=65_535)]
RedisUrl = Annotated[str, Field(pattern=r"^(rediss?|unix)://")]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
InfluxUrl = Annotated[str, Field(pattern=r"^(https?://.+)?$")]
Rate = Annotated[str, AfterValidator(_rate)]


class GatewaySettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CLASSPULSE_",
        frozen=True,
        hide_input_in_errors=True,  # it may be a password
    )

    gateway_host: str = Field("127.0.0.1", description="address the gateway listens on")
    gateway_port: Port = Field(8000, description="serves the door, the dashboard, live updates and health")
    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port, separated by commas")
    redis_url: RedisUrl = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey: heartbeats and live values")
    postgres_url: PostgresUrl = Field(
        SecretStr("postgresql://127.0.0.1:5432/classpulse"),
        description="API keys, the roster, and the history where there is no InfluxDB",
    )
    influx_url: InfluxUrl = Field("", description="InfluxDB 2; empty: the history is in PostgreSQL")
    influx_token: SecretStr = Field(SecretStr(""), description="InfluxDB token with read access to the bucket")
    influx_org: str = Field("classpulse", description="InfluxDB organisation")
    influx_bucket: str = Field("classpulse", description="InfluxDB bucket")
    dashboard_access: Literal["local", "open"] = Field(
        "local", description="who may see the dashboard and its data: viewers on this machine only, or anybody"
    )
    dashboard_hosts: Annotated[str, AfterValidator(_hosts)] = Field(
        "localhost,127.0.0.1,::1", description="names by which browsers may call the dashboard; `*`: any"
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "127.0.0.1", description="addresses and networks of proxies that are believed when they say who the client is"
    )
    clock_skew_s: int = Field(300, ge=0, description="an event further ahead of the gateway's clock is rejected")
    rate_limit_events: Rate = Field("6000/minute", description="requests of one API key to the door")
    rate_limit_reads: Rate = Field("1200/minute", description="requests of one address to the dashboard's API")
    live_viewers_max: int = Field(2_000, ge=1, description="WebSocket connections at once; more are refused")
    log_format: Literal["console", "json"] = Field("console", description="how log lines are written")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")
