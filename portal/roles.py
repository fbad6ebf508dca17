"""Who may do what: Nova's default policy, with Django's users and groups as roles."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group, Permission, User

ADMIN_ROLE = "admin"
#: The group of those who may look at everything in the console and change nothing.
READER_ROLE = "reader"


def roles_of(user: User | AnonymousUser) -> set[str]:
    """A user's roles in lower case: ``admin`` for a superuser, else the names of the groups."""
    if not user.is_active or user.is_anonymous:
        return set()
    names: set[str] = getattr(user, "_roles", set())
    if not hasattr(user, "_roles"):
        if user.is_superuser:
            names = {ADMIN_ROLE}
        else:
            names = {name.lower() for name in user.groups.values_list("name", flat=True)}
        user._roles = names  # type: ignore[attr-defined]
    return names


def may_read(user: User | AnonymousUser) -> bool:
    """Administrators; and the role named by ``API_READER_ROLE``, if one is."""
    allowed = {ADMIN_ROLE, settings.API_READER_ROLE.lower()} - {""}
    return bool(roles_of(user) & allowed)


def may_administer(user: User) -> bool:
    """Whether a user, active or not, is an administrator by role or may become one."""
    return user.is_superuser or user.groups.filter(name__iexact=ADMIN_ROLE).exists()


def may_change(user: User | AnonymousUser) -> bool:
    """Administrators only."""
    return ADMIN_ROLE in roles_of(user)


def grant(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Give both groups their permissions on an app's models, after the app has been migrated.

    Follows ``django.contrib.auth``, which makes the permissions on the same occasion.
    """
    if using != "default":
        return
    permissions = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    for name, granted in (
        (ADMIN_ROLE, permissions),
        (READER_ROLE, permissions.filter(codename__startswith="view_")),
    ):
        group, _created = Group.objects.using(using).get_or_create(name=name)
        group.permissions.add(*granted)
