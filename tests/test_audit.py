"""The audit log: its entries, their immutability, and their export."""

import datetime
import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count

from audit import journal
from audit.admin import changes
from audit.journal import Actor
from audit.management.commands import export_audit
from audit.models import AppendOnly, Channel, Entry, Intent, OutboxMessage
from portal.console.html import DASH
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud

ACTOR = Actor("ann", Channel.COMMAND)
MISSING = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def service(cloud: Cloud) -> Service:
    return cloud.host("cell2", "cmp")[0]


def test_an_entry_records_who_did_what(cloud: Cloud, api: ApiClient, service: Service) -> None:
    body = {"status": "disabled", "disabled_reason": "fan"}
    answer = api.put(f"/os-services/{service.uuid}", body, "2.53")
    entry = Entry.objects.get()
    written = Service.objects.using(cloud.cell("cell2").alias).get().updated_at
    assert journal.as_dict(entry) == {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "username": "operator",
        "keystone_user_id": "",
        "keystone_project_id": "",
        "keystone_project": "",
        "channel": "api",
        "request_id": answer.headers["x-openstack-request-id"],
        "bulk_position": 0,
        "bulk_size": 0,
        "undoes": None,
        "remote_address": "127.0.0.1",
        "action": "disable",
        "outcome": "done",
        "message": "",
        "subject": "",
        "cell_uuid": cloud.cell("cell2").uuid,
        "cell_name": "cell2",
        "service_uuid": service.uuid,
        "service_id": service.id,
        "host": "cmp",
        "binary": "nova-compute",
        "before": {"status": "enabled", "disabled_reason": None, "forced_down": False},
        "after": {"status": "disabled", "disabled_reason": "fan", "forced_down": False},
    }
    assert written is not None
    assert abs(entry.at - written) <= datetime.timedelta(seconds=1)
    assert not Intent.objects.exists()


def test_refusals_are_recorded(cloud: Cloud, api: ApiClient, service: Service) -> None:
    cloud.add_instance("cell2", "cmp")
    member = api.as_user("bob", "member")
    member.put(f"/os-services/{service.uuid}", {"status": "enabled"}, "2.53")
    member.put("/os-services/disable", {"host": "cmp", "binary": "nova-compute"}, "2.1")
    member.delete("/os-services/7", "2.1")
    api.put(f"/os-services/{MISSING}", {"status": "enabled"}, "2.53")
    api.put(f"/os-services/{service.uuid}", {}, "2.53")
    api.delete(f"/os-services/{service.uuid}", "2.53")
    fields = ("username", "action", "outcome", "service_uuid", "host", "message")
    assert list(Entry.objects.order_by("id").values_list(*fields)) == [
        ("bob", "update", "refused", service.uuid, "", forbidden("update")),
        ("bob", "update", "refused", "", "cmp", forbidden("update")),
        ("bob", "delete", "refused", "", "", forbidden("delete")),
        (
            "operator",
            "enable",
            "refused",
            MISSING,
            "",
            f"Service {MISSING} could not be found.",
        ),
        (
            "operator",
            "update",
            "refused",
            service.uuid,
            "cmp",
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ),
        (
            "operator",
            "delete",
            "refused",
            service.uuid,
            "cmp",
            "Unable to delete compute service that is hosting instances. "
            "Migrate or delete the instances first.",
        ),
    ]
    assert Entry.objects.filter(after__isnull=True).count() == 6


def forbidden(rule: str) -> str:
    return f"Policy doesn't allow os_compute_api:os-services:{rule} to be performed."


def test_reads_are_not_recorded(api: ApiClient, service: Service) -> None:
    api.get("/os-services", "2.53")
    api.as_user("bob", "member").get("/os-services", "2.53")
    assert not Entry.objects.exists()


def test_entries_survive_the_service_and_the_user(
    cloud: Cloud, api: ApiClient, service: Service
) -> None:
    api.delete(f"/os-services/{service.uuid}", "2.53")
    Service.with_deleted.using(cloud.cell("cell2").alias).all().delete()
    User.objects.all().delete()
    entry = Entry.objects.get()
    assert (entry.username, entry.service_uuid, entry.host) == ("operator", service.uuid, "cmp")


def entry(**columns: Any) -> Entry:
    drafted = journal.draft(ACTOR, "disable", host="cmp")
    for name, value in columns.items():
        setattr(drafted, name, value)
    journal.refuse(drafted, "no")
    return drafted


@pytest.mark.usefixtures("db")
def test_entries_cannot_be_changed() -> None:
    recorded = entry()
    recorded.message = "yes"
    read = Entry.objects.get()
    read.message = "yes"
    for change in (
        recorded.save,
        read.save,
        recorded.delete,
        lambda: Entry.objects.update(message="yes"),
        lambda: Entry.objects.filter(id=recorded.id).delete(),
        lambda: Entry.objects.all().delete(),
        lambda: Entry.objects.bulk_update([read], ["message"]),
        lambda: Entry.objects.update_or_create({"message": "yes"}, id=recorded.id),
    ):
        with pytest.raises(AppendOnly):
            change()
    assert Entry.objects.get().message == "no"


def test_entries_contain_no_tokens_or_passwords(
    cloud: Cloud, api: ApiClient, service: Service
) -> None:
    user = User.objects.create_superuser("carl", password="pa55-word")
    basic = "Basic Y2FybDpwYTU1LXdvcmQ="
    api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
    anonymous = api.anonymous()
    answer = anonymous.put(
        f"/os-services/{service.uuid}", {"status": "enabled"}, "2.53", Authorization=basic
    )
    assert answer.status == 200
    anonymous.client.force_login(user)
    cloud.point("cell2", "postgresql://nova:pa55-word@127.0.0.1:1/nova_cell2")
    assert api.put(f"/os-services/{service.uuid}", {"status": "enabled"}, "2.53").status == 503
    everything = json.dumps([journal.as_dict(one) for one in Entry.objects.all()])
    assert Entry.objects.aggregate(count=Count("id"))["count"] == 3
    assert "pa55-word" not in everything
    assert "Y2FybDpwYTU1" not in everything
    assert api.token is not None
    assert api.token not in everything


@pytest.mark.usefixtures("db")
def test_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_audit, "BATCH_SIZE", 2)
    for day in (1, 2, 3):
        entry(at=datetime.datetime(2026, 5, day, 12, tzinfo=datetime.UTC), host=f"cmp-{day}é")

    def export(*arguments: str) -> list[str]:
        out = StringIO()
        call_command("export_audit", *arguments, stdout=out)
        return [json.loads(line)["host"] for line in out.getvalue().splitlines()]

    assert export() == ["cmp-1é", "cmp-2é", "cmp-3é"]
    assert export("--since", "2026-05-02") == ["cmp-2é", "cmp-3é"]
    assert export("--since", "2026-05-02T14:00:00+02:00") == ["cmp-2é", "cmp-3é"]
    assert export("--since", "2026-05-02T12:00:01") == ["cmp-3é"]
    assert export("--until", "2026-05-02") == ["cmp-1é"]
    for nonsense in ("yesterday", "2026-13-01"):
        with pytest.raises(CommandError, match=nonsense):
            export("--since", nonsense)


def test_pending_intents_and_messages_survive_the_upgrade(cloud: Cloud) -> None:
    """Intents and notifications from before ``audit.0002``."""
    notification = {"context": {}, "body": {"event_type": "service.update"}}
    latest = MigrationExecutor(connections["default"]).loader.graph.leaf_nodes("audit")
    state = MigrationExecutor(connections["default"]).migrate([("audit", "0001_initial")])
    old = state.apps
    try:
        old.get_model("audit", "Intent").objects.create(
            service="c:1", entry={"action": "disable"}, notification=notification
        )
        old.get_model("audit", "Intent").objects.create(service="c:2", entry={"action": "delete"})
        for id in (7, 9):
            old.get_model("audit", "Notification").objects.create(
                id=id, service="c:1", message=notification, sent_to=["topic"]
            )
    finally:
        MigrationExecutor(connections["default"]).migrate(latest)
    message = {"transport": "oslo.messaging", "payload": notification}
    fields = ("kind", "subject", "messages")
    intents = Intent.objects.order_by("id")
    assert list(intents.values_list(*fields)) == [
        ("service", "c:1", [message]),
        ("service", "c:2", []),
    ]
    waiting = OutboxMessage.objects.values_list("transport", "sequence", "payload", "sent_to")
    assert list(waiting) == [
        ("oslo.messaging", 7, notification, ["topic"]),
        ("oslo.messaging", 9, notification, ["topic"]),
    ]
    OutboxMessage.objects.create(
        transport="oslo.messaging", sequence=10, subject="c:1", payload=notification
    )


def test_a_text_from_right_to_left_turns_nothing_beside_it() -> None:
    before = {"disabled_reason": None, "forced_down": True}
    after = {"disabled_reason": "abc \u202edef", "forced_down": False}
    assert changes(Entry(before=before, after=after)) == (
        f"disabled_reason: {DASH} → \u2068abc \u202edef\u2069, forced_down: true → false"
    )
