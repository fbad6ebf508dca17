"""What the person who requests a maintenance in the console fills in."""

import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from maintenance.control import MAX_REASON, MAX_TICKET
from maintenance.models import PlanName
from maintenance.plans import Options
from portal.console.forms import WholeTextMixin


class Moment(forms.DateTimeField):
    """A date and time in UTC, chosen with the browser's own widget."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class StartForm(WholeTextMixin, forms.Form):
    """The options of a maintenance; ``options()`` when it is valid."""

    reason = forms.CharField(label=_("Reason"), max_length=MAX_REASON)
    ticket = forms.CharField(label=_("Ticket"), max_length=MAX_TICKET, required=False)
    starts_at = Moment(label=_("Begin at (UTC)"), required=False, help_text=_("Empty: at once."))
    until = Moment(label=_("Planned until (UTC)"), required=False)
    move_stopped = forms.BooleanField(
        label=_("Also move servers that are shut off"),
        required=False,
        help_text=_("By cold migration, which is confirmed by itself."),
    )
    target = forms.CharField(
        label=_("Target host"), max_length=255, required=False, help_text=_("Empty: Nova chooses.")
    )
    at_once = forms.IntegerField(label=_("Servers at a time"), min_value=1, max_value=1000)
    hosts_at_once = forms.IntegerField(
        label=_("Hosts at a time"), min_value=1, max_value=1000, initial=1, required=False
    )
    stop_on_failure = forms.BooleanField(
        label=_("Begin no other host after one has failed"), required=False, initial=True
    )

    def __init__(
        self,
        data: Any = None,
        *,
        plan: str,
        hosts: int = 1,
        initial: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            data,
            initial={"at_once": settings.MAINTENANCE_MOVES_PER_HOST} | (initial or {}),
            label_suffix="",
            use_required_attribute=False,  # the page can be checked again without a reason
        )
        if hosts < 2:
            del self.fields["hosts_at_once"], self.fields["stop_on_failure"]
        if plan == PlanName.EVACUATE:  # Nova rebuilds all of them
            del self.fields["move_stopped"]
        for name, field in self.fields.items():
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"id_{name}_helptext"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        begins: datetime.datetime = cleaned.get("starts_at") or timezone.now()
        if cleaned.get("until") and cleaned["until"] <= begins:
            self.add_error("until", _("It would end before it begins."))
        return cleaned

    def options(self) -> Options:
        """What has been chosen; what cannot be read is as if it had not been given."""
        chosen = getattr(self, "cleaned_data", {})
        given = {name: value for name, value in chosen.items() if value not in (None, "")}
        return Options(**given)
