"""What follows when a password changes."""

from django.contrib.auth.models import User

from portal.models import ApiToken


class TokenEndingValidator:
    """Accepts every password, and revokes the user's tokens when one has been changed.

    Django tells validators of it, however it was changed; sessions end by themselves.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Nothing to refuse."""

    def get_help_text(self) -> str:
        """Nothing to explain."""
        return ""

    def password_changed(self, password: str, user: User | None = None) -> None:
        """Called by Django when a user with a new password is saved."""
        revoke_tokens(user)


def revoke_tokens(user: User | None) -> None:
    """Delete the tokens of a user, who may not have been saved yet."""
    if user is not None and user.pk is not None:
        ApiToken.objects.filter(user=user).delete()
