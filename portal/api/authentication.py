"""Authentication by token, by HTTP Basic, or by the console's session."""

import hashlib
import hmac
import secrets
import threading
import time
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.models import ApiToken

LOOPBACK = ("127.0.0.1", "::1")
DEMO_USER, DEMO_PASSWORD = "admin", "demo"


class TokenAuthentication(authentication.BaseAuthentication):
    """``X-Auth-Token``, with a token from ``manage.py create_token`` or the console."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        text = request.headers.get("X-Auth-Token")
        if not text:
            return None
        token = ApiToken.objects.valid(text)
        if token is None:
            raise AuthenticationFailed
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="compute"'


class _Verified:
    """Passwords that were right a moment ago, so that a script does not pay the hash each time.

    Kept by a keyed digest of user, password and the stored hash: a changed password is unknown
    at once, and nothing readable is kept.
    """

    SECONDS = 60
    AT_MOST = 1000

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def _digest(self, user: User, password: str) -> bytes:
        text = "\0".join((str(user.pk), user.password, password))
        return hmac.digest(self._key, text.encode(), hashlib.sha256)

    def has(self, user: User, password: str) -> bool:
        return self._until.get(self._digest(user, password), 0) > time.monotonic()

    def add(self, user: User, password: str) -> None:
        with self._lock:
            if len(self._until) >= self.AT_MOST:
                self._until.clear()
            self._until[self._digest(user, password)] = time.monotonic() + self.SECONDS


_verified = _Verified()


class BasicAuthentication(authentication.BasicAuthentication):
    """HTTP Basic with the password of a portal user."""

    www_authenticate_realm = "compute"

    def authenticate_credentials(
        self, userid: str, password: str, request: Any = None
    ) -> tuple[User, None]:
        if "\0" in userid:  # no user has it, and PostgreSQL would not look for it
            raise AuthenticationFailed
        user = get_user_model().objects.filter(username=userid, is_active=True).first()
        if user is not None and _verified.has(user, password):
            return user, None
        user, _ = super().authenticate_credentials(userid, password, request)
        if user.has_usable_password():
            _verified.add(user, password)
        return user, None


class DemoBackend(ModelBackend):
    """The demo's printed login: only of the embedded demo, only from this machine.

    The demo user has no usable password, so no other backend lets it in.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if not (settings.EMBEDDED and request is not None and username == DEMO_USER):
            return None
        local = (
            request.META.get("REMOTE_ADDR") in LOOPBACK
            and "HTTP_X_FORWARDED_FOR" not in request.META
        )
        right = secrets.compare_digest((password or "").encode(), DEMO_PASSWORD.encode())
        if not (local and right):
            return None
        user = User.objects.filter(username=DEMO_USER, is_active=True).first()
        return user if user is not None and not user.has_usable_password() else None
