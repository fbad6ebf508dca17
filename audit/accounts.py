"""Logins, and what is done to users, groups and tokens, on record.

Django announces them by signals, whichever page, command or library does them.  What is done by
neither a request nor a command of ``manage.py`` is not recorded, nor what a command does to set up.
"""

import getpass
import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation import gettext_noop

from audit.journal import Actor, actor_of, draft
from audit.models import Channel, Outcome
from cloud.identity import Identity
from portal import processes
from portal.keystone_sessions import session_ended
from portal.middleware import current_request, is_of_api
from portal.models import ApiToken, PortalUser

logger = logging.getLogger(__name__)
P = ParamSpec("P")

#: Commands that set up the portal, before or while the audit's own table is made.
SETTING_UP = ("demo", "flush", "heartbeat", "loaddata", "migrate", "serve")
LOG_IN, LOG_OUT = gettext_noop("log in"), gettext_noop("log out")
USER_FIELDS = ("username", "email", "is_active", "is_staff", "is_superuser")
#: What an entry shows before and after; of a password only that it is another.
FIELDS: dict[type[Model], tuple[str, ...]] = {
    User: USER_FIELDS,
    PortalUser: USER_FIELDS,
    Group: ("name",),
    ApiToken: ("name", "project_id", "read_only", "expires_at"),
}
#: What making, changing and deleting one is called.
_USER_ACTIONS = (
    gettext_noop("create user"),
    gettext_noop("change user"),
    gettext_noop("delete user"),
)
ACTIONS: dict[type[Model], tuple[str, str, str]] = {
    User: _USER_ACTIONS,
    PortalUser: _USER_ACTIONS,
    Group: (
        gettext_noop("create group"),
        gettext_noop("change group"),
        gettext_noop("delete group"),
    ),
    ApiToken: (
        gettext_noop("issue API token"),
        gettext_noop("change API token"),
        gettext_noop("revoke API token"),
    ),
}
#: Saving these alone is no one's doing: a login, and Django renewing an old hash.
BY_ITSELF = frozenset({"last_login", "password"})


def connect() -> None:
    """Listen to Django's signals."""
    user_logged_in.connect(_logged_in, dispatch_uid="audit.accounts")
    user_logged_out.connect(_logged_out, dispatch_uid="audit.accounts")
    user_login_failed.connect(_login_failed, dispatch_uid="audit.accounts")
    session_ended.connect(_session_ended, dispatch_uid="audit.accounts")
    for model in FIELDS:
        pre_save.connect(_before_save, model, dispatch_uid="audit.accounts")
        post_save.connect(_saved, model, dispatch_uid="audit.accounts")
        post_delete.connect(_deleted, model, dispatch_uid="audit.accounts")
    for relation in (User.groups, User.user_permissions, Group.permissions):
        m2m_changed.connect(_granted, relation.through, dispatch_uid="audit.accounts")


def _in_english(receiver: Callable[P, None]) -> Callable[P, None]:
    """What goes on record is in English, whoever reads the page that does it."""

    @wraps(receiver)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        with translation.override(settings.LANGUAGE_CODE):
            receiver(*args, **kwargs)

    return wrapped


# --- who --------------------------------------------------------------------------------------


def _actor() -> Actor | None:
    """Who is acting; ``None`` where nobody is, or a command that sets up."""
    request = current_request()
    if request is not None:
        return actor_of(request, _channel(request))
    if processes.command and processes.command not in SETTING_UP:
        return Actor(getpass.getuser(), Channel.COMMAND)
    return None


def _channel(request: HttpRequest) -> Channel:
    return Channel.API if is_of_api(request) else Channel.CONSOLE


def _record(
    actor: Actor,
    action: str,
    subject: str,
    message: str = "",
    outcome: Outcome = Outcome.DONE,
    **values: Any,
) -> None:
    entry = draft(actor, action, subject=subject)
    entry.outcome, entry.message = outcome, message
    entry.before, entry.after = values.get("before"), values.get("after")
    entry.save()


# --- logins -----------------------------------------------------------------------------------


def _logged_in(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    if request is current_request():
        logger.info("%r logged in from %s", user.get_username(), request.META.get("REMOTE_ADDR"))
        _record(actor_of(request, _channel(request)), LOG_IN, f"user {user}")


def _logged_out(sender: Any, request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    if request is current_request() and user is not None:
        _record(actor_of(request, _channel(request)), LOG_OUT, f"user {user}")


def _session_ended(
    sender: Any,
    request: HttpRequest,
    user: User,
    identity: Identity | None,
    cause: str,
    **kwargs: Any,
) -> None:
    """Nobody has logged out, and the request goes on without a user."""
    if request is not current_request():
        return
    actor = Actor(
        username=user.get_username(),
        channel=_channel(request),
        request_id=getattr(request, "request_id", ""),
        remote_address=request.META.get("REMOTE_ADDR") or None,
        keystone=("", "", "")
        if identity is None
        else (identity.user_id, identity.project_id or "", identity.project_name or ""),
    )
    _record(actor, LOG_OUT, f"user {user}", cause)


def _login_failed(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Also who is locked out by it; what is refused while that lasts is not recorded."""
    if request is None or request is not current_request():
        return
    locked_out = getattr(request, "axes_locked_out", False)
    if locked_out and getattr(request, "axes_failures_since_start", None) is None:
        return
    username = str(credentials.get("username", ""))
    subject = f"user {username}" if username else "token"
    message = "wrong name or password" if username else "not a valid token"
    if locked_out:
        message += f"; locked out for {settings.LOGIN_COOLOFF:g} s from this address"
    address = request.META.get("REMOTE_ADDR")
    logger.warning("login as %r from %s refused: %s", subject[:200], address, message)
    actor = Actor(
        username=username[:150],
        channel=_channel(request),
        request_id=getattr(request, "request_id", ""),
        remote_address=address or None,
    )
    _record(actor, LOG_IN, subject, message, Outcome.REFUSED)


# --- users, groups, tokens --------------------------------------------------------------------


def _values(instance: Model) -> dict[str, Any]:
    values = {name: getattr(instance, name) for name in FIELDS[type(instance)]}
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in values.items()
    }


def _subject(instance: Model) -> str:
    return f"{instance._meta.verbose_name} {instance}"


def _before_save(
    sender: type[Model], instance: Any, raw: bool, update_fields: Any, **kwargs: Any
) -> None:
    instance._before = None
    if raw or instance.pk is None or (update_fields and BY_ITSELF.issuperset(update_fields)):
        return
    if _actor() is not None:
        instance._before = sender._default_manager.filter(pk=instance.pk).first()


@_in_english
def _saved(sender: type[Model], instance: Any, created: bool, raw: bool, **kwargs: Any) -> None:
    old = instance.__dict__.pop("_before", None)
    actor = None if raw or not (created or old is not None) else _actor()
    if actor is None:
        return
    make, change, _delete = ACTIONS[sender]
    after = _values(instance)
    if created:
        _record(actor, make, _subject(instance), after=after)
        return
    before = _values(old)
    message = ""
    if isinstance(instance, User) and old.password != instance.password:
        message = "password changed"
    if before != after or message:
        _record(actor, change, _subject(instance), message, before=before, after=after)


@_in_english
def _deleted(sender: type[Model], instance: Any, **kwargs: Any) -> None:
    if (actor := _actor()) is not None:
        _make, _change, delete = ACTIONS[sender]
        _record(actor, delete, _subject(instance), before=_values(instance))


@_in_english
def _granted(
    sender: Any, instance: Any, action: str, model: Any, pk_set: Iterable[Any] | None, **kwargs: Any
) -> None:
    """Groups and permissions that were given or taken."""
    verbs = {"post_add": "added", "post_remove": "removed", "pre_clear": "removed"}
    actor = _actor() if action in verbs else None
    if actor is None:
        return
    if pk_set is None:  # all
        through = sender._default_manager.filter(
            **{instance._meta.model_name: instance}
        ).values_list(model._meta.model_name, flat=True)
        pk_set = list(through)
    changed = sorted(str(one) for one in model._default_manager.filter(pk__in=pk_set))
    if changed:
        what = model._meta.verbose_name_plural
        message = f"{what} {verbs[action]}: {', '.join(changed)}"
        _make, change, _delete = ACTIONS[type(instance)]
        _record(actor, change, _subject(instance), message)
