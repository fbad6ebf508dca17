"""Forms that a session's end has kept from being sent, until who sent them has logged in again.

An address has no room for the keys of hundreds of rows, so the form is kept in the session that
begins at the login, for its sender alone.  Who that is says a signature in the form itself
(``{% sender %}``), since nobody is logged in when it arrives: without one, or once that user has
another password or may not log in any more, nothing is kept.  A form that was kept is shown again,
and never carried out by itself; it is forgotten when it has been sent.
"""

import secrets
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.http import HttpRequest, QueryDict
from django.utils.crypto import constant_time_compare

#: The field that says who sends a form, and the parameter that says which form was kept.
SENDER, KEPT = "sender", "kept"
#: Where the session keeps forms, and how many, so that each tab of the browser finds its own.
SESSION_KEY = "kept_forms"
MAX_FORMS = 5
#: How long a form may be, urlencoded: twice what one of 500 rows takes.
MAX_LENGTH = 64 * 1024


def signature(user: Any) -> str:
    """What a form says of the user whom it was shown to; it lasts as long as a session."""
    return signing.dumps([user.pk, user.get_session_auth_hash()], salt=__name__)


def _sender(request: HttpRequest) -> int | None:
    """Who sends the form; ``None`` if it does not say so, or that user's sessions have ended."""
    try:
        pk, auth_hash = signing.loads(
            request.POST.get(SENDER, ""), salt=__name__, max_age=settings.SESSION_COOKIE_AGE
        )
    except signing.BadSignature:
        return None
    user = get_user_model().objects.filter(pk=pk, is_active=True).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), auth_hash):
        return None
    return user.pk


def keep(request: HttpRequest, fields: Iterable[str]) -> str:
    """Keep these fields of a form; returns the address that shows it, to its sender only.

    Empty if the form does not say who that is, or is longer than any page's.
    """
    form = request.GET.copy()
    for field in fields:
        if field in request.POST:
            form.setlist(field, request.POST.getlist(field))
    encoded = form.urlencode()
    if len(encoded) > MAX_LENGTH or (sender := _sender(request)) is None:
        return ""
    name = secrets.token_hex(8)
    kept = list(request.session.get(SESSION_KEY, {}).items())[1 - MAX_FORMS :]
    request.session[SESSION_KEY] = dict(kept) | {name: {"of": sender, "form": encoded}}
    return f"{request.path}?{KEPT}={name}"


def find(request: HttpRequest) -> QueryDict | None:
    """The form that the address names, with its name; ``None`` if it is not kept for this user.

    Somebody else's is forgotten.
    """
    kept = request.session.get(SESSION_KEY, {}).get(name_of(request))
    if kept is None:
        return None
    if kept["of"] != request.user.pk:
        forget(request)
        return None
    form = QueryDict(kept["form"], mutable=True)
    form[KEPT] = name_of(request)
    return form


def name_of(request: HttpRequest) -> str:
    """Which of the kept forms is shown or sent; empty if it is none of them."""
    return (request.POST if request.method == "POST" else request.GET).get(KEPT, "")


def forget(request: HttpRequest) -> None:
    """Keep the form that is shown or sent no longer, if it is one of those that are kept."""
    forms: dict[str, Any] = request.session.get(SESSION_KEY, {})
    if (name := name_of(request)) in forms:
        request.session[SESSION_KEY] = {key: forms[key] for key in forms if key != name}
