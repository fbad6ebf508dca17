"""``manage.py create_token``: a token for ``X-Auth-Token``."""

import argparse
import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from portal.models import ApiToken
from portal.roles import may_read

MOST_DAYS = 36_500


class Command(BaseCommand):
    help = "Issues a token for the compute API (X-Auth-Token) and prints it, this once."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("user", help="the portal user that the token acts as")
        parser.add_argument("--name", default="", help="what the token is for")
        parser.add_argument(
            "--expires-in-days", type=float, metavar="N", help="by default it does not expire"
        )
        parser.add_argument(
            "--project-id", default="", metavar="ID", help="refuse /v2.1/{any other project}/..."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(
                f"there is no user {options['user']!r}; create one with: manage.py createsuperuser"
            )
        if not user.is_active:
            raise CommandError(f"user {options['user']!r} is not active")
        for option in ("name", "project_id"):
            longest = getattr(ApiToken._meta.get_field(option), "max_length", 0)
            if len(options[option]) > longest:
                name = option.replace("_", "-")
                raise CommandError(f"--{name}: at most {longest} characters")
        expires_at = None
        days = options["expires_in_days"]
        if days is not None:
            if not 0 < days <= MOST_DAYS:
                raise CommandError(f"--expires-in-days: must be above 0 and at most {MOST_DAYS}")
            expires_at = timezone.now() + datetime.timedelta(days=days)
        _, text = ApiToken.objects.issue(
            user, name=options["name"], expires_at=expires_at, project_id=options["project_id"]
        )
        self.stdout.write(text)
        if not may_read(user):
            self.stderr.write(
                f"{user} is no administrator: the API will refuse this token until "
                "the user is a superuser or in the group 'admin'"
            )
