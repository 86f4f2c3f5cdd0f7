"""Settings of the service: environment variables MITOSCAN_<NAME>, or the TOML file that MITOSCAN_CONFIG names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import (
    NoDecode,
    SettingsConfigDict,
)

from service.proxies import Prefix, Proxy
from service.settings.rules import (
    GIB,
    LOOPBACK,
    PREFIX,
    LogFormat,
    LogLevel,
    certificates,
    cron_schedule,
    enough_memory,
    header_value,
    host_name,
    http_address,
    issuer_address,
    known_keys,
    signing_secret,
    web_origin,
    webhook_key,
)
from service.settings.sources import SourcedSettings


class Settings(SourcedSettings):
    """All settings. Lists and tables are written as JSON in environment variables."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    root_path: Prefix = Field(
        default="", description="Path that a reverse proxy serves the service below, such as /mitoscan."
    )
    trusted_proxies: tuple[Proxy, ...] = Field(
        default=("127.0.0.1", "::1"), description="Addresses and networks of proxies whose X-Forwarded-* are believed."
    )
    data: Path = Field(default=Path("mitoscan-data"), description="Folder of the job database, uploads and results.")
    database_url: str | None = Field(default=None, description="PostgreSQL URL; unset: SQLite in the data folder.")
    models: Path | None = Field(default=None, description="Folder with further models, each in a folder of its own.")
    default_model: str | None = Field(default=None, description="Model for requests that name none.")
    device: str = Field(default="auto", description="Device of the workers: auto, cpu, cuda, cuda:1.")
    gpu_form: Literal["dilation", "measured"] = Field(
        default="dilation",
        description="How networks run on a GPU: dilation, by cuDNN's dilated convolutions; "
        "measured, in the form that is fastest on that GPU.",
    )
    workers: int = Field(default=1, ge=0, le=64, description="Worker processes that `serve` starts: one per GPU.")
    worker_nice: int = Field(default=5, ge=0, le=19, description="Niceness of the workers, so that the API is quick.")

    worker_memory_bytes: Annotated[int, AfterValidator(enough_memory)] = Field(
        default=0,
        ge=0,
        description="Host memory that a worker may allocate, at least 2 GiB; "
        "0: three quarters of the machine or container, divided among `workers`.",
    )

    api_keys: Annotated[dict[str, str], AfterValidator(known_keys)] = Field(
        default_factory=dict,
        description="Name of a key -> 'role:group:SHA-256 of the key in hex', beside the keys of `mitoscan keys`; "
        "roles: read, review, submit, admin, metrics. Without 'group:', the group has the key's name. "
        "Without any key, loopback needs none, and any other address gets an admin key at the first start.",
    )
    oidc_issuer: Annotated[str, AfterValidator(issuer_address)] | None = Field(
        default=None, description="OpenID Connect issuer (https URL) whose tokens are accepted as well as API keys."
    )
    oidc_audience: str | None = Field(default=None, description="Audience that tokens must name; 'mitoscan' if unset.")
    oidc_role_claim: str = Field(default="roles", description="Claim of a token that holds its roles or groups.")
    oidc_roles: dict[str, Literal["read", "review", "submit", "admin", "metrics"]] = Field(
        default={
            "mitoscan-read": "read",
            "mitoscan-review": "review",
            "mitoscan-submit": "submit",
            "mitoscan-admin": "admin",
        },
        description="Value of that claim -> role, of several the one that may do most; "
        "a token without any of them is refused.",
    )
    oidc_group_claim: str | None = Field(
        default=None,
        description="Claim of a token that holds its group, one name; unset: each subject is a group of its own.",
    )
    allowed_hosts: tuple[Annotated[str, AfterValidator(host_name)], ...] = Field(
        default=(),
        description="Without keys: names, beside those of loopback, that requests may be sent to (their `Host`), "
        "such as the public one behind a reverse proxy.",
    )
    without_keys: bool = Field(
        default=False,
        description="Ask for no key on a network address either: whoever reaches the service may do everything.",
    )
    share_max_h: int = Field(
        default=30 * 24, ge=0, le=366 * 24, description="Most hours that a share link is valid; 0: no share links."
    )
    share_secret: Annotated[str, AfterValidator(signing_secret)] | None = Field(
        default=None,
        repr=False,
        description="Secret that signs share links, at least 32 characters, the same on all hosts of the service; "
        "unset: share.secret in the data folder, made for the first link.",
    )
    cors_origins: tuple[str, ...] = Field(default=(), description="Web origins that may call the API from a browser.")
    frame_origins: tuple[Annotated[str, AfterValidator(web_origin)], ...] = Field(
        default=(), description="Web origins whose pages may show the service's pages in a frame; none: no page may."
    )
    slide_folders: tuple[Path, ...] = Field(
        default=(), description="Folders of the server that {'source': {'path'}} may name slides in; none: off."
    )
    url_prefixes: tuple[str, ...] = Field(
        default=(), description="URL prefixes that {'source': {'url'}} may fetch slides from; none: off."
    )
    ca_bundle: Annotated[Path, AfterValidator(certificates)] | None = Field(
        default=None, description="PEM file of certificate authorities that are trusted beside the public ones."
    )
    outbound_proxies: dict[str, Annotated[str, AfterValidator(http_address)]] = Field(
        default={},
        description="Host -> URL of the proxy by which the service calls it, '' for none; "
        "the host '*' is every other one, '*.example.org' every one of a domain.",
    )
    outbound_authorization: dict[str, Annotated[str, AfterValidator(header_value)]] = Field(
        default={},
        repr=False,
        description="URL prefix -> value of the header Authorization there, for slides at URLs and for `store`.",
    )
    store_prefixes: tuple[str, ...] = Field(
        default=(), description="URL prefixes of the DICOMweb servers that `store` may name; none: off."
    )

    webhook_prefixes: tuple[str, ...] = Field(
        default=(), description="URL prefixes that `webhook` may name; none: webhooks are off."
    )
    webhook_secret: Annotated[str, AfterValidator(webhook_key)] | None = Field(
        default=None,
        repr=False,
        description="Key that signs webhooks, base64 after 'whsec_'; unset: webhooks are off.",
    )
    webhook_attempts: int = Field(
        default=6, ge=1, le=20, description="Most attempts to deliver a webhook, or annotations."
    )
    webhook_pause_s: float = Field(
        default=5.0,
        gt=0,
        description="Seconds before a delivery is tried again; each further pause is three times as long.",
    )

    max_upload_bytes: int = Field(default=20 * GIB, ge=1, description="Largest slide accepted, in bytes.")
    max_pixels: int = Field(default=200_000_000_000, ge=1, description="Largest slide accepted, in level-0 pixels.")
    max_field_pixels: int = Field(
        default=400_000_000, ge=1, description="Largest PNG or JPEG accepted, in pixels: it is decoded as a whole."
    )
    max_side: int = Field(default=1_000_000, ge=1, description="Longest side accepted, in level-0 pixels.")
    sync_max_pixels: int = Field(
        default=10_000_000,
        ge=0,
        description="Largest image, in pixels, for which /detect waits and answers with the result.",
    )
    sync_timeout_s: float = Field(
        default=60.0, ge=0, description="Longest that /detect waits for a result, in seconds; then it answers 202."
    )
    max_open_jobs: int = Field(
        default=1000, ge=1, description="Most waiting and running jobs of all clients; further ones are answered 503."
    )
    max_client_jobs: int = Field(
        default=200, ge=1, description="Most waiting and running jobs of one group; further ones are answered 429."
    )
    requests_per_minute: int = Field(
        default=6000, ge=1, description="Most requests of one client per minute; further ones are answered 429."
    )
    min_free_bytes: int = Field(
        default=GIB // 2, ge=0, description="Free disk space, in bytes, below which uploads are refused."
    )

    client_quota_bytes: int = Field(
        default=0,
        ge=0,
        description="Most bytes of slides that one group may store, unfinished uploads included; "
        "more are answered 413. 0: no limit.",
    )
    client_timeout_s: int = Field(
        default=30,
        ge=1,
        description="Seconds that receiving a request or sending an answer may stall; then the connection is closed.",
    )

    job_timeout_s: float = Field(default=6 * 3600.0, gt=0, description="Longest that a scan may take, in seconds.")
    max_attempts: int = Field(
        default=3, ge=1, description="Most times that a job is started; it fails if its worker has crashed each time."
    )
    dead_after_s: float = Field(default=15.0, gt=0, description="Seconds without a heartbeat until a worker is dead.")
    keep_days: float = Field(default=30.0, gt=0, description="Days that ended jobs, uploads and results are kept.")
    quota_bytes: int = Field(
        default=0, ge=0, description="Most bytes of uploads and results; the oldest are removed first. 0: no limit."
    )
    cleaning_schedule: Annotated[str, AfterValidator(cron_schedule)] = Field(
        default="*/10 * * * *", description="When expired files are removed: cron, in UTC."
    )
    audit_keep_days: int = Field(default=365, ge=1, description="Days that the audit trail, in audit/, is kept.")
    log_format: LogFormat = Field(default=LogFormat.AUTO, description="json, text, or auto: text on a terminal.")
    log_level: LogLevel = Field(default=LogLevel.INFO, description="DEBUG, INFO, WARNING or ERROR.")
    otel: bool = Field(
        default=False,
        description="Trace requests and scans by OpenTelemetry (extra `otel`) to OTEL_EXPORTER_OTLP_ENDPOINT.",
    )
    config: Annotated[Path | None, NoDecode] = Field(default=None, description="TOML file with any of these settings.")

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the job database."""
        if self.database_url is None:
            return f"sqlite:///{self.data.resolve() / 'store.sqlite'}"
        scheme, _, rest = self.database_url.partition("://")
        return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else self.database_url

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can connect."""
        return self.host in LOOPBACK

    @property
    def audit_folder(self) -> Path:
        """Folder of the audit trail."""
        return self.data.resolve() / "audit"

    @property
    def uploads(self) -> Path:
        """Folder of uploaded slides."""
        return self.data.resolve() / "uploads"

    @property
    def results(self) -> Path:
        """Folder of results, each under its result key."""
        return self.data.resolve() / "results"
