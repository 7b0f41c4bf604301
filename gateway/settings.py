"""What the gateway reads from the environment, once, at start. Every name has the prefix CLASSPULSE_."""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _postgres_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


def _rate(text: str) -> str:
    if any(rate.amount < 1 for rate in parse_many(text)):  # which raises ValueError
        raise ValueError("expected at least 1")
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


def is_loopback(url: str) -> bool:
    """Whether it leads to this machine. A name might lead elsewhere tomorrow, but `localhost` (RFC 6761)."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str) -> bool:
    """Whether secrets may go there."""
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError:
        return False
    return bool(host) and (scheme == "https" or (scheme == "http" and is_loopback(url)))


def _issuer(url: str) -> str:
    if url and (not is_safe(url) or any(mark in url for mark in "?#@ ")):
        raise ValueError("expected https://HOST/PATH, or http:// on this machine; without a user, query or fragment")
    return url


def _scopes(text: str) -> str:
    if "openid" not in text.split():
        raise ValueError("expected scopes separated by spaces, and `openid` among them")
    return text


SECRET_MIN = 32
_NAME = re.compile(r"[A-Za-z0-9._-]+")  # an IPv4 address too

Port = Annotated[int, Field(ge=0, le=65_535)]
RedisUrl = Annotated[str, Field(pattern=r"^(rediss?|unix)://")]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
InfluxUrl = Annotated[str, Field(pattern=r"^(https?://.+)?$")]
CollectorUrl = Annotated[str, Field(pattern=r"^(https?://.+)?$")]
Rate = Annotated[str, AfterValidator(_rate)]


class GatewaySettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CLASSPULSE_",
        frozen=True,
        hide_input_in_errors=True,  # it may be a password
    )

    gateway_host: str = Field("127.0.0.1", description="address the gateway listens on")
    gateway_port: Port = Field(8000, description="serves the door, the dashboard, live updates and health")
    gateway_processes: int = Field(1, ge=1, le=64, description="processes that share the port")
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
    dashboard_access: Literal["local", "open", "accounts"] = Field(
        "local",
        description="who may see the dashboard and its data: viewers on this machine only, anybody, or who logs in",
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="secret from which the keys that sign access tokens are derived"
    )
    oidc_issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        "", description="OpenID provider by which one may log in too, as it calls itself; empty: by passwords only"
    )
    oidc_client_id: str = Field("", description="what the provider knows the gateway as")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="secret the provider gave for it; empty: it gave none"
    )
    oidc_scopes: Annotated[str, AfterValidator(_scopes)] = Field(
        "openid", description="scopes asked for, separated by spaces"
    )
    oidc_claim: Literal["sub", "email", "preferred_username"] = Field(
        "sub", description="claim by which an account that was linked is found for the first time"
    )
    oidc_name: str = Field("", max_length=60, description="what the page calls the provider; empty: by its host's name")
    dashboard_hosts: Annotated[str, AfterValidator(_hosts)] = Field(
        "localhost,127.0.0.1,::1", description="names by which browsers may call the dashboard; `*`: any"
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "127.0.0.1", description="addresses and networks of proxies that are believed when they say who the client is"
    )
    clock_skew_s: int = Field(300, ge=0, description="an event further ahead of the gateway's clock is rejected")
    under_way_max_mb: int = Field(
        32, ge=1, description="events on their way to Kafka at once, in MB; more get 503 until it has caught up"
    )
    spool_folder: str = Field(
        "", description="folder of this gateway's own for events that Kafka does not take; empty: they get 503"
    )
    spool_max_mb: int = Field(256, ge=1, description="what the spool may hold, in MB; more get 503")
    spool_accepts: bool = Field(
        False,
        description="whether an event on the disk counts as accepted; else its producer gets 503 with `retry`",
    )
    xapi_store: bool = Field(
        False, description="whether xAPI statements are kept in PostgreSQL, names and all, for admins to ask for"
    )
    rate_limit_events: Rate = Field("600000/minute", description="events of one API key that has no rate of its own")
    rate_limit_events_per_address: Rate = Field(
        "3000000/minute", description="events of one address, whatever its keys"
    )
    rate_limit_reads: Rate = Field("1200/minute", description="requests of one address to the dashboard's API")
    rate_limit_reads_per_user: Rate = Field("600/minute", description="of one user, where it is known who asks")
    rate_limit_handshakes: Rate = Field("12000/minute", description="WebSockets begun by one address")
    rate_limit_wait_ms: int = Field(
        100, ge=1, le=5_000, description="an answer of Redis takes no longer, or each gateway counts rates for itself"
    )
    probe_every_s: float = Field(
        5.0, ge=0, le=3_600, description="how often a process sends an event of its own all the way round; 0: never"
    )
    live_viewers_max: int = Field(2_000, ge=1, description="viewers of live values at once; more are refused")
    live_viewers_per_address: int = Field(
        1_000, ge=1, description="of them from one address, which may be a whole school's; more are refused"
    )
    live_viewers_per_user: int = Field(
        50, ge=1, description="of them of one user, where it is known who watches; more are refused"
    )
    traces: CollectorUrl = Field(
        "", description="collector of OpenTelemetry's traces: its address for OTLP over HTTP; empty: none are made"
    )
    traces_share: float = Field(0.01, ge=0, le=1, description="of the requests with events, how many are traced")
    log_format: Literal["console", "json"] = Field("console", description="how log lines are written")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")

    @model_validator(mode="after")
    def _one_spools(self) -> Self:
        if self.spool_folder and self.gateway_processes > 1:
            raise ValueError(
                "CLASSPULSE_SPOOL_FOLDER is one process's own, and CLASSPULSE_GATEWAY_PROCESSES is above 1"
            )
        return self

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.dashboard_access == "accounts" and len(self.secret_key.get_secret_value()) < SECRET_MIN:
            raise ValueError(
                f"CLASSPULSE_DASHBOARD_ACCESS=accounts needs a CLASSPULSE_SECRET_KEY of {SECRET_MIN} characters or more"
            )
        return self

    @model_validator(mode="after")
    def _known_to_the_provider(self) -> Self:
        if self.oidc_issuer and self.dashboard_access != "accounts":
            raise ValueError("CLASSPULSE_OIDC_ISSUER is for CLASSPULSE_DASHBOARD_ACCESS=accounts")
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("CLASSPULSE_OIDC_ISSUER needs a CLASSPULSE_OIDC_CLIENT_ID")
        return self
