"""``manage.py send_notifications``: deliver what is waiting to be delivered."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from services.actions import settle_interrupted
from services.notifications import deliver


class Command(BaseCommand):
    help = (
        "Delivers the notifications that are waiting, oldest first, after settling actions that "
        "were interrupted. A running portal does both by itself. Exit code 1 when some are left."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        settled = settle_interrupted()
        if settled:
            self.stdout.write(f"{settled} interrupted actions settled")
        if not settings.NOTIFICATION_TRANSPORT_URL:
            self.stdout.write("NOTIFICATION_TRANSPORT_URL is not set: notifications are off")
            return
        delivery = deliver()
        self.stdout.write(f"{delivery.delivered} delivered, {delivery.left} left")
        if delivery.left:
            why = delivery.error or (
                "another process is delivering"
                if delivery.busy
                else "they wait for actions that have not ended"
            )
            raise CommandError(why)
