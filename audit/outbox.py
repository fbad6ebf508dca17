"""The transactional outbox: messages about actions, sent after the actions have been recorded.

A message is written in the transaction that puts its action on record (``audit.journal``), and
sent afterwards, so that a broker that is down neither fails nor delays an action.  Messages of
one transport about one subject are sent in the order of the actions.  Each is sent at least once:
a process that dies after the broker has taken a message, and before the row is deleted, leaves a
message that will be sent again.  Payloads should therefore carry an id of their own.

A way of sending messages is a ``Transport``, declared with ``register`` by the app it belongs to.
"""

import datetime
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from audit.locks import held
from audit.models import Intent, OutboxMessage
from cells.database_urls import without_password

logger = logging.getLogger(__name__)

#: How long one message may take before another process may try: longer than any driver waits.
LOCKED_FOR = datetime.timedelta(minutes=3)

#: Sends one message; any exception means that it was not taken.
Send = Callable[[OutboxMessage], None]


class TransportUnusable(Exception):
    """The transport cannot be used as it is configured; trying again will not help."""


@dataclass(frozen=True)
class Transport:
    """A way of sending messages.

    ``is_enabled`` says whether it is configured, ``connect`` opens a connection for a round of
    messages; it may raise ``TransportUnusable``.  One that ``notifies`` gets a notification of
    every action; another only gets the messages that are made for it.
    """

    name: str
    is_enabled: Callable[[], bool]
    connect: Callable[[], AbstractContextManager[Send]]
    notifies: bool = True


_transports: dict[str, Transport] = {}


def register(transport: Transport) -> None:
    """Make a transport known."""
    _transports[transport.name] = transport


def enabled_transports() -> list[Transport]:
    """The transports that are configured."""
    return [transport for transport in _transports.values() if transport.is_enabled()]


@dataclass(frozen=True)
class Message:
    """What to send, and by which transport."""

    transport: str
    payload: dict[str, Any]


# --- delivery ---------------------------------------------------------------------------------


@dataclass
class Delivery:
    """The result of a round: messages sent, messages left, and why some are.

    ``busy`` is set when another process was sending.
    """

    delivered: int = 0
    left: int = 0
    error: str = ""
    busy: bool = False


def deliver(should_stop: Callable[[], bool] = lambda: False) -> Delivery:
    """Send what is waiting, oldest first; each transport until its broker fails.

    One process at a time sends the messages of a transport; others return at once.
    ``should_stop`` is asked before each message.
    """
    result = Delivery()
    for transport in enabled_transports():
        waiting = OutboxMessage.objects.filter(transport=transport.name)
        if waiting.exists():
            with held(f"outbox:{transport.name}", LOCKED_FOR) as renew:
                if renew is None:
                    result.busy = True
                else:
                    _deliver_by(transport, lambda: not should_stop() and renew(), result)
    result.left = OutboxMessage.objects.count()
    return result


def _deliver_by(transport: Transport, go_on: Callable[[], bool], result: Delivery) -> None:
    waiting = OutboxMessage.objects.filter(transport=transport.name)
    try:
        with transport.connect() as send:
            sequence = 0
            while (message := waiting.filter(sequence__gt=sequence).first()) is not None:
                sequence = message.sequence
                if Intent.objects.filter(subject=message.subject, id__lt=sequence).exists():
                    continue  # an earlier action on the subject has not ended yet
                if not go_on():
                    result.busy = True
                    return
                if not _sent(message, send, result):
                    return
    except TransportUnusable as error:
        result.error = str(error)
        logger.warning("messages for %s were not sent: %s", transport.name, error)


def _sent(message: OutboxMessage, send: Send, result: Delivery) -> bool:
    try:
        send(message)
    except Exception as error:  # drivers raise what they like, and it all means "not taken"
        result.error = without_password(str(error)) or type(error).__name__
        logger.warning("%s was not sent: %s", message, result.error)
        OutboxMessage.objects.filter(pk=message.pk).update(
            attempts=F("attempts") + 1, last_error=result.error
        )
        return False
    message.delete()
    result.delivered += 1
    return True


# --- waking the worker ------------------------------------------------------------------------

_work = threading.Event()


def wake() -> None:
    """Let the worker of this process look for messages now."""
    _work.set()


def wait_for_work(seconds: float) -> None:
    """Return when there is something to send, after ``seconds`` at the latest."""
    _work.wait(seconds)
    _work.clear()
