"""Logins by password: throttled by account and address, and few of them checked at a time.

django-axes counts the failures.  After ``LOGIN_FAILURES`` of them for an account from one address,
nobody gets in from there with that account for ``LOGIN_COOLOFF`` seconds, nor, after
``ADDRESS_FACTOR`` times as many for any accounts, with any other; from elsewhere both go on.  Wrong
tokens count like wrong passwords of an account without a name.  A valid token is never refused, and
keeps its share of the threads, because passwords, whose hash is slow by intent, are checked
``MAX_RUNNING`` at a time and only ``MAX_CHECKS`` may wait for it or run.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.signals import user_login_failed
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

#: An address is locked out after this many times the failures of one account.
ADDRESS_FACTOR = 6
#: Per process, of gunicorn's eight threads.
MAX_RUNNING, MAX_CHECKS = 2, 5


class TooManyLogins(Exception):
    """The password has not been checked: ``retry_after`` says in how many seconds to try again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many failed logins, or too many at a time. Try again later.")
        self.retry_after = max(1, round(retry_after))


def client_address(request: HttpRequest) -> str | None:
    """The client's address (see ``portal.proxies``); ``None`` by a Unix socket."""
    return request.META.get("REMOTE_ADDR") or None


def account_name(request: HttpRequest, credentials: Any = None) -> str:
    """What failures are counted for: Keystone, and some databases, ignore the case of names."""
    name = (credentials or {}).get("username") or request.POST.get("username") or ""
    return str(name).casefold()


def failed(request: HttpRequest, username: str) -> None:
    """Count a failure that Django does not know of; raises ``TooManyLogins`` when locked out."""
    if not AxesProxyHandler.is_allowed(request, {"username": username}):
        request.axes_locked_out = True  # type: ignore[attr-defined]
    user_login_failed.send(__name__, credentials={"username": username}, request=request)
    refuse_if_locked_out(request)


def refuse_if_locked_out(request: HttpRequest) -> None:
    """Raise ``TooManyLogins`` if a login of this request was refused unchecked, or the last one."""
    if getattr(request, "axes_locked_out", False):
        raise TooManyLogins(settings.LOGIN_COOLOFF)


class LoginHandler(AxesDatabaseHandler):  # type: ignore[misc]
    """axes's counts in the portal's database, and those of an address for all accounts."""

    def is_locked(self, request: HttpRequest, credentials: Any = None) -> bool:
        return bool(super().is_locked(request, credentials)) or self._is_address_locked(request)

    def user_login_failed(
        self, sender: Any, credentials: Any, request: Any = None, **kwargs: Any
    ) -> None:
        super().user_login_failed(sender, credentials, request, **kwargs)
        if request is not None and not request.axes_locked_out and self._is_address_locked(request):
            request.axes_locked_out = True
            user_locked_out.send("axes", request=request, username=None, ip_address=None)

    def _is_address_locked(self, request: Any) -> bool:
        since = timezone.now() - settings.AXES_COOLOFF_TIME
        attempts = AccessAttempt.objects.filter(
            ip_address=request.axes_ip_address, attempt_time__gt=since
        )
        failures: int = attempts.aggregate(n=Sum("failures_since_start"))["n"] or 0
        return failures >= ADDRESS_FACTOR * settings.LOGIN_FAILURES


_checks = threading.BoundedSemaphore(MAX_CHECKS)
_running = threading.BoundedSemaphore(MAX_RUNNING)


@contextmanager
def password_turn() -> Iterator[None]:
    """Wait for one's turn to hash; raises ``TooManyLogins`` where too many wait already."""
    if not _checks.acquire(blocking=False):
        raise TooManyLogins(1)
    try:
        with _running:
            yield
    finally:
        _checks.release()


class LoginMiddleware:
    """Answers in the console when passwords of too many logins are being checked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return _login_page(request, error) if isinstance(error, TooManyLogins) else None


def locked_out(request: HttpRequest, response: HttpResponse, credentials: Any) -> HttpResponse:
    """axes's hook for the answer to who is locked out; the API has answered already."""
    if response.status_code == 429:
        return response
    return _login_page(request, TooManyLogins(settings.LOGIN_COOLOFF)).render()


def _login_page(request: HttpRequest, error: TooManyLogins) -> TemplateResponse:
    """The login's page, 429."""
    minutes = -(-error.retry_after // 60)
    context = {
        **admin.site.each_context(request),
        "title": _("Log in"),
        "form": (admin.site.login_form)(request),  # type: ignore[misc]
        "app_path": request.get_full_path(),
        "next": request.POST.get("next", ""),
        "locked_out": _("Too many failed logins. Try again in %(n)d min.") % {"n": minutes}
        if error.retry_after > 1
        else _("Too many logins at a time. Try again in a moment."),
    }
    headers = {"Retry-After": str(error.retry_after)}
    return TemplateResponse(request, "admin/login.html", context, status=429, headers=headers)
