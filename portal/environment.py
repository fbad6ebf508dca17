"""How ``portal.settings`` reads a setting: the environment, else nova.conf, else the default.

A malformed one ends the program with one line that names the variable, or the file and option.
A file called .env beside manage.py is part of the environment.
"""

import os
import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, TypeVar

import environ

from cells.database_urls import DatabaseURLError, database_settings
from cloud.config import ConfigError, NovaConfig, load
from cloud.setting_sources import SettingError, SettingSources

T = TypeVar("T")

#: The package ``portal``.
PACKAGE_DIR = Path(__file__).resolve().parent
#: Whether this is the repository, and not the installed package.
IS_REPOSITORY = (PACKAGE_DIR.parent / "manage.py").exists()
#: What paths in settings are relative to, and where .env is: the repository, or where the package
#: is started.
BASE_DIR = PACKAGE_DIR.parent if IS_REPOSITORY else Path.cwd()
TEMPLATES_DIR = (PACKAGE_DIR.parent if IS_REPOSITORY else PACKAGE_DIR) / "templates"

#: Beyond, waiting for so long, or a moment so many days ago, is more than Python can express.
MAX_SECONDS, MAX_COUNT = 86_400, 500_000

TRUE_STRINGS = environ.Env.BOOLEAN_TRUE_STRINGS
FALSE_STRINGS = ("false", "off", "n", "no", "0")
environ.Env.read_env(BASE_DIR / ".env")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _nova_config() -> NovaConfig:
    try:
        return load(_parts(os.environ.get("NOVA_CONFIG_FILES", "")))
    except ConfigError as error:
        sys.exit(str(error))


NOVA_CONFIG = _nova_config()
#: Knows afterwards what was asked for; ``manage.py settings`` lists it.
SOURCES = SettingSources(os.environ, NOVA_CONFIG)


def setting(name: str, cast: Callable[[str], T], default: T) -> T:
    """The setting ``name``; an environment variable that is empty counts as not set."""
    # Not environ's own casts, for which 5min is 5.0, and $x the variable called x.
    try:
        return SOURCES.get(name, cast, default)
    except SettingError as error:
        sys.exit(str(error))


def flag(name: str, *, default: bool) -> bool:
    text = setting(name, str, str(default)).lower()
    if text not in TRUE_STRINGS + FALSE_STRINGS:
        sys.exit(f"{name}: must be true or false, not {text!r}")
    return text in TRUE_STRINGS


def seconds(name: str, default: float) -> float:
    value = setting(name, float, default)
    if not 0 < value <= MAX_SECONDS:
        allowed = f"a number of seconds above 0, and a day ({MAX_SECONDS}) at most"
        sys.exit(f"{SOURCES.source_of(name)}: must be {allowed}, not {value:g}")
    return value


def count(name: str, default: int, *, least: int = 1, most: int = MAX_COUNT) -> int:
    value = setting(name, int, default)
    if not least <= value <= most:
        allowed = f"a whole number from {least} to {most}"
        sys.exit(f"{SOURCES.source_of(name)}: must be {allowed}, not {value}")
    return value


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Networks and single addresses between commas; for ``setting``."""
    return [ip_network(part) for part in _parts(text)]


def names(name: str, default: list[str]) -> list[str]:
    """What stands between commas."""
    return setting(name, _parts, default) or default


#: The package keeps what it makes in the user's directory for that (XDG_STATE_HOME).
_STATE_HOME = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
DEFAULT_VAR_DIR = "var" if IS_REPOSITORY else str(Path(_STATE_HOME) / "nova-cells")
VAR_DIR: Path = BASE_DIR / setting("VAR_DIR", str, DEFAULT_VAR_DIR)


def make_var_dir(name: str) -> None:
    """Make VAR_DIR, in which the setting ``name`` keeps something by default."""
    try:
        VAR_DIR.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"{name}: not set, and VAR_DIR {VAR_DIR} cannot be made: {error.strerror}")


def database(name: str, default: Path, timeout: float) -> dict[str, Any]:
    """Settings of the database behind the setting ``name``; ``timeout`` in seconds."""
    url = setting(name, str, "")
    if not url:
        make_var_dir(name)
        url = f"sqlite:///{default}"
    try:
        settings = database_settings(url, connect_timeout=timeout)
    except DatabaseURLError as error:
        sys.exit(f"{SOURCES.source_of(name)}: {error}")
    return settings | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
