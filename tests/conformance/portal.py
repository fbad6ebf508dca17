"""The portal, set up for comparison, with the same users as Nova's stand-in for keystone."""

from collections.abc import Mapping

from django.contrib.auth.models import Group, User

from portal.models import ApiToken
from tests.conformance.messages import InProcess
from tests.conformance.stand_ins import PROJECT_ID, TOKENS


def portal() -> InProcess:
    """The portal on the databases that are registered now."""
    return InProcess(_tokens())


def _tokens() -> Mapping[str, str]:
    """Tokens of users with the same names, roles and project as on Nova's side."""
    tokens = {}
    for name, roles in TOKENS.items():
        user, _ = User.objects.get_or_create(username=name)
        user.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles.split(",")])
        tokens[name] = ApiToken.objects.issue(user, project_id=PROJECT_ID)[1]
    return tokens
