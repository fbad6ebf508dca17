"""What the portal refuses to start with.

Every command of ``manage.py`` refuses as a system check does, and a server before it answers.  What
is attached to a Nova is in production; the embedded demo may be played with.
"""

import logging
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.checks.security.base import (
    SECRET_KEY_INSECURE_PREFIX,
    SECRET_KEY_MIN_LENGTH,
    SECRET_KEY_MIN_UNIQUE_CHARACTERS,
)

logger = logging.getLogger(__name__)

#: The exit status by which gunicorn knows that no worker can start.
BOOT_ERROR = 3


def refusals() -> Iterator[Error]:
    """One error for each setting that is unsafe."""
    key = settings.SECRET_KEY
    if (
        len(key) < SECRET_KEY_MIN_LENGTH
        or len(set(key)) < SECRET_KEY_MIN_UNIQUE_CHARACTERS
        or key.startswith(SECRET_KEY_INSECURE_PREFIX)
    ):
        yield Error(
            f"SECRET_KEY: too easy to guess; use {SECRET_KEY_MIN_LENGTH} random characters",
            id="portal.E001",
        )
    if settings.EMBEDDED:
        return
    if settings.DEBUG:
        yield Error("DEBUG: not with a Nova attached: pages would show settings", id="portal.E002")
    if "*" in settings.ALLOWED_HOSTS:
        yield Error("ALLOWED_HOSTS: name the hosts, not *, with a Nova attached", id="portal.E003")
    if settings.DEMO_PASSWORD:
        yield Error("DEMO_PASSWORD: no demo login with a Nova attached", id="portal.E004")
    if (settings.VAR_DIR / "api.sqlite3").exists():
        yield Error(
            f"VAR_DIR: {settings.VAR_DIR} has a demo fleet and its users, beside which no Nova is "
            "attached; remove it (make clean), or set another VAR_DIR",
            id="portal.E005",
        )


@register(Tags.security)
def check_settings(app_configs: Any, **kwargs: Any) -> list[Error]:
    """The system check of what the portal refuses to start with."""
    return list(refusals())


def refuse_to_serve() -> None:
    """Exit with one line of the log for each refusal, if there are any."""
    if errors := list(refusals()):
        for error in errors:
            logger.critical("%s", error.msg)
        sys.exit(BOOT_ERROR)
