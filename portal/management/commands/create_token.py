"""``manage.py create_token``: issue a token for ``X-Auth-Token``."""

import argparse
import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.utils import timezone

from cells.management.base import Documented
from cells.names import did_you_mean
from portal.models import ApiToken, is_of_keystone
from portal.roles import LIST_SERVICES, may

MAX_DAYS = 36_500


class Command(Documented):
    help = "Issues a token for the compute API (X-Auth-Token) and prints it. It is not shown again."
    examples = (
        "create_token ann --name backup --read-only",
        "create_token ann --expires-in-days 30",
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("user", help="the portal user that the token stands for")
        parser.add_argument("--name", default="", help="what the token is for")
        parser.add_argument(
            "--expires-in-days",
            type=float,
            metavar="N",
            help="default: TOKEN_LIFETIME_DAYS, which is 365",
        )
        parser.add_argument(
            "--read-only", action="store_true", help="refuse it for everything but reading"
        )
        parser.add_argument(
            "--project-id",
            default="",
            metavar="ID",
            help="refuse it for the URLs of other projects (/v2.1/{project_id}/...)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            names = User.objects.values_list("username", flat=True)
            raise CommandError(
                f"there is no user {options['user']!r}; create one with: manage.py createsuperuser"
                f"{did_you_mean(options['user'], names)}"
            )
        if is_of_keystone(user):
            raise CommandError(
                f"{options['user']!r} is a user of Keystone, which issues the tokens"
            )
        if not user.is_active:
            raise CommandError(f"user {options['user']!r} is not active")
        for option in ("name", "project_id"):
            max_length = getattr(ApiToken._meta.get_field(option), "max_length", 0)
            if len(options[option]) > max_length:
                name = option.replace("_", "-")
                raise CommandError(f"--{name}: at most {max_length} characters")
        expires_at = None
        days = options["expires_in_days"]
        if days is not None:
            if not 0 < days <= MAX_DAYS:
                raise CommandError(f"--expires-in-days: must be above 0 and at most {MAX_DAYS}")
            expires_at = timezone.now() + datetime.timedelta(days=days)
        _, text = ApiToken.objects.issue(
            user,
            name=options["name"],
            expires_at=expires_at,
            project_id=options["project_id"],
            read_only=options["read_only"],
        )
        self.stdout.write(text)
        if not may(user, LIST_SERVICES):
            self.stderr.write(
                f"{user} may not list services by Nova's policy: the API will refuse this token "
                "until the user is a superuser or in a group that it allows, usually 'admin'"
            )
