"""The timeline of a host, and the notes that people leave there."""

import datetime
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from audit.models import Note
from cells.registry import Cell
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud

NOTES = "/admin/notes/"


@pytest.fixture
def console(cloud: Cloud) -> Client:
    """A logged-in administrator's client."""
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def page(client: Client, path: str) -> str:
    response = client.get(f"/admin/{path}/")
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def timeline(client: Client, path: str) -> str:
    """The text of the timeline of a row's page, without tags."""
    section = page(client, path).partition('id="history"')[2].partition("</section>")[0]
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", section))


def leave(client: Client, cloud: Cloud, host: str, text: str, **fields: str) -> str:
    """Leave a note at a host of cell1; returns the page of the hypervisors afterwards."""
    form = {"host": host, "cell": cloud.cell("cell1").uuid, "text": text, **fields}
    back = "/admin/hypervisors/computenode/"
    response = client.post(NOTES, {"back": back, **form}, follow=True)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def test_what_happened_to_a_host_is_in_one_line_of_time(
    cloud: Cloud, console: Client, api: ApiClient
) -> None:
    hours = {n: timezone.now() - datetime.timedelta(hours=n) for n in range(1, 9)}
    service, node = cloud.host("cell1", "cmp-1", service={"last_seen_up": hours[3]})
    cloud.host("cell2", "cmp-2")
    moved = {"instance_uuid": "i-1", "migration_type": "evacuation", "status": "done"}
    cloud.add_migration("cell1", "cmp-1", dest_compute="cmp-3", updated_at=hours[1], **moved)
    came = {"instance_uuid": "i-2", "status": "error"}
    cloud.add_migration("cell1", "cmp-0", dest_compute="cmp-1", updated_at=hours[5], **came)
    cloud.add_migration("cell2", "cmp-1", instance_uuid="i-elsewhere")
    body = {"status": "disabled", "disabled_reason": "dead disk"}
    assert api.put(f"/os-services/{service.uuid}", body, "2.53").status == 200
    leave(console, cloud, "cmp-1", "waits for a disk", ticket="https://tickets.example/7")
    for path in (f"hypervisors/computenode/{node.uuid}", f"services/service/{service.uuid}"):
        shown = timeline(console, path)
        parts = (
            "note ann waits for a disk ticket",
            "disable nova-compute operator “dead disk” Undo…",
            "evacuation i-1 from cmp-1 to cmp-3: done",
            "last heartbeat nova-compute",
            "live-migration i-2 from cmp-0 to cmp-1: error",
        )
        places = [shown.find(part) for part in parts]
        assert -1 not in places, (path, shown)
        assert places == sorted(places), path
        assert "i-elsewhere" not in shown
    assert "tickets.example" in page(console, f"hypervisors/computenode/{node.uuid}")


def test_a_note_stands_beside_the_status_until_it_is_cleared(cloud: Cloud, console: Client) -> None:
    service, node = cloud.host("cell1", "cmp-1")
    cloud.add_service("cell2", "cmp-1")  # another host of that name
    tomorrow = (timezone.now() + datetime.timedelta(days=1)).date().isoformat()
    assert "The note was left" in leave(console, cloud, "cmp-1", "first")
    html = leave(console, cloud, "cmp-1", "new fan", back_on=tomorrow, ticket="tickets.example/8")
    assert f"back on {tomorrow}" in html
    assert 'href="https://tickets.example/8"' in html
    pages = (
        "hypervisors/computenode",
        "services/service",
        f"hypervisors/computenode/{node.uuid}",
        f"services/service/{service.uuid}",
    )
    for path in pages:
        assert page(console, path).count('class="reason note">new fan') == 1, path
    note = Note.objects.get(text="new fan")
    for one in (note, Note.objects.get(text="first")):
        assert console.post(f"{NOTES}{one.pk}/clear/").status_code == 302
    for path in pages:
        assert 'class="reason note">' not in page(console, path), path
    assert "note cleared ann new fan" in timeline(console, pages[-1])
    note.refresh_from_db()
    assert (note.text, note.cleared_by) == ("new fan", "ann")
    yesterday = (timezone.now() - datetime.timedelta(days=1)).date().isoformat()
    assert f"was to be back on {yesterday}" in leave(
        console, cloud, "cmp-1", "late", back_on=yesterday
    )


@pytest.mark.any_engine
def test_notes_are_checked(cloud: Cloud, console: Client) -> None:
    cloud.host("cell1", "cmp-1")
    assert "This field is required." in leave(console, cloud, "cmp-1", " ")
    assert "Enter a valid date" in leave(console, cloud, "cmp-1", "x", back_on="soon")
    wrong = leave(console, cloud, "cmp-1", "written with care", ticket="javascript:alert(1)")
    assert "Enter a valid URL" in wrong
    assert 'value="written with care"' in wrong
    text = "long " * 120 + "end"
    long = leave(console, cloud, "cmp-1", text)
    assert f"at most 500 characters (it has {len(text)})" in long
    assert f'value="{text}"' in long
    assert not re.search('id="note-[^>]*maxlength', long)  # it would be cut off unseen
    assert not re.search('maxlength[^>]*id="note-', long)
    assert 'name="back" value="/admin/hypervisors/computenode/"' in wrong
    for host, cell in (("", cloud.cell("cell1").uuid), ("cmp-1", "nowhere")):
        assert console.post(NOTES, {"host": host, "cell": cell, "text": "x"}).status_code == 400
    form = {"host": "cmp-1", "cell": cloud.cell("cell1").uuid, "text": "x"}
    away = console.post(NOTES, {**form, "back": "https://evil.example/"})
    assert away["Location"] == "/admin/"
    assert Note.objects.count() == 1
    bob = User.objects.create_user("bob", is_staff=True)
    client = Client()
    client.force_login(bob)
    note = Note.objects.get()
    assert client.post(NOTES, form).status_code == 403
    assert client.post(f"{NOTES}{note.pk}/clear/").status_code == 403
    codenames = ("view_service", "view_computenode")
    bob.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    service = Service.objects.using(cloud.cell("cell1").alias).get()
    shown = page(client, f"services/service/{service.uuid}")
    assert "Leave a note" not in shown
    assert "All entries of the audit" not in shown


def test_a_host_of_a_cell_that_does_not_answer(
    cloud: Cloud, console: Client, dead_cell: Cell
) -> None:
    """The list says so; nothing of the notes fails."""
    cloud.host("cell1", "cmp-1")
    leave(console, cloud, "cmp-1", "here")
    assert 'class="reason note">here' in page(console, "services/service")
