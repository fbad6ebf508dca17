"""Settings of the portal, named and explained in .env.example; see ``portal.environment``."""

import logging
import os
import sys
import tempfile
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pymysql
from django.core.management.utils import get_random_secret_key

from cloud.config import NovaConfig
from portal import __version__, environment
from portal.environment import (
    count,
    database,
    flag,
    make_var_dir,
    names,
    networks,
    seconds,
    setting,
)
from portal.logs import FORMATTERS
from portal.proxies import FORWARDED_PROTO, parse_networks

# Django's MySQL backend, loaded with the first model, then uses PyMySQL: no compiler is needed.
pymysql.install_as_MySQLdb()

#: What the portal makes (databases, keys) is its own user's alone.
os.umask(0o077)
#: ... but what collectstatic copies is for a web server.
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o755

BASE_DIR = environment.BASE_DIR
#: Templates and static files; those of the package stand in it.
TEMPLATES_DIR = environment.TEMPLATES_DIR
PACKAGE_DIR = environment.PACKAGE_DIR
VAR_DIR = environment.VAR_DIR
DEBUG = flag("DEBUG", default=False)
#: Where ``manage.py serve`` listens; 0 takes any free port.
PORT: int = setting("PORT", int, 8000)
if not 0 <= PORT <= 65535:
    sys.exit(f"PORT: must be from 0 to 65535, not {PORT}")
#: While this file exists, /healthcheck tells load balancers to send nothing here.
HEALTHCHECK_DISABLE_FILE = BASE_DIR / setting(
    "HEALTHCHECK_DISABLE_FILE", str, str(VAR_DIR / "healthcheck_disable")
)
#: Gunicorn reads it from the environment itself.
WEB_CONCURRENCY = count("WEB_CONCURRENCY", 2)
#: The requests that a worker answers or keeps waiting; further ones get 503 at once.
MAX_IN_FLIGHT = count("MAX_IN_FLIGHT", 64)

# --- the cloud -----------------------------------------------------------------------------
NOVA_CONFIG_FILES = names("NOVA_CONFIG_FILES", [])
#: What they say; without files, Nova's defaults.
NOVA_CONFIG: NovaConfig = environment.NOVA_CONFIG
CELL_DEADLINE = seconds("CELL_DEADLINE", 2)
ACTION_DEADLINE = seconds("ACTION_DEADLINE", 5)
CELL_RETRY_AFTER = seconds("CELL_RETRY_AFTER", 10)
CELL_MAX_WORKERS = count("CELL_MAX_WORKERS", 4)
CELL_MAPPINGS_TTL = seconds("CELL_MAPPINGS_TTL", 15)
SERVICE_DOWN_TIME = seconds("SERVICE_DOWN_TIME", 60)
#: When the console and check_fleet call a service disabled or down too long, a node stale, and a
#: migration stuck.
DISABLED_TOO_LONG_DAYS = count("DISABLED_TOO_LONG_DAYS", 30)
DOWN_TOO_LONG_DAYS = count("DOWN_TOO_LONG_DAYS", 3)
NODE_STALE_HOURS = count("NODE_STALE_HOURS", 24)
MIGRATION_STUCK_HOURS = count("MIGRATION_STUCK_HOURS", 24)
DEFAULT_AVAILABILITY_ZONE: str = setting("DEFAULT_AVAILABILITY_ZONE", str, "nova")
INTERNAL_AVAILABILITY_ZONE: str = setting("INTERNAL_AVAILABILITY_ZONE", str, "internal")
API_MAX_LIMIT = count("API_MAX_LIMIT", 1000, least=0, most=2**31 - 1)
#: How long tokens are in force that are issued without an end.
TOKEN_LIFETIME_DAYS = count("TOKEN_LIFETIME_DAYS", 365)
#: How long an answer of Keystone, a server that policy.yaml asks, placement or a nova-compute is
#: waited for; and for how long one that failed is left alone.
KEYSTONE_DEADLINE = seconds("KEYSTONE_DEADLINE", 5)
#: What the login form suggests, and how often the token of a session is validated, in seconds.
KEYSTONE_LOGIN_DOMAIN: str = setting("KEYSTONE_LOGIN_DOMAIN", str, "Default")
KEYSTONE_LOGIN_PROJECT: str = setting("KEYSTONE_LOGIN_PROJECT", str, "admin")
KEYSTONE_RECHECK = seconds("KEYSTONE_RECHECK", 60)
POLICY_DEADLINE = seconds("POLICY_DEADLINE", 5)
PLACEMENT_DEADLINE = seconds("PLACEMENT_DEADLINE", 5)
RPC_DEADLINE = seconds("RPC_DEADLINE", 5)
CLOUD_RETRY_AFTER = seconds("CLOUD_RETRY_AFTER", 10)
#: What transport URLs of cell mappings with templates are filled from; without it, no RPC.
NOVA_TRANSPORT_URL: str = setting("NOVA_TRANSPORT_URL", str, "")
POLICY_FILE: str = setting("POLICY_FILE", str, "")
NOTIFICATION_TRANSPORT_URL: str = setting("NOTIFICATION_TRANSPORT_URL", str, "")
NOTIFICATION_TOPICS = names("NOTIFICATION_TOPICS", ["versioned_notifications"])

#: How many servers are moved at once: of a host, and in a cell.
MAINTENANCE_MOVES_PER_HOST = count("MAINTENANCE_MOVES_PER_HOST", 2)
MAINTENANCE_MOVES_PER_CELL = count("MAINTENANCE_MOVES_PER_CELL", 10)
#: Seconds between looks at the moves that are under way.
MAINTENANCE_POLL = seconds("MAINTENANCE_POLL", 3)
#: Where every change of a maintenance's state is posted, and what that is signed with.
WEBHOOK_URL: str = setting("WEBHOOK_URL", str, "")
WEBHOOK_SECRET: str = setting("WEBHOOK_SECRET", str, "")
if WEBHOOK_URL and not WEBHOOK_SECRET:
    sys.exit("WEBHOOK_SECRET: must be set, as WEBHOOK_URL is")
#: Nova's API: what ``cloud.compute_api`` authenticates with, where ``[nova]`` does not say.
NOVA_AUTH_URL: str = setting("NOVA_AUTH_URL", str, "")
NOVA_CREDENTIALS: dict[str, str] = (
    {
        "auth_url": NOVA_AUTH_URL,
        "auth_type": setting("NOVA_AUTH_TYPE", str, "password"),
        "username": setting("NOVA_USERNAME", str, ""),
        "password": setting("NOVA_PASSWORD", str, ""),
        "project_name": setting("NOVA_PROJECT_NAME", str, ""),
        "user_domain_name": setting("NOVA_USER_DOMAIN_NAME", str, "Default"),
        "project_domain_name": setting("NOVA_PROJECT_DOMAIN_NAME", str, "Default"),
        "region_name": setting("NOVA_REGION_NAME", str, ""),
        "endpoint_override": setting("NOVA_ENDPOINT_OVERRIDE", str, ""),
        "cafile": setting("NOVA_CAFILE", str, ""),
    }
    if NOVA_AUTH_URL
    else {}
)
COMPUTE_API_TIMEOUT = seconds("COMPUTE_API_TIMEOUT", 20)
#: The queue of work in the background; another is one class of django-tasks.
TASKS = {
    "default": {
        "BACKEND": setting("TASK_BACKEND", str, "django_tasks_db.DatabaseBackend"),
        "QUEUES": ["default"],
    }
}

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
#: A form acts on 500 rows at most, each with its key and a host's name.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

INSTALLED_APPS = [
    "portal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_filters",
    "django_tasks",
    "django_tasks_db",
    "drf_spectacular_sidecar",
    "rest_framework",
    "portal.apps.PortalConfig",
    "cells.apps.CellsConfig",
    "aggregates.apps.AggregatesConfig",
    "services.apps.ServicesConfig",
    "hypervisors.apps.HypervisorsConfig",
    "audit.apps.AuditConfig",
    "maintenance.apps.MaintenanceConfig",
]

MIDDLEWARE = [
    "portal.middleware.RequestIdMiddleware",
    "portal.languages.LanguageMiddleware",  # early: refusals of the others are pages, too
    "portal.middleware.ProxyMiddleware",
    "portal.unavailable.DatabaseMiddleware",
    "portal.access_log.AccessLogMiddleware",
    "portal.request_metrics.RequestMetricsMiddleware",
    "portal.middleware.StorableTextMiddleware",
    "portal.middleware.MergeSlashesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "portal.middleware.CompressionMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "portal.keystone_sessions.KeystoneSessionMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "portal.middleware.PagePolicyMiddleware",
    "portal.logins.LoginMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATES_DIR],
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
    "axes.backends.AxesStandaloneBackend",  # first: it refuses who is locked out
    "portal.api.authentication.DemoBackend",  # before: it needs no password hash
    "portal.backends.PasswordBackend",
    "portal.backends.KeystoneBackend",
]
#: Failures until an account is locked out from an address, and for how many seconds it is.
LOGIN_FAILURES = count("LOGIN_FAILURES", 5)
LOGIN_COOLOFF = seconds("LOGIN_COOLOFF", 300)
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(seconds=LOGIN_COOLOFF)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True  # the audit has it
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_HANDLER = "portal.logins.LoginHandler"
AXES_CLIENT_IP_CALLABLE = "portal.logins.client_address"
AXES_USERNAME_CALLABLE = "portal.logins.account_name"
AXES_LOCKOUT_CALLABLE = "portal.logins.locked_out"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "portal.passwords.TokenEndingValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

#: Of everything but the console's pages, which are in the reader's language.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [PACKAGE_DIR / "locale"]
#: Dates in one form everywhere, whatever the language.
FORMAT_MODULE_PATH = "portal.formats"
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
#: Where collectstatic puts the files for a web server; the portal itself needs no copy.
STATIC_ROOT: str | None = setting("STATIC_ROOT", str, "") or None
STATICFILES_DIRS = [TEMPLATES_DIR / "static"]
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.TokenAuthentication",
        "portal.api.keystone.KeystoneAuthentication",
        "portal.api.authentication.BasicAuthentication",
        "portal.api.authentication.SessionAuthentication",
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

SPECTACULAR_SETTINGS = {
    "TITLE": "Compute API of the Nova cells portal",
    "DESCRIPTION": "The services and hypervisors of all cells, as Nova's compute API has them.",
    "OAS_VERSION": "3.1.0",
    "VERSION": __version__,
    "LICENSE": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    "SERVERS": [{"url": "/", "description": "this portal"}],
    "POSTPROCESSING_HOOKS": [],
    "SORT_OPERATION_PARAMETERS": False,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            "basic": {"type": "http", "scheme": "basic"},
        }
    },
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
    LANGUAGE_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = names("CSRF_TRUSTED_ORIGINS", [])
for origin in CSRF_TRUSTED_ORIGINS:
    if not urlsplit(origin).scheme:
        sys.exit(f"CSRF_TRUSTED_ORIGINS: {origin!r} must begin with https:// or http://")
CSRF_FAILURE_VIEW = "portal.console.errors.csrf_failure"
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

#: Who may scrape /metrics without the right to read the API.
METRICS_ALLOWED = setting("METRICS_ALLOWED", networks, networks("127.0.0.0/8, ::1"))
METRICS_TOKEN: str = setting("METRICS_TOKEN", str, "")

LOG_LEVEL: str = setting("LOG_LEVEL", str, "INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    sys.exit(f"LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR, not {LOG_LEVEL!r}")
#: Gunicorn's master reads it from the environment itself.
LOG_FORMAT: str = setting("LOG_FORMAT", str, "oslo").lower()
if LOG_FORMAT not in FORMATTERS:
    sys.exit(f"LOG_FORMAT: must be oslo or json, not {LOG_FORMAT!r}")
logging.captureWarnings(True)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": FORMATTERS[LOG_FORMAT]}},
    "filters": {
        "request": {"()": "portal.middleware.RequestFilter"},
        "repeats": {"()": "portal.logs.RepeatFilter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request", "repeats"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # A refusal (4xx) is the client's affair.
    # Maintenances put their steps on record themselves.
    "loggers": {
        "axes": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "CRITICAL"},
        "django.security.DisallowedHost": {"level": "ERROR"},
        "django_tasks": {"level": "WARNING"},
        "django_tasks_db": {"level": "WARNING"},
        "oslo_service.backend": {"level": "WARNING"},
        "stevedore": {"level": "ERROR"},  # a plugin that is not found is refused in a line of ours
    },
}
