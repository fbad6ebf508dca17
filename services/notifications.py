"""Nova's versioned notifications about services, and the message bus that takes them.

A notification is written down with its action (``audit.journal``) and sent afterwards, with the
id and the time it was made with (``audit.outbox``).
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.utils import timezone
from oslo_config import cfg
from oslo_context.context import RequestContext

from audit import outbox
from audit.journal import Actor
from audit.models import OutboxMessage
from audit.outbox import Message, Send, Transport, TransportUnusable
from cells.database_urls import without_password
from cloud.messaging import oslo_messaging
from services.models import Service

PRIORITY = "INFO"


def messages(actor: Actor, service: Service, event: str) -> list[Message]:
    """The notification of an ``event`` (``update``, ``delete``), for each enabled transport."""
    transports = [each for each in outbox.enabled_transports() if each.notifies]
    if not transports:
        return []
    payload = notification(actor, service, event)
    return [Message(transport.name, payload) for transport in transports]


def notification(actor: Actor, service: Service, event: str) -> dict[str, Any]:
    """Context and body of the notification that ``actor`` did this to the service as it is now."""
    source = "nova-api" if service.binary == "nova-osapi_compute" else service.binary
    return {
        "context": _context(actor),
        "body": {
            "message_id": str(uuid.uuid4()),
            "publisher_id": f"{source}:{service.host}",
            "event_type": f"service.{event}",
            "priority": PRIORITY,
            "payload": status_payload(service),
            "timestamp": str(timezone.now().replace(tzinfo=None)),
        },
    }


def status_payload(service: Service) -> dict[str, Any]:
    """Nova's ``ServiceStatusPayload`` 1.1.  The zone is always null there, as in Nova."""
    last_seen_up = service.last_seen_up
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
            "last_seen_up": last_seen_up and last_seen_up.strftime("%Y-%m-%dT%H:%M:%SZ"),
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


# --- the message bus --------------------------------------------------------------------------

EXCHANGE = "nova"
#: The version of oslo.messaging's envelope that Nova uses: the message as JSON in a message.
ENVELOPE = 2.0


@contextmanager
def message_bus() -> Iterator[Send]:
    """A connection to ``NOTIFICATION_TRANSPORT_URL``, to send to ``NOTIFICATION_TOPICS``.

    oslo.messaging's own notifier logs a failure and goes on, which would lose the notification;
    so the transport is used in the way that oslo.messaging's drivers for notifiers use it.
    """
    library = oslo_messaging()  # imported here: most portals notify nobody
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[], use_env=False)
    try:
        transport = library.get_notification_transport(
            conf, url=settings.NOTIFICATION_TRANSPORT_URL
        )
    except (library.InvalidTransportURL, library.DriverLoadFailure) as error:
        text = f"NOTIFICATION_TRANSPORT_URL: {without_password(str(error))}"
        raise TransportUnusable(text) from None

    def send(message: OutboxMessage) -> None:
        """Send it to every topic that has not had it yet."""
        for topic in settings.NOTIFICATION_TOPICS:
            if topic in message.sent_to:
                continue
            target = library.Target(exchange=EXCHANGE, topic=f"{topic}.{PRIORITY.lower()}")
            # The driver adds to what it is given, so it gets copies.
            context, body = dict(message.payload["context"]), dict(message.payload["body"])
            transport._send_notification(target, context, body, version=ENVELOPE, retry=0)
            message.sent_to.append(topic)
            message.save(update_fields=["sent_to"])

    try:
        yield send
    finally:
        transport.cleanup()


outbox.register(
    Transport("oslo.messaging", lambda: bool(settings.NOTIFICATION_TRANSPORT_URL), message_bus)
)
