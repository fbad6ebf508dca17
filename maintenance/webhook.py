"""Telling another system of every change of state: a POST of JSON to ``WEBHOOK_URL``, signed.

The message is written with the change and sent by the outbox, so it is sent again until it has
been taken (any 2xx), in order for each maintenance.  ``message_id`` tells a repeated one.
"""

import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from django.conf import settings

from audit import outbox
from audit.models import OutboxMessage
from audit.outbox import Message, Send, Transport, TransportUnusable

TRANSPORT = "webhook"
#: Seconds to wait for a connection, and for an answer.
TIMEOUT = (5, 10)


class NotTaken(Exception):
    """The receiver did not take the message."""


def messages(event: Mapping[str, Any]) -> list[Message]:
    """The message about an event; none where no webhook is configured."""
    return [Message(TRANSPORT, dict(event))] if settings.WEBHOOK_URL else []


def signature(timestamp: str, body: bytes) -> str:
    """The HMAC-SHA256 of ``timestamp``, a full stop and ``body``, with ``WEBHOOK_SECRET``."""
    key = settings.WEBHOOK_SECRET.encode()
    return hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@contextmanager
def connect() -> Iterator[Send]:
    """A session with the receiver."""
    url = settings.WEBHOOK_URL
    if urlsplit(url).scheme not in ("http", "https"):
        raise TransportUnusable("WEBHOOK_URL must begin with https:// or http://")
    with requests.Session() as session:

        def send(message: OutboxMessage) -> None:
            body, timestamp = orjson.dumps(message.payload), str(int(time.time()))
            answer = session.post(
                url,
                data=body,
                headers={
                    "Content-Type": "application/json",
                    "X-Portal-Timestamp": timestamp,
                    "X-Portal-Signature": f"sha256={signature(timestamp, body)}",
                },
                timeout=TIMEOUT,
                allow_redirects=False,
            )
            if not 200 <= answer.status_code < 300:
                raise NotTaken(f"the webhook answered {answer.status_code}")

        yield send


outbox.register(Transport(TRANSPORT, lambda: bool(settings.WEBHOOK_URL), connect, notifies=False))
