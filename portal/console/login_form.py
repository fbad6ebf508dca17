"""The form by which people enter the console: with an account of the portal, or of Keystone."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloud.deadlines import ServiceUnavailable
from portal.backends import KeystoneScope
from portal.roles import identity_of, may_enter

PORTAL, KEYSTONE = "portal", "keystone"
#: The longest name of a user, a domain or a project in Keystone.
MAX_NAME_LENGTH = 255
#: What only a login with Keystone asks for.
KEYSTONE_FIELDS = ("user_domain", "project", "project_domain")


class LoginForm(AdminAuthenticationForm):
    """Django's, for everyone who may enter; where there is a Keystone, also with its users."""

    account = forms.ChoiceField(
        label=gettext_lazy("Account"),
        choices=((PORTAL, gettext_lazy("Portal")), (KEYSTONE, gettext_lazy("Keystone"))),
        widget=forms.RadioSelect,
        initial=PORTAL,
        required=False,
    )
    user_domain = forms.CharField(
        label=gettext_lazy("Domain"), max_length=MAX_NAME_LENGTH, required=False
    )
    project = forms.CharField(
        label=gettext_lazy("Project"), max_length=MAX_NAME_LENGTH, required=False
    )
    project_domain = forms.CharField(
        label=gettext_lazy("Project domain"), max_length=MAX_NAME_LENGTH, required=False
    )

    def __init__(self, request: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        if settings.NOVA_CONFIG.has_keystone:
            self.fields["user_domain"].initial = settings.KEYSTONE_LOGIN_DOMAIN
            self.fields["project"].initial = settings.KEYSTONE_LOGIN_PROJECT
            self.fields["project_domain"].initial = settings.KEYSTONE_LOGIN_DOMAIN
        else:
            for name in ("account", *KEYSTONE_FIELDS):
                del self.fields[name]

    @property
    def account_fields(self) -> list[forms.BoundField]:
        """The fields that every login asks for."""
        return [self["username"], self["password"]]

    @property
    def keystone_fields(self) -> list[forms.BoundField]:
        """The fields that only a login with Keystone asks for; none where there is no Keystone."""
        return [self[name] for name in KEYSTONE_FIELDS if name in self.fields]

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("account") != KEYSTONE:
            return super().clean()
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        missing = [one for one in KEYSTONE_FIELDS if not self.cleaned_data.get(one)]
        for field in missing:
            self.add_error(field, self.fields[field].error_messages["required"])
        if not name or not password or missing:
            return self.cleaned_data
        scope = KeystoneScope(name, **{one: self.cleaned_data[one] for one in KEYSTONE_FIELDS})
        try:
            self.user_cache = authenticate(
                self.request, username=scope.account, password=password, keystone=scope
            )
        except ServiceUnavailable:
            raise ValidationError(
                _("Keystone does not answer at the moment. Accounts of the portal can log in."),
                code="keystone_away",
            ) from None
        if self.user_cache is None:
            raise ValidationError(
                _("Keystone does not accept this user, password or project."),
                code="invalid_login",
            )
        self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data

    def confirm_login_allowed(self, user: Any) -> None:
        AuthenticationForm.confirm_login_allowed(self, user)
        if may_enter(user):
            return
        identity = identity_of(user)
        if not identity.is_of_keystone:
            raise self.get_invalid_login_error()
        raise ValidationError(
            _("Your roles in the project %(project)s do not open the console: %(roles)s."),
            code="no_role",
            params={
                "project": identity.project_name,
                "roles": ", ".join(sorted(identity.roles)),
            },
        )
