"""Says how the program is set up: environment variables over a TOML file over defaults.

The only reader of the environment. Validated by hand because every command pays for what is
imported here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from stretto import settings_cdn as cdn
from stretto import settings_celery as celery
from stretto import settings_decoder as decoding
from stretto import settings_engine as engines
from stretto import settings_monitoring as monitoring
from stretto import settings_network as network
from stretto import settings_remote as remote
from stretto import settings_server as server
from stretto.contexts.core.errors import InvalidLanguage, InvalidOption
from stretto.contexts.core.identifiers import Language
from stretto.contexts.database.model import ConnectionString, PoolSize
from stretto.settings_values import (
    ENGINE_NAME,
    LOG_LEVELS,
    REDIS_SCHEMES,
    about,
    is_database,
    is_language,
    is_no_file,
    number,
    text,
)

PREFIX: Final = "STRETTO_"
FILE_NAME: Final = "stretto.toml"
TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS: Final = frozenset({"0", "false", "no", "off"})


def _data_folder() -> Path:
    import platformdirs

    return platformdirs.user_data_path("stretto", appauthor=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set up. Raises InvalidOption for a value that is not allowed."""

    home: Path = field(
        default_factory=_data_folder,
        metadata=about(
            "Where transcripts, the cache and models are kept, and where stretto.toml lies. "
            "Not allowed in stretto.toml itself.",
            allowed="a folder, existing or to be created",
            check=is_no_file,
            shown="the user's data folder",
        ),
    )
    engine: str = engines.ENGINE
    model: str = engines.MODEL
    device: str = engines.DEVICE
    compute_type: str = engines.COMPUTE_TYPE
    concurrency: int = number(
        4, "How many chunks may be worked on at once, over all files of a process.", 1, 64
    )
    workers: int = number(
        0, "Decoders of the local engine that run side by side; 0 means one per core.", 0, 256
    )
    language: str = text(
        "The language that is spoken; empty means: find out.",
        allowed="a language code (ISO 639-1, such as en, ru or de) or empty",
        check=is_language,
    )
    log_level: str = field(
        default="WARNING",
        metadata=about(
            "The least important messages that are logged.",
            allowed="one of " + ", ".join(LOG_LEVELS),
            check=lambda level: level in LOG_LEVELS,
        ),
    )
    database_url: str = text(
        "The database of a team; empty means SQLite in the home folder. See "
        "[Databases](../howto/databases.md).",
        allowed="empty or postgresql+psycopg://user:password@host:5432/database",
        check=is_database,
        secret=True,
    )
    database_pool_min: int = field(
        default=1,
        metadata=about(
            "Connections to PostgreSQL that are opened at once.",
            allowed="a whole number from 0 to 1000, and at most database_pool_max",
            check=lambda count: 0 <= count <= 1000,
        ),
    )
    database_pool_max: int = number(
        10, "Connections to PostgreSQL that a process keeps open at most.", 1, 1000
    )
    database_pool_overflow: int = number(
        5, "Connections that are opened besides in a rush, and closed after it.", 0, 1000
    )
    slow_query_ms: int = number(
        100,
        "A database statement that takes longer is remembered for stretto db advise.",
        *(1, 600_000),
        unit="milliseconds",
    )
    redis_url: str = text(
        "A Redis that many processes share as a level of the cache; empty means none. See "
        "[The cache](../howto/cache.md).",
        allowed="empty or redis://user:password@host:6379/0 (also rediss:// and unix://)",
        check=lambda url: not url or url.startswith(REDIS_SCHEMES),
        secret=True,
    )
    cache_memory_mb: int = number(
        32, "What the cache keeps in the memory of a process at most.", 0, 1_000_000, unit="MB"
    )
    cache_memory_ttl_s: int = number(
        3600, "How long it keeps an answer there.", 1, 31_536_000, unit="seconds"
    )
    cache_redis_ttl_s: int = number(
        86_400, "How long the cache keeps an answer in Redis.", 1, 2_592_000, unit="seconds"
    )
    cache_disk_mb: int = number(
        20_000, "What the cache keeps in the database at most.", 1, 100_000_000, unit="MB"
    )
    cache_warm_s: int = number(
        0,
        "How long answers that are used most are loaded into the faster levels when the program "
        "starts; 0 means not at all.",
        *(0, 3600),
        unit="seconds",
    )
    cache_tag: str = text(
        "A word that answers are marked with when they are kept, for stretto cache invalidate.",
        allowed="empty or at most 64 letters, digits, dots, hyphens and underscores",
        check=lambda tag: not tag or bool(ENGINE_NAME.match(tag)),
    )
    cdn_url: str = cdn.CDN_URL
    cdn_endpoint: str = cdn.CDN_ENDPOINT
    cdn_region: str = cdn.CDN_REGION
    cdn_public_url: str = cdn.CDN_PUBLIC_URL
    cdn_access_key: str = cdn.CDN_ACCESS_KEY
    cdn_secret_key: str = cdn.CDN_SECRET_KEY
    cdn_credentials_file: str = cdn.CDN_CREDENTIALS_FILE
    cdn_audio: str = cdn.CDN_AUDIO
    cdn_audio_kbps: int = cdn.CDN_AUDIO_KBPS
    cdn_original: bool = cdn.CDN_ORIGINAL
    cdn_link_s: int = cdn.CDN_LINK_S
    webhook_secret: str = network.WEBHOOK_SECRET
    outgoing_allow: str = network.OUTGOING_ALLOW
    queue_lease_s: int = number(
        30,
        "How long a job waits for a worker that gives no sign of life before another one takes it. "
        "The same for all workers of a database.",
        *(1, 3600),
        unit="seconds",
    )
    broker_url: str = celery.BROKER_URL
    metrics: bool = monitoring.METRICS
    metrics_port: int = monitoring.METRICS_PORT
    metrics_host: str = monitoring.METRICS_HOST
    log_format: str = monitoring.LOG_FORMAT
    alert_rules: str = monitoring.ALERT_RULES
    alert_webhook_url: str = monitoring.ALERT_WEBHOOK_URL
    alert_webhook_secret: str = monitoring.ALERT_WEBHOOK_SECRET
    alert_smtp_url: str = monitoring.ALERT_SMTP_URL
    alert_apprise_urls: str = monitoring.ALERT_APPRISE_URLS
    decoder: str = decoding.DECODER
    offline: bool = field(
        default=False,
        metadata=about(
            "True forbids downloads from a model hub.",
            allowed="true or false",
            check=lambda _: True,
        ),
    )

    cloudru_url: str = remote.CLOUDRU_URL
    cloudru_api_key: str = remote.CLOUDRU_API_KEY
    cloudru_api_key_file: str = remote.CLOUDRU_API_KEY_FILE
    openai_url: str = remote.OPENAI_URL
    openai_api_key: str = remote.OPENAI_API_KEY
    openai_api_key_file: str = remote.OPENAI_API_KEY_FILE
    openai_answers: str = remote.OPENAI_ANSWERS
    align: bool = remote.ALIGN
    align_model: str = remote.ALIGN_MODEL
    hedge: str = remote.HEDGE
    hedge_model: str = remote.HEDGE_MODEL
    remote_ca_file: str = remote.REMOTE_CA_FILE
    remote_proxy: str = remote.REMOTE_PROXY
    remote_encoding: str = remote.REMOTE_ENCODING
    remote_body_bytes: int = remote.REMOTE_BODY_BYTES
    remote_call_s: int = remote.REMOTE_CALL_S
    remote_concurrency: int = remote.REMOTE_CONCURRENCY
    remote_requests_per_minute: int = remote.REMOTE_REQUESTS_PER_MINUTE
    remote_audio_s_per_minute: int = remote.REMOTE_AUDIO_S_PER_MINUTE
    remote_answer_s: int = remote.REMOTE_ANSWER_S
    remote_deadline_s: int = remote.REMOTE_DEADLINE_S
    serve_host: str = server.SERVE_HOST
    serve_port: int = server.SERVE_PORT
    serve_keys: str = server.SERVE_KEYS
    serve_names: str = server.SERVE_NAMES
    serve_jobs: int = server.SERVE_JOBS
    serve_upload_mb: int = server.SERVE_UPLOAD_MB
    serve_streams: int = server.SERVE_STREAMS
    serve_requests_per_minute: int = server.SERVE_REQUESTS_PER_MINUTE

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            kind = _kind(one)
            right_type = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
            if not (right_type and one.metadata["check"](value)):
                raise _wrong(one, value)
        if self.database_pool_min > self.database_pool_max:
            raise _wrong(_FIELDS["database_pool_min"], self.database_pool_min)

    @property
    def database_address(self) -> ConnectionString | None:
        """None means: the SQLite file at ``database_path``."""
        return ConnectionString.parse(self.database_url) if self.database_url else None

    @property
    def pool_size(self) -> PoolSize:
        return PoolSize(
            minimum=self.database_pool_min,
            maximum=self.database_pool_max,
            overflow=self.database_pool_overflow,
        )

    @property
    def database_path(self) -> Path:
        return self.home / "stretto.sqlite3"

    @property
    def cdn_path(self) -> Path:
        return self.home / "cdn"

    @property
    def recordings_path(self) -> Path:
        return self.home / "recordings"

    @property
    def models_path(self) -> Path:
        return self.home / "models"


def variable_of(name: str) -> str:
    """Example: ``compute_type`` is set by ``STRETTO_COMPUTE_TYPE``."""
    return PREFIX + name.upper()


def load_settings(
    environ: Mapping[str, str] = os.environ,
    *,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """``overrides`` over the environment over ``file`` over the defaults.

    ``file`` None means stretto.toml in the home folder, if there is one; an empty variable counts
    as not set. Raises InvalidOption that names what is wrong, where, and what is allowed.
    """
    given = dict(overrides or {})
    _refuse_unknown(given, "settings")
    chosen = {name: _from_caller(_FIELDS[name], value) for name, value in given.items()}
    for name, one in _FIELDS.items():
        text = environ.get(variable_of(name), "").strip()
        if name not in chosen and text:
            chosen[name] = _parsed(one, text)
    path = file or (chosen.get("home") or _data_folder()) / FILE_NAME
    for name, value in _read(path, needed=file is not None).items():
        chosen.setdefault(name, _from_file(_FIELDS[name], value, path))
    return Settings(**chosen)


def _kind(one: Field[Any]) -> type:
    return {"Path": Path, "str": str, "int": int, "bool": bool}[str(one.type)]


def _wrong(one: Field[Any], value: object, *, where: str = "") -> InvalidOption:
    # a field that is not shown with the others holds a secret
    shown = repr(str(value) if isinstance(value, Path) else value) if one.repr else "what it is"
    name = where or variable_of(one.name)
    return InvalidOption(f"{name} must be {one.metadata['allowed']}, not {shown[:80]}.")


def _parsed(one: Field[Any], text: str) -> object:
    """The value of a field from an environment variable."""
    if one.type == "int":
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
            raise _wrong(one, text)
        return int(text)
    if one.type == "bool":
        if text.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise _wrong(one, text)
        return text.lower() in TRUE_WORDS
    return _coerced(one, text)


def _coerced(one: Field[Any], value: Any) -> Any:
    """What people write in several ways, in the one way of the program."""
    if one.type == "Path" and isinstance(value, str | Path):
        return _absolute(one, value)
    if one.name == "model" and isinstance(value, Path):
        return str(value)
    if one.name == "database_url" and isinstance(value, str) and value:
        ConnectionString.parse(value)  # its sentence says more than ours
    if one.name == "log_level" and isinstance(value, str):
        return value.upper()
    if one.name in {"device", "compute_type"} and isinstance(value, str):
        return value.lower()
    if one.name == "language" and isinstance(value, str) and value:
        try:
            return Language.parse(value).code
        except InvalidLanguage as cause:
            raise _wrong(one, value) from cause
    return value


def _absolute(one: Field[Any], path: str | Path) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as cause:  # "~somebody" without such a user
        raise _wrong(one, path) from cause


def _from_caller(one: Field[Any], value: object) -> Any:
    coerced = _coerced(one, value)
    kind = _kind(one)
    right_type = isinstance(coerced, kind) and isinstance(coerced, bool) == (kind is bool)
    if not right_type or not one.metadata["check"](coerced):
        raise _wrong(one, value, where=one.name)
    return coerced


def _from_file(one: Field[Any], value: object, path: Path) -> object:
    where = f"{one.name} in {path}"
    kind = _kind(one)
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise _wrong(one, value, where=where)
    coerced = _coerced(one, value)
    if not one.metadata["check"](coerced):
        raise _wrong(one, value, where=where)
    return coerced


def _read(path: Path, *, needed: bool) -> dict[str, object]:
    """What the file says; a file that is not there says nothing, unless it was asked for."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError) as cause:
        if needed:
            raise InvalidOption(f"There is no settings file {path}.") from cause
        return {}
    except (OSError, UnicodeDecodeError) as cause:
        raise InvalidOption(f"The settings file {path} cannot be read: {cause}.") from cause
    except tomllib.TOMLDecodeError as cause:
        raise InvalidOption(f"The settings file {path} is not valid TOML: {cause}.") from cause
    if "home" in found:
        raise InvalidOption(f"home cannot be set in {path}; set {variable_of('home')} instead.")
    _refuse_unknown(found, str(path), besides="home")
    return found


def _refuse_unknown(given: Mapping[str, object], where: str, *, besides: str = "") -> None:
    unknown = sorted(set(given) - set(_FIELDS))
    if unknown:
        right = ", ".join(name for name in _FIELDS if name != besides)
        raise InvalidOption(
            f"There is no setting {unknown[0][:64]!r} (in {where}). The right ones are: {right}."
        )


_FIELDS: Final[dict[str, Field[Any]]] = {one.name: one for one in fields(Settings)}
