"""Who may do what: Nova's policy for roles; users of the portal have their groups as roles."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission, User

from cloud import clients
from cloud.identity import Identity

ADMIN_ROLE = "admin"
#: The group of those who may look at everything in the console and change nothing.
READER_ROLE = "reader"

#: Who may see the fleet by Nova's policy may also see the metrics and have a token.
LIST_SERVICES = "os_compute_api:os-services:list"

#: Keystone's roles imply one another as ``keystone-manage bootstrap`` makes them; so do groups.
IMPLIED_ROLES = {
    ADMIN_ROLE: ("manager", "member", READER_ROLE),
    "manager": ("member", READER_ROLE),
    "member": (READER_ROLE,),
}


def groups_of(user: Any) -> set[str]:
    """The groups of a portal user in lower case: ``admin`` alone for a superuser."""
    if not user.is_active or user.is_anonymous:
        return set()
    if user.is_superuser:
        return {ADMIN_ROLE}
    return {name.lower() for name in user.groups.values_list("name", flat=True)}


def identity_of(user: Any) -> Identity:
    """Who a request's user is to Nova's policy.

    That of its token for a user of Keystone; a portal user's groups are its roles.
    """
    identity: Identity | None = getattr(user, "identity", None)
    if identity is None:
        roles = groups_of(user)
        roles |= {implied for role in roles for implied in IMPLIED_ROLES.get(role, ())}
        identity = Identity(
            user_id=str(user.pk), user_name=user.get_username(), roles=tuple(sorted(roles))
        )
        user.identity = identity  # for the rest of the request
    return identity


def may_administer(user: User) -> bool:
    """Whether a user, active or not, is an administrator by role or may become one."""
    return user.is_superuser or user.groups.filter(name__iexact=ADMIN_ROLE).exists()


def may(user: Any, rule: str) -> bool:
    """Whether Nova's policy allows ``user`` what ``rule`` (``os_compute_api:...``) is about."""
    return bool(user.is_active) and clients.policy().authorize(rule, identity_of(user))


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
