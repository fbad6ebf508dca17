"""The portal's own rows: API tokens, and the console's saved views."""

import datetime
import hashlib
import logging
import secrets
import time
from functools import cache
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cells.cache import Hints
from cells.statements import Parameter, Statement
from cloud.identity import Identity
from portal.roles import permits, rule_of

logger = logging.getLogger(__name__)

#: How far the noted last use of a token may lie behind its true one.
LAST_USE_PRECISION = datetime.timedelta(minutes=15)
#: For how many seconds a token stays in force that the portal's database cannot be asked about.
REMEMBERED_FOR = 3600.0


class PortalUser(User):
    """A user in the console, who may do there what Nova's policy lets the user do in the API.

    That binds superusers too: Django does not ask anybody what they may do.
    """

    class Meta:
        proxy = True
        verbose_name = _("user")
        default_permissions = ()

    #: Who the user is to Nova's policy; worked out when it is first needed (``portal.roles``).
    identity: Identity | None = None
    #: What the password was exchanged for, in the request that logs in with Keystone.
    keystone_login: Any = None

    @property
    def is_of_keystone(self) -> bool:
        """Whether the session began with a login at Keystone."""
        return self.identity is not None and self.identity.is_of_keystone

    def enter(self, identity: Identity) -> None:
        """Be the user of a session of Keystone's: with its roles, and no others."""
        self.identity = identity
        self.is_staff = self.is_superuser = False

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        rule = rule_of(perm)
        return super().has_perm(perm, obj) if rule is None else permits(self, rule, perm)


class KeystoneAccount(models.Model):
    """That a user is one of Keystone's: it logs in there, and has its roles from each login.

    Such a user has no password here, no groups and no tokens of the portal's.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="keystone_account"
    )
    keystone_id = models.CharField(max_length=64, unique=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.user} ({self.keystone_id})"


class ApiTokenManager(models.Manager["ApiToken"]):
    """Issuing and finding tokens."""

    def issue(
        self,
        user: User,
        *,
        name: str = "",
        expires_at: datetime.datetime | None = None,
        project_id: str = "",
        read_only: bool = False,
    ) -> tuple["ApiToken", str]:
        """Make a token; its text is returned this once and kept only as a digest.

        Without ``expires_at`` it is in force for ``TOKEN_LIFETIME_DAYS``.  Raises ``ValueError``
        for a user of Keystone, whose roles the token would not have: Keystone issues theirs.
        """
        if is_of_keystone(user):
            raise ValueError(f"{user} is a user of Keystone, which issues their tokens")
        # A letter first: clients would take a leading hyphen for an option.
        text = f"t{secrets.token_urlsafe(32)}"
        token = self.create(
            user=user,
            name=name,
            digest=digest_of(text),
            expires_at=expires_at or default_expiry(),
            project_id=project_id,
            read_only=read_only,
        )
        return token, text

    def valid(self, text: str) -> "ApiToken | None":
        """The token with this text, if it is in force and its user is active.

        While the portal's database does not answer, one that was in force a while ago is.
        """
        digest = digest_of(text)
        try:
            token = self._read(digest)
        except DatabaseError:
            token = _remembered.get(digest)
            if token is None or time.monotonic() - token.read_at > REMEMBERED_FOR:
                raise
        else:
            if token is None:
                _remembered.discard(digest)
                return None
            _remembered.note([digest], token)
        expired = token.expires_at is not None and token.expires_at <= timezone.now()
        return token if token.user.is_active and not expired else None

    def _read(self, digest: str) -> "ApiToken | None":
        token_fields, user_fields, with_digest = _by_digest()
        rows = with_digest.rows(self.db, digest=digest)
        if not rows:
            return None
        values = rows[0]
        token = self.model.from_db(self.db, token_fields, values[: len(token_fields)])
        token.user = User.from_db(self.db, user_fields, values[len(token_fields) :])
        token.read_at = time.monotonic()
        return token


@cache
def _by_digest() -> tuple[list[str], list[str], Statement]:
    """The columns of a token and of its user, and the statement that reads both by the digest.

    It is executed for every request, and compiling it took longer than all else about a token.
    """
    token_fields = [field.attname for field in ApiToken._meta.concrete_fields]
    user_fields = [field.attname for field in User._meta.concrete_fields]
    tokens = ApiToken.objects.filter(digest=Parameter("digest")).order_by()
    of_user = [f"user__{name}" for name in user_fields]
    return token_fields, user_fields, Statement(tokens.values_list(*token_fields, *of_user))


def is_of_keystone(user: User) -> bool:
    """Whether the user logs in with Keystone."""
    return KeystoneAccount.objects.filter(user_id=user.pk).exists()


def default_expiry() -> datetime.datetime:
    """When a token ends that is issued now without an end."""
    return timezone.now() + datetime.timedelta(days=settings.TOKEN_LIFETIME_DAYS)


def digest_of(text: str) -> str:
    """SHA-256 of a token; a token has 256 random bits, so no salt or slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


class ApiToken(models.Model):
    """A token for ``X-Auth-Token``.  With ``project_id`` only that project fits in URLs."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    name = models.CharField(
        _("name"), max_length=255, blank=True, help_text=_("What the token is for.")
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    project_id = models.CharField(
        _("project id"),
        max_length=64,
        blank=True,
        help_text=_("Refuse /v2.1/{project_id}/... with any other project; empty allows all."),
    )
    read_only = models.BooleanField(
        _("read only"), default=False, help_text=_("Refuse everything that changes something.")
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(
        _("expires at"),
        null=True,
        blank=True,
        help_text="Null only for tokens of older versions: never.",
    )
    last_used_at = models.DateTimeField(
        null=True, editable=False, help_text="To within LAST_USE_PRECISION."
    )

    #: When ``valid`` read it, of ``time.monotonic()``.
    read_at = 0.0

    objects: ClassVar[ApiTokenManager] = ApiTokenManager()

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name or 'token'} of {self.user}"

    def note_use(self) -> None:
        """Write down that it has been used, unless that was done a short while ago.

        A database that cannot be written to is logged, and refuses nobody.
        """
        now = timezone.now()
        if self.last_used_at is not None and now - self.last_used_at < LAST_USE_PRECISION:
            return
        try:
            ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)
        except DatabaseError as error:
            logger.warning("the last use of a token could not be written: %s", error)


#: With the identity of its user, once that was needed (``roles.identity_of``).
_remembered: Hints[str, ApiToken] = Hints(max_length=10_000)


class SavedView(models.Model):
    """A view of one of the console's lists (search, filters, order, columns) under a name.

    ``page`` is the list's URL name, ``query`` its query string.  ``user`` owns it; all who may
    see the list see one that ``is_shared``.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=100)
    name = models.CharField(max_length=100)
    query = models.TextField(blank=True)
    is_shared = models.BooleanField(default=False)

    class Meta:
        ordering = ("name",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["user", "page", "name"], name="unique_name_of_saved_view"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def is_changed_by(self, user: User) -> bool:
        """Whether the user, who sees it, may change or delete it."""
        return bool(user.is_superuser or user.pk == self.user_id)


class ListPreference(models.Model):
    """How a user wants one of the console's lists, where its URL does not say.

    ``columns`` are names joined by commas; empty are the list's own.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    page = models.CharField(max_length=100)
    columns = models.TextField(blank=True)
    per_page = models.PositiveSmallIntegerField(null=True)

    class Meta:
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["user", "page"], name="unique_preference_of_list"),
        )

    def __str__(self) -> str:
        return f"{self.page} of {self.user_id}"
