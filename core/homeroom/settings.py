"""Every setting: defaults, then homeroom.toml, then the environment and `.env`; all problems are told at once.

What an admin saved for a plugin on its page stands between the file and the environment; the plugin host adds that.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import ipaddress
import os
import re
import tomllib
import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError

from homeroom import field_policy
from homeroom.host.config import PluginsConfig, SettingsProblem
from homeroom.schedules import Schedule, parse_all
from homeroom.store.cipher import Cipher
from homeroom.strength import LEAST_LENGTH, weakness

DEVELOPMENT_SECRET = "development-only-secret-never-for-a-real-district"  # noqa: S105 - refused in production
PREFIX = "HOMEROOM__"

FIXED = {
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("redis", "url"),
    "ENVIRONMENT": ("environment",),
    "PUBLIC_BASE_URL": ("server", "public_base_url"),
    "JWT_SECRET_KEY": ("auth", "secret_key"),
    "JWT_ALGORITHM": ("auth", "algorithm"),
    "JWT_ACCESS_TOKEN_EXPIRE_MINUTES": ("auth", "access_token_minutes"),
    "ENCRYPTION_KEY": ("security", "encryption_key"),
}
"""The environment names that the outside relies on, and the setting that each one is."""


def _listed(value: Any) -> Any:
    """A list in an environment variable is written with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_listed)]


def _written(hour: Any) -> Any:
    """The hour, unless it is a number, which would be seconds. Raises ValueError."""
    if not isinstance(hour, time | str):
        raise ValueError("write an hour as 09:30")  # noqa: TRY004 - pydantic takes no other
    return hour


def _local(hour: time) -> time:
    """The hour, unless it names a zone: that is the school's to say. Raises ValueError."""
    if hour.tzinfo is not None:
        raise ValueError("leave out the time zone: it is the school's")
    return hour


Hour = Annotated[time, BeforeValidator(_written), AfterValidator(_local)]
"""An hour of the day by the school's clock."""


def _wrong(message: str, fix: str) -> PydanticCustomError:
    """What a validator raises to tell the fix as well."""
    return PydanticCustomError("wrong_setting", "{reason}", {"reason": message, "fix": fix})


def _networked(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        fix = 'Write addresses and not names: "10.0.0.5/32" is one machine, "10.0.0.0/8" a whole network.'
        raise _wrong("this is no network", fix) from None
    return text


Networks = Annotated[list[Annotated[str, AfterValidator(_networked)]], BeforeValidator(_listed)]


def is_time_zone(name: str) -> bool:
    """Whether this machine (or the tzdata package) knows a time zone by this name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of them, as "America" is
        return False
    return True


def _zoned(name: str) -> str:
    if not is_time_zone(name):
        raise _wrong(
            "this time zone is not known here", "Set an IANA name such as America/New_York, or install tzdata."
        )
    return name


def _reached(url: str) -> str:
    if url and not is_web_address(url):
        raise _wrong("this is no web address", "Write it whole, with https:// before it: https://attendance.example")
    return url


def is_web_address(url: str) -> bool:
    """Whether it is an https:// or http:// address, as people are given it."""
    return re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url) is not None


def _weekday(number: int) -> int:
    if not 0 <= number <= 6:  # noqa: PLR2004 - Sunday
        raise _wrong("this is no day of the week", "Monday is 0 and Sunday is 6: [0, 1, 2, 3, 4] is Monday to Friday.")
    return number


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """How the server is reached."""

    public_base_url: Annotated[str, AfterValidator(_reached)] | None = None
    trusted_proxies: Networks = []
    allowed_origins: Names = []
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    max_document_bytes: int = Field(default=5_242_880, ge=1024)
    max_page_size: int = Field(default=500, ge=1, le=10_000)
    requests_per_minute: int = Field(default=1200, ge=1)
    drain_seconds: float = Field(default=0, ge=0, le=300)  # served on after SIGTERM, with /health/ready at 503


class DatabaseSettings(_Section):
    """Where the data lies; `erasure_list` is the file, outside it, of the ids of those who were erased."""

    url: str = "sqlite:///./homeroom.db"
    readers: int = Field(default=3, ge=1, le=32)
    erasure_list: Path | None = None


class RedisSettings(_Section):
    """Redis wakes the other processes; without it one process serves."""

    url: SecretStr | None = None


class AuthSettings(_Section):
    """Tokens and who may register."""

    secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    previous_keys: list[SecretStr] = []
    algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    access_token_minutes: int = Field(default=30, ge=1, le=1440)
    refresh_token_days: int = Field(default=30, ge=1, le=365)
    registration: Literal["invitation", "open"] = "invitation"


class SecuritySettings(_Section):
    """Keys for what is sealed in the database."""

    encryption_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    previous_encryption_keys: list[SecretStr] = []


class AttendanceSettings(_Section):
    """What a district usually sets once. `time_zone` holds for schools that have none of their own."""

    time_zone: Annotated[str, AfterValidator(_zoned)] = "America/New_York"
    late_after_minutes: int = Field(default=5, ge=0, le=240)
    offline_hours: int = Field(default=24, ge=0, le=72)
    school_days: list[Annotated[int, AfterValidator(_weekday)]] = [0, 1, 2, 3, 4]  # Monday is 0


def _policy(table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table
    try:
        return field_policy.checked(table)
    except field_policy.UnknownKey as exc:
        fix = f"Did you mean {exc.close}?" if exc.close else "homeroom.example.toml shows what a key looks like."
        raise PydanticCustomError("unknown_field", "{reason}", {"reason": str(exc), "fix": fix}) from None
    except field_policy.UnknownRule as exc:
        raise PydanticCustomError("unknown_rule", "{reason}", {"reason": str(exc)}) from None


FieldRules = Annotated[dict[str, field_policy.Rule], BeforeValidator(_policy)]


class SyncSettings(_Section):
    """How rosters are taken in, and where attendance goes out."""

    administrators: bool = False  # whether a SIS may make somebody a school administrator here
    schedules: dict[str, Annotated[tuple[Schedule, ...], BeforeValidator(parse_all)]] = {}  # by connector
    guard_share: float = Field(default=0.2, gt=0, le=1)  # a run that ends a larger part of the enrolments is held
    policy: FieldRules = {}  # whose value holds when both sides changed a field; the rest is as field_policy.DEFAULTS
    attendance_out: Names = []  # connectors whose SIS is written to; nothing leaves to any other
    attendance_delay_seconds: int = Field(default=20, ge=0, le=3600)  # in which a correction costs no second write


class NotifySettings(_Section):
    """How messages to families and staff go out; what is told, and to whom, is said by rules."""

    channels: Names = ["sms", "email"]  # tried in this order for who has chosen none
    languages: Names = ["en", "es", "zh", "vi", "ar"]  # those offered; the first is for who has chosen none
    quiet_from: Hour = time(21, 0)  # at the school; nothing is sent until `quiet_until`
    quiet_until: Hour = time(7, 0)
    region: str = Field(default="US", pattern=r"^[A-Z]{2}$")  # of numbers written without a country code
    text_phones: bool = False  # whether a number not known to take texts is tried all the same
    consent_first: Names = []  # channels on which nothing is sent before the person has agreed
    at_once: int = Field(default=16, ge=1, le=128)  # deliveries under way at the same time
    ask_after_seconds: float = Field(default=120, ge=0.1)  # when a vendor is first asked for a message of unknown state
    unknown_minutes: int = Field(default=60, ge=1)  # after which an unknown state is shown to staff
    resend_unknown: bool = False  # whether one is then sent again, at the risk of a second message
    school_day_limit: int = Field(default=5000, ge=1)  # messages of one school, channel and day; more are held
    school_day_cost: float | None = Field(default=None, gt=0)  # what one school may spend on a channel in a day
    costs: dict[str, float] = {"sms": 0.0079}  # of one segment or message, to reckon with


class LogSettings(_Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class Settings(_Section):
    """All of them. `file` is where they came from, for messages."""

    environment: Literal["development", "production"] = "development"
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    auth: AuthSettings = AuthSettings()
    security: SecuritySettings = SecuritySettings()
    attendance: AttendanceSettings = AttendanceSettings()
    sync: SyncSettings = SyncSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()
    plugins: PluginsConfig = Field(default_factory=PluginsConfig)
    file: str | None = None

    @property
    def production(self) -> bool:
        """Whether this is a real district's server."""
        return self.environment == "production"

    def cipher(self) -> Cipher:
        """What seals and opens values in the database."""
        keys = [self.security.encryption_key, *self.security.previous_encryption_keys]
        return Cipher([encryption_key(key.get_secret_value()) for key in keys])


class SettingsError(Exception):
    """The settings cannot be used; `problems` has every one of them."""

    def __init__(self, problems: list[SettingsProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def encryption_key(text: str) -> bytes:
    """32 bytes from ENCRYPTION_KEY: base64 or hex of 32 bytes as they are, any other text by its SHA-256."""
    for decode in (bytes.fromhex, lambda t: base64.b64decode(t, altchars=b"-_", validate=True)):
        try:
            raw = decode(text)
        except (ValueError, binascii.Error):
            continue
        if len(raw) == 32:  # noqa: PLR2004 - AES-256
            return raw
    return hashlib.sha256(text.encode()).digest()


def load_settings(config: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this installation.

    `config` is homeroom.toml's path (default: `HOMEROOM_CONFIG`, else `homeroom.toml` here if there is one). Raises
    SettingsError with every problem: file, place, what is wrong and the fix.
    """
    env = dict(environment) if environment is not None else _environment()
    path = config or (Path(env["HOMEROOM_CONFIG"]) if env.get("HOMEROOM_CONFIG") else None)
    if path is None and Path("homeroom.toml").is_file():
        path = Path("homeroom.toml")
    name = str(path) if path else "the environment"
    values = _read(path) if path else {}
    for key, where in FIXED.items():
        if env.get(key):
            _put(values, where, env[key])
    for key, text in env.items():
        if key.startswith(PREFIX) and not key.startswith(f"{PREFIX}PLUGINS__"):
            _put(values, tuple(part.lower() for part in key.removeprefix(PREFIX).split("__")), text)
    try:
        plugins = PluginsConfig.parse(values.pop("plugins", {}), source=name, environment=env)
        settings = Settings(**values, plugins=plugins, file=str(path) if path else None)
    except ValidationError as exc:
        raise SettingsError([_problem(name, error) for error in exc.errors()]) from None
    problems = _check(settings, name)
    if problems:
        raise SettingsError(problems)
    return settings


def _environment() -> dict[str, str]:
    return {**{k: v for k, v in dotenv_values(".env", encoding="utf-8-sig").items() if v is not None}, **os.environ}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a byte order mark
    except FileNotFoundError:
        fix = "Create it from homeroom.example.toml, or name another with --config."
        raise SettingsError([SettingsProblem(file=str(path), message="there is no such file", fix=fix)]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError([SettingsProblem(file=str(path), message=f"not valid TOML: {exc}")]) from None


def _put(values: dict[str, Any], where: tuple[str, ...], text: str) -> None:
    for part in where[:-1]:
        values = values.setdefault(part, {})
    values[where[-1]] = text


def _problem(file: str, error: Mapping[str, Any]) -> SettingsProblem:
    where = [str(part) for part in error["loc"]]
    place = ".".join(where)
    if error["type"] == "extra_forbidden":
        section = type(Settings.model_fields[where[0]].default) if len(where) > 1 else Settings
        close = difflib.get_close_matches(where[-1], getattr(section, "model_fields", {}), n=1)
        fix = f"Did you mean {close[0]}?" if close else "Remove it; homeroom.example.toml lists every key."
        return SettingsProblem(file=file, field=place, message="unknown setting", fix=fix)
    fix = error.get("ctx", {}).get("fix", "homeroom.example.toml explains it.")
    return SettingsProblem(file=file, field=place, message=error["msg"], fix=fix)


def _check(settings: Settings, file: str) -> list[SettingsProblem]:
    """What can only be judged with everything in view."""
    enabled = settings.plugins.enabled
    named = [(f"sync.schedules.{name}", name, "remove its schedule") for name in settings.sync.schedules]
    named += [("sync.attendance_out", name, "take it out of here") for name in settings.sync.attendance_out]
    problems = [_stray(field, name, enabled, file, out) for field, name, out in named if name not in enabled]
    if settings.production:
        make = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
        beside = Path(file).parent
        if not Path(".env").is_file() and (beside / ".env").is_file():  # another key would be the wrong one
            make = f"There is no .env here, and one in {beside}: run this there."
        for name, secret in (
            ("JWT_SECRET_KEY", settings.auth.secret_key),
            ("ENCRYPTION_KEY", settings.security.encryption_key),
        ):
            text = secret.get_secret_value()
            why = "is the development secret" if text == DEVELOPMENT_SECRET else weakness(text)
            if why is not None:
                message = (
                    f"ENVIRONMENT=production needs a real secret of at least {LEAST_LENGTH} characters: this {why}."
                )
                problems.append(SettingsProblem(file=file, field=name, message=message, fix=make))
    return problems


def _stray(field: str, name: str, enabled: Sequence[str], file: str, otherwise: str) -> SettingsProblem:
    close = difflib.get_close_matches(name, enabled, n=1)
    fix = f"Did you mean {close[0]}?" if close else f"Add {name} to `enabled` in [plugins], or {otherwise}."
    return SettingsProblem(file=file, field=field, message="no enabled plugin has this name", fix=fix)
