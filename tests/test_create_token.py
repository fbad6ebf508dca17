"""``manage.py create_token``."""

import datetime

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from portal.models import ApiToken
from tests.clients import ApiClient
from tests.clouds import Cloud


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("alice")


def issued(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """What the command prints, and what it says beside it."""
    call_command("create_token", *arguments)
    said = capsys.readouterr()
    return said.out, said.err


def test_the_token_works(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_superuser("alice")
    out, err = issued(capsys, "alice")
    assert err == ""
    assert out.count("\n") == 1
    assert ApiClient(out.strip()).get("/os-services").status == 200


def test_it_is_kept_as_a_digest_only(admin: User, capsys: pytest.CaptureFixture[str]) -> None:
    text = issued(capsys, "alice", "--name", "backup script")[0].strip()
    token = ApiToken.objects.get()
    assert (token.user, token.name) == (admin, "backup script")
    assert text not in "".join(str(value) for value in vars(token).values())


def test_it_expires(admin: User, capsys: pytest.CaptureFixture[str]) -> None:
    text = issued(capsys, "alice", "--expires-in-days", "1.5")[0].strip()
    token = ApiToken.objects.get()
    assert token.expires_at is not None
    left = token.expires_at - timezone.now()
    assert datetime.timedelta(hours=35) < left < datetime.timedelta(hours=37)
    ApiToken.objects.update(expires_at=timezone.now())
    assert ApiToken.objects.valid(text) is None


def test_it_is_for_one_project(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_superuser("alice")
    client = ApiClient(issued(capsys, "alice", "--project-id", "abc1")[0].strip())
    assert client.get("/abc1/os-services").status == 200
    assert client.get("/abc2/os-services").status == 400


def test_who_may_not_use_it_is_told(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_user("bob")
    assert "bob may not list services" in issued(capsys, "bob")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no user 'nobody'; create one with: manage.py createsuperuser"),
        (["alice", "--expires-in-days", "0"], "--expires-in-days: must be above 0"),
        (["alice", "--expires-in-days", "nan"], "--expires-in-days: must be above 0"),
        (["alice", "--expires-in-days", "1e9"], "at most 36500"),
        (["alice", "--project-id", "p" * 65], "--project-id: at most 64 characters"),
        (["alice", "--name", "n" * 256], "--name: at most 255 characters"),
        (["gone"], "user 'gone' is not active"),
    ],
)
def test_what_is_refused(admin: User, arguments: list[str], said: str) -> None:
    User.objects.create_superuser("gone", is_active=False)
    with pytest.raises(CommandError, match=said):
        call_command("create_token", *arguments)
    assert not ApiToken.objects.exists()
