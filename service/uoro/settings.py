"""Settings of a deployment, from the environment (prefix `UORO_`) or a `.env` file; read by the root only."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from uoro.errors import InvalidSettings
from uoro.ingest.naming import DEFAULT_TEMPLATE, Naming, SeriesRules
from uoro.limits import Limits

ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LIMITS = Limits()


class Settings(BaseSettings):
    """Every setting; `uoro serve --help` lists them with these descriptions."""

    model_config = SettingsConfigDict(env_prefix="UORO_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    redis_url: str | None = Field(
        None,
        description="redis:// or rediss:// address, the latter with ?ssl_ca_certs=FILE for an authority of one's own; "
        "unset: a private embedded server under the data directory",
    )
    data_dir: Path = Field(Path("data"), description="where the embedded server keeps its data")
    shard: str = Field(
        "0", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="name of the shard; one server owns it at a time"
    )
    auto_create: bool = Field(False, description="create unknown streams on their first observation")
    api_keys_file: Path | None = Field(
        default=None,
        description="file of the keys that callers need, as `uoro keys create` makes it; unset: no keys are asked "
        "for, and the service listens on loopback only",
    )
    allow_anonymous: bool = Field(
        False, description="listen beyond loopback although no keys are configured; with keys it changes nothing"
    )
    metrics_without_key: bool = Field(
        False, description="serve /metrics without a key; else it needs one with the scope read and no prefix"
    )
    cors_origins: str = Field(
        "", description="origins whose pages may call from a browser, separated by commas; * for all"
    )
    memory_budget_bytes: int = Field(
        _LIMITS.memory_budget_bytes,
        ge=2**20,
        description="what streams' states may take in memory, in bytes; the others lie in Redis until asked for",
    )
    max_streams: int = Field(_LIMITS.max_streams, ge=1, description="streams that may exist")
    snapshot_interval_s: float = Field(
        _LIMITS.snapshot_interval_s,
        gt=0,
        description="seconds between two snapshots of a stream that changes",
    )
    max_log_records: int = Field(
        _LIMITS.max_log_records,
        ge=1,
        description="log length in records that calls for snapshots before their time",
    )
    max_body_bytes: int = Field(_LIMITS.max_body_bytes, ge=1024, description="largest request body, in bytes")
    max_connections: int = Field(
        _LIMITS.max_connections,
        ge=1,
        description="connections open at once, websockets included; one more is answered 503",
    )
    max_queue_observations: int = Field(
        _LIMITS.max_queue_observations, ge=1, description="observations that may wait for a batch"
    )
    store_timeout_s: float = Field(
        _LIMITS.store_timeout_s, gt=0, description="seconds that Redis may take for one command"
    )
    lease_ttl_s: float = Field(_LIMITS.lease_ttl_s, gt=0, description="seconds an owner may be silent")
    runner_threads: int = Field(
        default_factory=lambda: max((os.cpu_count() or 1) - 1, 1),
        ge=1,
        le=256,
        description="threads that apply observations; unset: one fewer than the machine has cores",
    )
    remote_write_stream: str = Field(
        DEFAULT_TEMPLATE,
        description="the stream of a series that Prometheus writes: {label} stands for a label's value, {*} for all "
        "labels that are not named",
    )
    remote_write_metrics: str = Field(
        ".*", description="which metrics that Prometheus writes are learned from: a regular expression of whole names"
    )
    remote_write_rates: bool = Field(True, description="counters that Prometheus writes become rates per second")
    stream_metrics_max: int = Field(200, ge=0, description="streams that have metrics of their own")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level logged; the audit log is written at all"
    )
    log_format: Literal["console", "json"] = Field("console", description="how log lines look")

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """Settings of the environment. Raises InvalidSettings with one sentence about the first bad one."""
        try:
            settings = cls(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = "UORO_" + "_".join(str(part) for part in first["loc"]).upper()
            raise InvalidSettings(f"{name} is not usable: {first['msg']}.") from error
        if settings.host not in LOOPBACK and settings.api_keys_file is None and not settings.allow_anonymous:
            raise InvalidSettings(
                f"UORO_HOST={settings.host} would serve everyone without a key; listen on 127.0.0.1, make keys "
                "(uoro keys create) and set UORO_API_KEYS_FILE, or set UORO_ALLOW_ANONYMOUS=true if that is meant."
            )
        settings.series()
        for origin in settings.origins():
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise InvalidSettings(
                    f"UORO_CORS_ORIGINS is not usable: {origin!r} is no origin such as https://example.org."
                )
        return settings

    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may call."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())

    def series(self) -> SeriesRules:
        """What becomes of the series that Prometheus writes. Raises InvalidSettings."""
        try:
            naming = Naming(self.remote_write_stream)
        except ValueError as error:
            raise InvalidSettings(f"UORO_REMOTE_WRITE_STREAM is not usable: {error}.") from error
        try:
            taken = re.compile(self.remote_write_metrics)
        except re.error as error:
            raise InvalidSettings(f"UORO_REMOTE_WRITE_METRICS is not usable: {error}.") from error
        return SeriesRules(naming, taken, self.remote_write_rates)

    def limits(self) -> Limits:
        """The limits that this deployment moves."""
        return Limits(
            max_body_bytes=self.max_body_bytes,
            max_queue_observations=self.max_queue_observations,
            max_connections=self.max_connections,
            memory_budget_bytes=self.memory_budget_bytes,
            max_streams=self.max_streams,
            snapshot_interval_s=self.snapshot_interval_s,
            max_log_records=self.max_log_records,
            store_timeout_s=self.store_timeout_s,
            lease_ttl_s=self.lease_ttl_s,
        )
