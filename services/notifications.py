"""Telling the message bus about services, as Nova's versioned notifications do.

A notification is written down with its action (``audit.journal``) and delivered afterwards, so a
broker that is away neither fails nor delays anything.  Each is delivered with the id and the time
it was made with.  Delivery is in the order of the actions on a service, and once: only a process
that dies between the broker's confirmation and the deletion of the row leaves one that is sent
again, with the same ``message_id``.
"""

import datetime
import logging
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from oslo_context.context import RequestContext

from audit.journal import Actor
from audit.locks import held
from audit.models import Intent, OutboxMessage
from cells.database_urls import without_password
from services.models import Service

logger = logging.getLogger(__name__)

EXCHANGE = "nova"
PRIORITY = "INFO"
#: The version of oslo.messaging's envelope that Nova uses: the message as JSON in a message.
ENVELOPE = 2.0

#: Longer than a broker that does not answer can keep a delivery busy.
LEASE = datetime.timedelta(minutes=3)

_work = threading.Event()


def wake() -> None:
    """There is something to deliver: the courier of this process need not wait any longer."""
    _work.set()


def wait_for_work(seconds: float) -> None:
    """Return when there is something to deliver, or after ``seconds``."""
    _work.wait(seconds)
    _work.clear()


def message(actor: Actor, service: Service, action: str) -> dict[str, Any] | None:
    """The notification that ``actor`` did ``action`` (update, delete) to the service as it is now.

    ``None`` when notifications are off.
    """
    if not settings.NOTIFICATION_TRANSPORT_URL:
        return None
    source = "nova-api" if service.binary == "nova-osapi_compute" else service.binary
    return {
        "context": _context(actor),
        "body": {
            "message_id": str(uuid.uuid4()),
            "publisher_id": f"{source}:{service.host}",
            "event_type": f"service.{action}",
            "priority": PRIORITY,
            "payload": status_payload(service),
            "timestamp": str(timezone.now().replace(tzinfo=None)),
        },
    }


def status_payload(service: Service) -> dict[str, Any]:
    """Nova's ``ServiceStatusPayload`` 1.1.  The zone is always null there, as in Nova."""
    seen = service.last_seen_up
    return {
        "nova_object.name": "ServiceStatusPayload",
        "nova_object.namespace": "nova",
        "nova_object.version": "1.1",
        "nova_object.data": {
            "host": service.host,
            "binary": service.binary,
            "topic": service.topic,
            "report_count": service.report_count,
            "disabled": bool(service.disabled),
            "disabled_reason": service.disabled_reason,
            "availability_zone": None,
            "last_seen_up": None if seen is None else seen.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "forced_down": bool(service.forced_down),
            "version": service.version,
            "uuid": service.uuid,
        },
    }


def _context(actor: Actor) -> dict[str, Any]:
    """The request's context with the fields that Nova's has; never a token."""
    context = RequestContext(
        user_id=actor.user_id,
        project_id=actor.project_id,
        roles=list(actor.roles),
        is_admin=True,
        request_id=actor.request_id or None,
        overwrite=False,
    ).to_dict()
    return {
        **context,
        "user_id": actor.user_id,
        "user_name": actor.username,
        "project_name": None,
        "read_deleted": "no",
        "remote_address": None,
        "timestamp": timezone.now().replace(tzinfo=None).isoformat(),
        "quota_class": None,
        "service_catalog": [],
    }


# --- delivery ---------------------------------------------------------------------------------

Send = Callable[[str, dict[str, Any]], None]


class NoTransport(Exception):
    """The configured transport cannot be used, whatever the broker does."""


@dataclass
class Delivery:
    """What a round of delivering came to.  ``busy``: another process is at it."""

    delivered: int = 0
    left: int = 0
    error: str = ""
    busy: bool = False


def deliver() -> Delivery:
    """Deliver what there is to deliver, oldest first, until the broker fails.

    One process at a time does so; others return at once.
    """
    result = Delivery()
    if settings.NOTIFICATION_TRANSPORT_URL and OutboxMessage.objects.exists():
        with held("notifications", LEASE) as renew:
            if renew is None:
                result.busy = True
            else:
                try:
                    _drain(result, renew)
                except NoTransport as error:
                    result.error = str(error)
                    logger.warning("notifications not delivered: %s", error)
    result.left = OutboxMessage.objects.count()
    return result


def _drain(result: Delivery, renew: Callable[[], bool]) -> None:
    with _broker() as send:
        pk = 0
        while (notification := OutboxMessage.objects.filter(id__gt=pk).first()) is not None:
            pk = notification.pk
            if Intent.objects.filter(service=notification.service, id__lt=pk).exists():
                continue  # an earlier action on the service has yet to end
            if not renew():
                result.busy = True
                return
            try:
                _send(notification, send)
            except Exception as error:  # whatever a driver raises, the broker did not take it
                result.error = without_password(str(error)) or type(error).__name__
                logger.warning("notification not delivered: %s", result.error)
                OutboxMessage.objects.filter(pk=pk).update(
                    attempts=F("attempts") + 1, last_error=result.error
                )
                return
            notification.delete()
            result.delivered += 1


def _send(notification: OutboxMessage, send: Send) -> None:
    """Send it to every topic that has not had it yet."""
    for topic in settings.NOTIFICATION_TOPICS:
        if topic not in notification.sent_to:
            send(topic, notification.message)
            notification.sent_to.append(topic)
            notification.save(update_fields=["sent_to"])


@contextmanager
def _broker() -> Iterator[Send]:
    """A connection to the configured broker; the function sends and raises when it cannot.

    oslo.messaging's own notifier logs a failure and goes on, which would lose the notification;
    so the transport is used as its driver uses it.
    """
    warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")  # it is not used here
    import oslo_messaging  # takes a second, and most portals notify nobody
    from oslo_config import cfg

    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[], use_env=False)
    try:
        transport = oslo_messaging.get_notification_transport(
            conf, url=settings.NOTIFICATION_TRANSPORT_URL
        )
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure) as error:
        raise NoTransport(f"NOTIFICATION_TRANSPORT_URL: {without_password(str(error))}") from None

    def send(topic: str, message: dict[str, Any]) -> None:
        target = oslo_messaging.Target(exchange=EXCHANGE, topic=f"{topic}.{PRIORITY.lower()}")
        # The driver adds to what it is given, so it gets copies.
        transport._send_notification(
            target, dict(message["context"]), dict(message["body"]), version=ENVELOPE, retry=0
        )

    try:
        yield send
    finally:
        transport.cleanup()
