"""The portal's settings, with nothing from the machine's environment or ``.env``."""

import atexit
import os
import shutil
import tempfile

_var_dir = tempfile.mkdtemp(prefix="portal-test-")
atexit.register(shutil.rmtree, _var_dir, ignore_errors=True)

for name in (
    "API_MAX_LIMIT",
    "CELL_MAX_WORKERS",
    "CELL_RETRY_AFTER",
    "DEBUG",
    "DEFAULT_AVAILABILITY_ZONE",
    "INTERNAL_AVAILABILITY_ZONE",
    "NOVA_AUTH_URL",
    "NOVA_TRANSPORT_URL",
    "POLICY_FILE",
    "SERVICE_DOWN_TIME",
    "WEBHOOK_URL",
):
    os.environ.pop(name, None)
os.environ |= {
    "SECRET_KEY": "only for tests " * 4,
    "VAR_DIR": _var_dir,
    "DATABASE_URL": "",
    "NOVA_CONFIG_FILES": "",
    "NOVA_API_DATABASE_URL": "",
    "NOVA_DATABASE_URL": "",
    "NOTIFICATION_TRANSPORT_URL": "",
    "CSRF_TRUSTED_ORIGINS": "",
    "HTTPS": "false",
    "DEBUG": "false",
    # Long enough for a busy machine; tests of what happens when it is used up set their own.
    "CELL_DEADLINE": "10",
    # The mappings change where a test says so.
    "CELL_MAPPINGS_TTL": "3600",
    "LOG_LEVEL": "WARNING",
}

from portal.settings import *  # noqa: E402, F403

ALLOWED_HOSTS = ["*"]
# The hash is slow by intent; tests log in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Static files are looked for when they are asked for, and not by every client that is made.
WHITENOISE_AUTOREFRESH = True
