"""``manage.py send_notifications``: send what is waiting to be sent."""

from typing import Any

from django.core.management.base import CommandError

from audit.journal import settle_interrupted
from audit.outbox import deliver, enabled_transports
from cells.management.base import Documented


class Command(Documented):
    help = (
        "Sends the notifications that are waiting, oldest first, after settling actions that "
        "were interrupted. A serving portal does both by itself."
    )
    examples = ("send_notifications",)
    exit_codes = {1: "some are left"}

    def handle(self, *args: Any, **options: Any) -> None:
        settled = settle_interrupted()
        if settled:
            self.stdout.write(f"{settled} interrupted actions settled")
        if not enabled_transports():
            self.stdout.write("NOTIFICATION_TRANSPORT_URL is not set: notifications are off")
            return
        delivery = deliver()
        self.stdout.write(f"{delivery.delivered} delivered, {delivery.left} left")
        if delivery.left:
            reason = delivery.error or (
                "another process is sending them"
                if delivery.busy
                else "they wait for actions that have not ended"
            )
            raise CommandError(reason)
