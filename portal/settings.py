"""Settings of the portal; each comes from the environment, named and explained in .env.example."""

import logging
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import pymysql
from django.core.management.utils import get_random_secret_key

from cells.database_urls import DatabaseURLError, database_settings
from portal.proxies import FORWARDED_PROTO, parse_networks

# Django's MySQL backend, loaded with the first model, then uses PyMySQL: no compiler is needed.
pymysql.install_as_MySQLdb()

BASE_DIR = Path(__file__).resolve().parent.parent

TRUE_STRINGS = environ.Env.BOOLEAN_TRUE_STRINGS
FALSE_STRINGS = ("false", "off", "n", "no", "0")
environ.Env.read_env(BASE_DIR / ".env")


def setting(name: str, cast: Any, default: Any) -> Any:
    """The environment variable ``name``; a malformed one ends the program with one line.

    One that is empty counts as not set.
    """
    text = os.environ.get(name, "")
    if not text.strip():
        return default
    try:
        # Not environ's own casts, for which 5min is 5.0, and $x the variable called x.
        return cast(text)
    except ValueError as error:
        sys.exit(f"{name}: {text!r} cannot be read: {error}")


def flag(name: str, *, default: bool) -> bool:
    text: str = setting(name, str, str(default)).lower()
    if text not in TRUE_STRINGS + FALSE_STRINGS:
        sys.exit(f"{name}: must be true or false, not {text!r}")
    return text in TRUE_STRINGS


def seconds(name: str, default: float) -> float:
    value: float = setting(name, float, default)
    if not 0 < value < float("inf"):
        sys.exit(f"{name}: must be a number of seconds above 0, not {value:g}")
    return value


def count(name: str, default: int) -> int:
    value: int = setting(name, int, default)
    if value < 1:
        sys.exit(f"{name}: must be a whole number above 0, not {value}")
    return value


def names(name: str, default: list[str]) -> list[str]:
    """What stands between commas."""
    text: str = setting(name, str, "")
    return [part.strip() for part in text.split(",") if part.strip()] or default


def database(name: str, default: Path, timeout: float) -> dict[str, Any]:
    """Settings of the database behind the variable ``name``; ``timeout`` in seconds."""
    url: str = setting(name, str, "")
    if not url:
        make_var_dir(name)
        url = f"sqlite:///{default}"
    try:
        settings = database_settings(url, connect_timeout=timeout)
    except DatabaseURLError as error:
        sys.exit(f"{name}: {error}")
    return settings | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


#: What the portal makes (databases, keys) is its own user's alone.
os.umask(0o077)
#: ... but what collectstatic copies is for a web server.
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o755

VAR_DIR: Path = BASE_DIR / setting("VAR_DIR", str, "var")


def make_var_dir(name: str) -> None:
    """Make VAR_DIR, in which the setting ``name`` keeps something by default."""
    try:
        VAR_DIR.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"{name}: not set, and VAR_DIR {VAR_DIR} cannot be made: {error.strerror}")


DEBUG = flag("DEBUG", default=False)
#: Where ``manage.py serve`` listens; 0 takes any free port.
PORT: int = setting("PORT", int, 8000)
if not 0 <= PORT <= 65535:
    sys.exit(f"PORT: must be from 0 to 65535, not {PORT}")
#: Gunicorn reads it from the environment itself.
WEB_CONCURRENCY = count("WEB_CONCURRENCY", 2)

# --- the cloud -----------------------------------------------------------------------------
CELL_DEADLINE = seconds("CELL_DEADLINE", 2)
CELL_RETRY_AFTER = seconds("CELL_RETRY_AFTER", 10)
CELL_MAX_WORKERS = count("CELL_MAX_WORKERS", 4)
CELL_MAPPINGS_TTL = seconds("CELL_MAPPINGS_TTL", 15)
SERVICE_DOWN_TIME = seconds("SERVICE_DOWN_TIME", 60)
#: When the console and check_fleet call a service disabled too long, and a node stale.
DISABLED_TOO_LONG_DAYS = count("DISABLED_TOO_LONG_DAYS", 30)
NODE_STALE_HOURS = count("NODE_STALE_HOURS", 24)
DEFAULT_AVAILABILITY_ZONE: str = setting("DEFAULT_AVAILABILITY_ZONE", str, "nova")
INTERNAL_AVAILABILITY_ZONE: str = setting("INTERNAL_AVAILABILITY_ZONE", str, "internal")
API_MAX_LIMIT = count("API_MAX_LIMIT", 1000)
API_READER_ROLE: str = setting("API_READER_ROLE", str, "")
NOTIFICATION_TRANSPORT_URL: str = setting("NOTIFICATION_TRANSPORT_URL", str, "")
NOTIFICATION_TOPICS = names("NOTIFICATION_TOPICS", ["versioned_notifications"])

NOVA_API_DATABASE_URL: str = setting("NOVA_API_DATABASE_URL", str, "")
NOVA_DATABASE_URL: str = setting("NOVA_DATABASE_URL", str, "")
#: True: the portal owns its API database and cells.  False: it is attached to a Nova's.
EMBEDDED = not NOVA_API_DATABASE_URL

DATABASES = {
    # Every action is put on record in the portal's own, so writers wait for one another there.
    "default": database("DATABASE_URL", VAR_DIR / "portal.sqlite3", 5 * CELL_DEADLINE),
    "api": database("NOVA_API_DATABASE_URL", VAR_DIR / "api.sqlite3", CELL_DEADLINE),
}
DATABASE_ROUTERS = ["cells.router.CellRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

# --- Django --------------------------------------------------------------------------------


def secret_key() -> str:
    """SECRET_KEY, or one that the portal makes and keeps under VAR_DIR."""
    key: str = setting("SECRET_KEY", str, "")
    if key:
        return key
    make_var_dir("SECRET_KEY")
    kept = VAR_DIR / "secret_key"
    try:
        if not kept.exists():
            with tempfile.NamedTemporaryFile("w", dir=VAR_DIR) as made:
                made.write(get_random_secret_key())
                made.flush()
                with suppress(FileExistsError):  # another process was quicker
                    os.link(made.name, kept)
        return kept.read_text()
    except OSError as error:
        sys.exit(f"SECRET_KEY: not set, and none can be kept in {kept}: {error.strerror}")


SECRET_KEY = secret_key()
#: The password of the demo's administrator; `manage.py serve` makes one at each start.  Without it
#: there is no such login.
DEMO_PASSWORD: str = setting("DEMO_PASSWORD", str, "")
ALLOWED_HOSTS = names("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

INSTALLED_APPS = [
    "portal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_filters",
    "rest_framework",
    "portal.apps.PortalConfig",
    "cells.apps.CellsConfig",
    "services.apps.ServicesConfig",
    "hypervisors.apps.HypervisorsConfig",
    "audit.apps.AuditConfig",
]

MIDDLEWARE = [
    "portal.middleware.RequestIdMiddleware",
    "portal.middleware.ProxyMiddleware",
    "portal.middleware.MergeSlashesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "portal.middleware.StorableTextMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {
                "browsable": "portal.api.templatetags.browsable",
                "console": "portal.console.templatetags.console",
            },
        },
    }
]

AUTHENTICATION_BACKENDS = [
    "portal.api.authentication.DemoBackend",  # first: it needs no password hash
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

#: The console acts on up to 500 services at once, each with its key and its host's name.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "static/"
#: Where collectstatic puts the files for a web server; the portal itself needs no copy.
STATIC_ROOT: str | None = setting("STATIC_ROOT", str, "") or None
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.TokenAuthentication",
        "portal.api.authentication.BasicAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.api.permissions.NovaPolicy"],
    "DEFAULT_RENDERER_CLASSES": [
        "portal.api.renderers.JSONRenderer",
        "portal.api.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["portal.api.parsers.NovaJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "portal.api.negotiation.NovaNegotiation",
    "DEFAULT_VERSIONING_CLASS": "portal.api.versioning.MicroversionVersioning",
    "EXCEPTION_HANDLER": "portal.api.faults.exception_handler",
}

# --- proxies and TLS in front of the portal ---------------------------------------------------
#: Whose X-Forwarded-For and X-Forwarded-Proto count: addresses, networks, "unix".
TRUSTED_PROXIES = names("TRUSTED_PROXIES", ["127.0.0.1", "::1"])
try:
    parse_networks(TRUSTED_PROXIES)
except ValueError as error:
    sys.exit(f"TRUSTED_PROXIES: {error}")
if flag("HTTPS", default=False):
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = (FORWARDED_PROTO, "https")
    SECURE_HSTS_SECONDS = 31536000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = names("CSRF_TRUSTED_ORIGINS", [])
for origin in CSRF_TRUSTED_ORIGINS:
    if not urlsplit(origin).scheme:
        sys.exit(f"CSRF_TRUSTED_ORIGINS: {origin!r} must begin with https:// or http://")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

LOG_LEVEL: str = setting("LOG_LEVEL", str, "INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    sys.exit(f"LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR, not {LOG_LEVEL!r}")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "portal.logs.LineFormatter",
            "format": "{asctime} {levelname} {request_id} {name} {message}{repeated}",
            "style": "{",
        },
    },
    "filters": {
        "request_id": {"()": "portal.middleware.RequestIdFilter"},
        "repeats": {"()": "portal.logs.RepeatFilter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request_id", "repeats"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # A refusal (4xx) is the client's affair.
    "loggers": {"django.request": {"level": "ERROR"}},
}
