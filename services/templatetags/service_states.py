"""States of services in templates."""

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from services.badges import state_badge, status_badge
from services.models import Service

register = template.Library()

register.simple_tag(status_badge, name="service_status")


@register.simple_tag
def service_state(service: Service) -> SafeString:
    """Up or down as of now."""
    return state_badge(service, timezone.now())
