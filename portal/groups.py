"""The groups that the portal knows: ``admin`` may do everything, ``reader`` look at everything."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission

from portal.permissions import ADMIN_ROLE, READER_ROLE


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
