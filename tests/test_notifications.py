"""Notifications: their form, and that each is delivered once, in order, whenever the broker can."""

import datetime
import json
import secrets
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import kombu
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from oslo_messaging._drivers.impl_fake import FakeExchangeManager
from pytest_django import Settings

from audit import journal, outbox, worker
from audit.journal import Actor
from audit.locks import held
from audit.models import Channel, Entry, Intent, Lock, OutboxMessage
from services import actions, notifications
from services.actions import ServiceRef
from services.changes import KIND, state_of, subject_of
from services.models import Service
from tests.clouds import Cloud
from tests.servers import free_port, serve, started

SAMPLE = Path(__file__).parent / "notification_samples" / "service.update.json"
RABBIT = "rabbit://guest:guest@127.0.0.1:5672/"
ACTOR = Actor("ann", Channel.API, request_id="req-1", user_id="7", roles=("admin",))


def rabbit_answers() -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", 5672)) == 0


class Rabbit:
    """A topic of its own on a real RabbitMQ, and what was consumed from it."""

    url = RABBIT

    def __init__(self) -> None:
        self.topic = f"portal_test_{secrets.token_hex(4)}"
        self.connection = kombu.Connection("amqp://guest:guest@127.0.0.1:5672//")
        exchange = kombu.Exchange("nova", type="topic", durable=False)
        name = f"{self.topic}.info"
        self.queue = kombu.Queue(name, exchange, routing_key=name, durable=False)(self.connection)
        self.queue.declare()

    def receive(self) -> list[Any]:
        messages = []
        while (message := self.queue.get(no_ack=True)) is not None:
            messages.append(message)
        return messages

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(one.payload["oslo.message"]) for one in self.receive()]

    def close(self) -> None:
        self.queue.delete()
        self.connection.close()


class InMemory:
    """oslo.messaging's own in-memory driver."""

    url = "fake:///"

    def __init__(self) -> None:
        self.topic = f"portal_test_{secrets.token_hex(4)}"

    def bodies(self) -> list[dict[str, Any]]:
        queues = FakeExchangeManager("nova").get_exchange("nova")._topic_queues
        waiting = queues.get((f"{self.topic}.info", None), [])
        taken = [{**context, **body} for context, body, *_ in waiting]
        waiting.clear()
        return taken

    def close(self) -> None:
        self.bodies()


Broker = Rabbit | InMemory


@pytest.fixture(params=[Rabbit, InMemory], ids=["rabbit", "in-memory"])
def broker(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    if request.param is Rabbit and not rabbit_answers():
        pytest.skip("no RabbitMQ at 127.0.0.1:5672")
    if request.param is InMemory:
        # It forgets its messages when a connection is closed, as no broker does.
        monkeypatch.setattr(FakeExchangeManager, "cleanup", classmethod(lambda cls: None))
    broker: Broker = request.param()
    settings.NOTIFICATION_TRANSPORT_URL = broker.url
    settings.NOTIFICATION_TOPICS = [broker.topic]
    yield broker
    broker.close()


@pytest.fixture
def service(cloud: Cloud) -> Service:
    columns = {
        "report_count": 3,
        "last_seen_up": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC),
    }
    return cloud.host("cell2", "cmp", service=columns)[0]


@pytest.fixture
def ref(service: Service) -> ServiceRef:
    return ServiceRef(uuid=service.uuid or "")


def test_message_equals_novas_own_field_for_field(
    broker: Broker, service: Service, ref: ServiceRef
) -> None:
    if not isinstance(broker, Rabbit):
        pytest.skip("the envelope is RabbitMQ's")
    actions.disable(ref, ACTOR, "fan")
    assert outbox.deliver().delivered == 1
    [message] = broker.receive()
    sample = json.loads(SAMPLE.read_text())

    def properties(raw: dict[str, Any]) -> dict[str, str]:
        return {key: str(value) for key, value in raw.items()}

    assert message.content_type == sample["content_type"]
    assert message.headers == sample["headers"]
    assert properties(message.properties) == sample["properties"]
    assert message.delivery_info["exchange"] == sample["delivery"]["exchange"]
    assert message.delivery_info["routing_key"] == f"{broker.topic}.info"
    assert message.payload.keys() == sample["body"].keys()
    assert message.payload["oslo.version"] == sample["body"]["oslo.version"]

    ours = json.loads(message.payload["oslo.message"])
    novas = json.loads(sample["body"]["oslo.message"])
    assert ours.keys() == novas.keys()
    for key in ("priority", "event_type"):
        assert ours[key] == novas[key]
    payload, expected = ours["payload"], novas["payload"]
    data, expected_data = payload.pop("nova_object.data"), expected.pop("nova_object.data")
    assert payload == expected
    assert {key: type(value) for key, value in data.items()} == {
        key: type(value) for key, value in expected_data.items()
    }
    context = [key for key in novas if key.startswith("_context_")]
    texts = {"_context_user", "_context_user_id", "_context_user_name"}
    for key in context:
        # The portal has no projects and no domains; what it has is of the same type.
        assert type(ours[key]) in (type(novas[key]), type(None)), key
        assert ours[key] is not None or key not in texts
    assert ours["_context_auth_token"] is None


def test_values(broker: Broker, service: Service, ref: ServiceRef) -> None:
    actions.disable(ref, ACTOR, "fan")
    actions.delete(ref, ACTOR)
    outbox.deliver()
    update, delete = broker.bodies()
    data = {
        "host": "cmp",
        "binary": "nova-compute",
        "topic": "compute",
        "report_count": 3,
        "disabled": True,
        "disabled_reason": "fan",
        "availability_zone": None,
        "last_seen_up": "2026-01-02T03:04:05Z",
        "forced_down": False,
        "version": 70,
        "uuid": service.uuid,
    }
    for event, message in (("service.update", update), ("service.delete", delete)):
        assert message["event_type"] == event
        assert message["publisher_id"] == "nova-compute:cmp"
        assert message["payload"]["nova_object.name"] == "ServiceStatusPayload"
        assert message["payload"]["nova_object.version"] == "1.1"
        assert message["payload"]["nova_object.data"] == data
    assert not OutboxMessage.objects.exists()


def test_every_accepted_update_is_notified_and_no_refused_one(
    broker: Broker, ref: ServiceRef
) -> None:
    """As in Nova, one that changes nothing is, too."""
    actions.enable(ref, ACTOR)
    with pytest.raises(actions.Invalid):
        actions.update(ref, actions.Change(), ACTOR)
    outbox.deliver()
    assert [one["event_type"] for one in broker.bodies()] == ["service.update"]


def test_other_binaries_publish_under_their_own_names(broker: Broker, cloud: Cloud) -> None:
    for binary in ("nova-conductor", "nova-osapi_compute"):
        service = cloud.add_service("cell1", "ctl", binary=binary)
        actions.delete(ServiceRef(uuid=service.uuid or ""), ACTOR)
    outbox.deliver()
    assert [one["publisher_id"] for one in broker.bodies()] == [
        "nova-conductor:ctl",
        "nova-api:ctl",
    ]


def test_off_by_default(ref: ServiceRef) -> None:
    actions.disable(ref, ACTOR)
    assert not OutboxMessage.objects.exists()
    out = StringIO()
    call_command("send_notifications", stdout=out)
    assert "notifications are off" in out.getvalue()


def test_broker_that_is_down_neither_fails_nor_loses(
    broker: Broker, ref: ServiceRef, settings: Settings
) -> None:
    settings.NOTIFICATION_TRANSPORT_URL = f"rabbit://guest:secret@127.0.0.1:{free_port()}/"
    for number in range(5):
        actions.disable(ref, ACTOR, f"reason {number}")
    delivery = outbox.deliver()
    assert (delivery.delivered, delivery.left) == (0, 5)
    assert delivery.error
    first = OutboxMessage.objects.order_by("id")[0]
    assert first.attempts == 1
    assert "secret" not in first.last_error
    with pytest.raises(CommandError):
        call_command("send_notifications", stdout=StringIO())

    settings.NOTIFICATION_TRANSPORT_URL = broker.url
    out = StringIO()
    call_command("send_notifications", stdout=out)
    assert out.getvalue() == "5 delivered, 0 left\n"
    reasons = [one["payload"]["nova_object.data"]["disabled_reason"] for one in broker.bodies()]
    assert reasons == [f"reason {number}" for number in range(5)]


@pytest.mark.parametrize("url", ["nowhere", "carrier-pigeon://nova:secret@127.0.0.1/"])
def test_a_transport_that_there_is_none_of(ref: ServiceRef, settings: Settings, url: str) -> None:
    settings.NOTIFICATION_TRANSPORT_URL = url
    actions.disable(ref, ACTOR)
    delivery = outbox.deliver()
    assert delivery.left == 1
    assert delivery.error.startswith("NOTIFICATION_TRANSPORT_URL: ")
    assert "secret" not in delivery.error


def test_a_topic_that_had_it_does_not_get_it_again(
    broker: Broker, ref: ServiceRef, settings: Settings
) -> None:
    settings.NOTIFICATION_TOPICS = [broker.topic, "second"]
    actions.disable(ref, ACTOR)
    OutboxMessage.objects.update(sent_to=[broker.topic])
    assert outbox.deliver().delivered == 1
    assert broker.bodies() == []


def test_several_deliverers_send_each_once_and_in_order(broker: Broker, ref: ServiceRef) -> None:
    for number in range(30):
        actions.disable(ref, ACTOR, str(number))

    def run() -> None:
        try:
            outbox.deliver()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not OutboxMessage.objects.exists()
    reasons = [one["payload"]["nova_object.data"]["disabled_reason"] for one in broker.bodies()]
    assert reasons == [str(number) for number in range(30)]


def test_a_lock_ends_with_its_holder_or_its_time(cloud: Cloud) -> None:
    hour = datetime.timedelta(hours=1)
    with held("work", hour) as renew:
        assert renew is not None
        with held("work", hour) as other:
            assert other is None
        Lock.objects.update(until=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))
        with held("work", hour) as heir:
            assert heir is not None
            assert not renew()
    with held("work", hour) as renew:
        assert renew is not None


def test_a_later_notification_waits_for_an_earlier_action_on_the_service(
    broker: Broker, cloud: Cloud, service: Service, ref: ServiceRef
) -> None:
    entry = journal.draft(ACTOR, "disable", host="cmp")
    entry.cell_uuid, entry.service_id = cloud.cell("cell2").uuid, service.id
    earlier = journal.begin(entry, KIND, subject_of(cloud.cell("cell2"), service))
    actions.disable(ref, ACTOR)
    other = cloud.host("cell1", "other")[0]
    actions.disable(ServiceRef(uuid=other.uuid or ""), ACTOR)
    assert outbox.deliver().delivered == 1
    assert [one["publisher_id"] for one in broker.bodies()] == ["nova-compute:other"]
    Intent.objects.filter(id=earlier.id).delete()
    assert outbox.deliver().delivered == 1


def test_an_interrupted_action_is_notified_once_it_is_settled(
    broker: Broker, cloud: Cloud, service: Service
) -> None:
    alias = cloud.cell("cell2").alias
    entry = journal.draft(ACTOR, "disable", host="cmp")
    entry.cell_uuid, entry.service_id = cloud.cell("cell2").uuid, service.id
    service.disabled = True
    entry.after = state_of(service)
    messages = notifications.messages(ACTOR, service, "update")
    journal.begin(entry, KIND, subject_of(cloud.cell("cell2"), service), messages)
    Service.objects.using(alias).update(disabled=True)
    Intent.objects.update(begun_at=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))
    worker.run_once()
    [message] = broker.bodies()
    assert message["payload"]["nova_object.data"]["disabled"] is True
    assert Entry.objects.get().outcome == "done"


def environment_of(cloud: Cloud, broker: Broker, folder: Path) -> dict[str, str]:
    """The settings of a portal in another process, which notifies the broker."""
    return {
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "VAR_DIR": str(folder),
        "NOTIFICATION_TRANSPORT_URL": broker.url,
        "NOTIFICATION_TOPICS": broker.topic,
        "CELL_DEADLINE": "10",
    }


def wait_until_sent() -> None:
    until = time.monotonic() + 60
    while OutboxMessage.objects.exists() and time.monotonic() < until:
        time.sleep(0.1)


def test_a_worker_delivers_without_any_request(
    broker: Broker, cloud: Cloud, ref: ServiceRef, tmp_path: Path
) -> None:
    """What an earlier process has left is sent as soon as the portal is started."""
    if not isinstance(broker, Rabbit):
        pytest.skip("another process cannot be asked for what it has in memory")
    actions.disable(ref, ACTOR, "fan")
    with started(environment_of(cloud, broker, tmp_path), tmp_path / "log"):
        wait_until_sent()
    [body] = broker.bodies()
    assert body["payload"]["nova_object.data"]["disabled_reason"] == "fan"
    assert {lock.holder for lock in Lock.objects.all()} == {""}


def test_another_transport_is_one_declaration(
    broker: Broker, ref: ServiceRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transport gets everything in order, and none waits for another that is down."""
    received: list[str] = []

    @contextmanager
    def connect() -> Iterator[outbox.Send]:
        yield lambda message: received.append(message.payload["body"]["event_type"])

    monkeypatch.setattr(outbox, "_transports", dict(outbox._transports))
    outbox.register(outbox.Transport("list", lambda: True, connect))
    actions.disable(ref, ACTOR)
    actions.delete(ref, ACTOR)
    with monkeypatch.context() as patch:
        patch.setattr("django.conf.settings.NOTIFICATION_TRANSPORT_URL", "nowhere")
        delivery = outbox.deliver()
    assert (delivery.delivered, delivery.left) == (2, 2)
    assert delivery.error.startswith("NOTIFICATION_TRANSPORT_URL: ")
    assert received == ["service.update", "service.delete"]
    assert outbox.deliver().delivered == 2
    assert [one["event_type"] for one in broker.bodies()] == received


def test_the_running_portal_delivers_by_itself(
    broker: Broker, cloud: Cloud, service: Service, admin_token: str, tmp_path: Path
) -> None:
    """Two workers, each with its outbox thread: what they are asked to do is notified once."""
    if not isinstance(broker, Rabbit):
        pytest.skip("another process cannot be asked for what it has in memory")
    environment = environment_of(cloud, broker, tmp_path)
    with serve(environment, tmp_path / "log", "--workers", "2") as portal:
        for number in range(20):
            body = {"status": "disabled", "disabled_reason": str(number)}
            request = urllib.request.Request(  # noqa: S310
                f"{portal.compute_url}/os-services/{service.uuid}",
                json.dumps(body).encode(),
                {
                    "X-Auth-Token": admin_token,
                    "OpenStack-API-Version": "compute 2.53",
                    "Content-Type": "application/json",
                },
                method="PUT",
            )
            urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
        wait_until_sent()
    bodies = broker.bodies()
    reasons = [one["payload"]["nova_object.data"]["disabled_reason"] for one in bodies]
    assert reasons == [str(number) for number in range(20)]
