"""Sessions of the console that began with a login at Keystone.

Such a session has the roles of its token, and ends with it.  The token is kept in the session,
encrypted with ``SECRET_KEY``, to be validated again every ``KEYSTONE_RECHECK`` seconds: one that
has been revoked, or whose user was disabled, thus ends the session too.  While Keystone does not
answer, the session goes on until the token expires.
"""

import base64
import datetime
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from cells.cache import Hints
from cloud import clients
from cloud.deadlines import ServiceUnavailable
from cloud.identity import Identity
from portal.models import PortalUser

logger = logging.getLogger(__name__)

BACKEND = "portal.backends.KeystoneBackend"
#: Where the session keeps the identity and the token.
SESSION_KEY = "keystone"
#: How many sessions' last validations a process remembers.
MAX_SESSIONS = 10_000

#: Sent when Keystone's word ends a session, before it is forgotten: with ``request``, its ``user``,
#: the ``identity`` (``None`` if the session has none that can be read) and the ``cause``.
session_ended = Signal()

#: When, by this process's clock, a token has to be validated again, by its digest.
_valid_until: Hints[bytes, float] = Hints(MAX_SESSIONS)


# --- what a session keeps -----------------------------------------------------------------------


def connect() -> None:
    """Begin a session of Keystone's at every login there."""
    user_logged_in.connect(_begin, dispatch_uid="portal.keystone_sessions")


def _begin(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    login = getattr(user, "keystone_login", None)
    if login is None:
        return
    identity: Identity = login.identity
    kept = asdict(identity) | {"expires_at": identity.expires_at.isoformat()}  # type: ignore[union-attr]
    token = _cipher().encrypt(login.token.encode()).decode()
    request.session[SESSION_KEY] = {"identity": kept, "token": token}
    request.session.set_expiry(identity.expires_at)
    _note(login.token)


def _kept(request: HttpRequest) -> tuple[Identity, str] | None:
    """The identity and the token of the session; ``None`` if it has none that can be read."""
    kept: Any = request.session.get(SESSION_KEY)
    try:
        values = dict(kept["identity"])
        values["expires_at"] = datetime.datetime.fromisoformat(values["expires_at"])
        for field in fields(Identity):
            if isinstance(values[field.name], list):
                values[field.name] = tuple(values[field.name])
        token = _cipher().decrypt(kept["token"].encode()).decode()
        return Identity(**values), token
    except (KeyError, TypeError, ValueError, InvalidToken):
        return None


def _cipher() -> Fernet:
    key = salted_hmac(__name__, "token", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(key))


# --- its user in each request -------------------------------------------------------------------


class KeystoneSessionMiddleware:
    """Gives ``request.user`` the identity of its session, if that is one of Keystone's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        found = request.user
        request.user = SimpleLazyObject(lambda: _user(request, found))  # type: ignore[assignment]
        return self.get_response(request)


def _user(request: HttpRequest, found: Any) -> Any:
    if found.is_anonymous or request.session.get(BACKEND_SESSION_KEY) != BACKEND:
        return found
    kept = _kept(request)
    if kept is None or not _is_valid(*kept):
        identity = kept[0] if kept else None
        cause = "the token of the session is not valid any more"
        logger.info("%r: %s", found.get_username(), cause)
        session_ended.send(__name__, request=request, user=found, identity=identity, cause=cause)
        request.session.flush()
        messages.warning(request, _("Your login with Keystone has ended. Please log in again."))
        return AnonymousUser()
    user: PortalUser = found
    user.enter(kept[0])
    return user


def _is_valid(identity: Identity, token: str) -> bool:
    """Whether the token has not expired, and was valid ``KEYSTONE_RECHECK`` seconds ago."""
    if identity.expires_at is None or identity.expires_at <= timezone.now():
        return False
    until = _valid_until.get(_digest(token))
    if until is not None and time.monotonic() < until:
        return True
    keystone = clients.keystone()
    if keystone is None:
        return False
    try:
        if keystone.identify(token) is None:
            return False
    except ServiceUnavailable:
        pass  # logged there; nobody says that the token is not valid
    _note(token)
    return True


def _note(token: str) -> None:
    _valid_until.note([_digest(token)], time.monotonic() + settings.KEYSTONE_RECHECK)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
