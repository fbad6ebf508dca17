"""Authentication by token, by HTTP Basic, or by the console's session."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from cells.cache import Hints
from cloud import clients
from portal import logins
from portal.api.faults import TooManyRequests
from portal.backends import PortalBackend
from portal.models import ApiToken
from portal.proxies import is_forwarded

MAX_USERNAME_LENGTH = 150  # of Django's users
LOOPBACK = ("127.0.0.1", "::1")
DEMO_USER = "admin"


@contextmanager
def too_many_logins_as_fault() -> Iterator[None]:
    """``TooManyLogins`` as the API says it: 429 with ``Retry-After``."""
    try:
        yield
    except logins.TooManyLogins as error:
        raise TooManyRequests(str(error), error.retry_after) from None


class TokenAuthentication(authentication.BaseAuthentication):
    """``X-Auth-Token``, with a token from ``manage.py create_token`` or the console."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        text = request.headers.get("X-Auth-Token")
        if not text:
            return None
        token = ApiToken.objects.valid(text)
        if token is None:
            if clients.keystone() is not None:  # then it may be one of Keystone's
                return None
            with too_many_logins_as_fault():
                logins.failed(request._request, "")
            raise AuthenticationFailed
        token.note_use()
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="compute"'


class _VerifiedPasswords:
    """Passwords that were right a moment ago, so that a script does not pay for the hash each time.

    Kept by a keyed digest of user, password and stored hash: once a password is changed, neither
    the old nor the new one is among them, and nothing readable is kept.
    """

    SECONDS = 60
    MAX_LENGTH = 1000

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: Hints[bytes, float] = Hints(self.MAX_LENGTH)

    def __contains__(self, login: tuple[User, str]) -> bool:
        until = self._until.get(self._digest(*login))
        return until is not None and time.monotonic() < until

    def add(self, user: User, password: str) -> None:
        self._until.note([self._digest(user, password)], time.monotonic() + self.SECONDS)

    def _digest(self, user: User, password: str) -> bytes:
        text = "\0".join((str(user.pk), user.password, password))
        return hmac.digest(self._key, text.encode(), hashlib.sha256)


_verified = _VerifiedPasswords()


class BasicAuthentication(authentication.BasicAuthentication):
    """HTTP Basic with the password of a portal user."""

    www_authenticate_realm = "compute"

    def authenticate_credentials(
        self, userid: str, password: str, request: Any = None
    ) -> tuple[User, None]:
        if "\0" in userid or len(userid) > MAX_USERNAME_LENGTH:  # nobody's
            raise AuthenticationFailed
        user = get_user_model().objects.filter(username=userid, is_active=True).first()
        if user is not None and (user, password) in _verified:
            return user, None
        with too_many_logins_as_fault():
            try:
                user, _ = super().authenticate_credentials(userid, password, request._request)
            except AuthenticationFailed:
                logins.refuse_if_locked_out(request._request)
                raise
        if user.has_usable_password():
            _verified.add(user, password)
        return user, None


class SessionAuthentication(authentication.SessionAuthentication):
    """The console's session, with the token against forged requests in ``X-CSRFToken``."""

    def enforce_csrf(self, request: Any) -> None:
        """REST framework would look for a form in what is parsed as JSON."""
        super().enforce_csrf(request._request)


class DemoBackend(PortalBackend):
    """The demo's printed login, ``DEMO_PASSWORD``: only of the embedded demo, only from here.

    The demo user has no usable password, so no other backend lets it in.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if kwargs or not (settings.EMBEDDED and settings.DEMO_PASSWORD):
            return None
        if request is None or username != DEMO_USER:
            return None
        local = request.META.get("REMOTE_ADDR") in LOOPBACK and not is_forwarded(request)
        right = secrets.compare_digest(
            (password or "").encode(errors="replace"), settings.DEMO_PASSWORD.encode()
        )
        if not (local and right):
            return None
        user = User.objects.filter(username=DEMO_USER, is_active=True).first()
        return user if user is not None and not user.has_usable_password() else None
