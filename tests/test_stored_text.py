"""Scripts and formulas in every text that is stored: data on every page, in CSV and in answers."""

import csv
import io
import json
from contextlib import suppress
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import models
from django.test import Client

from audit.models import Channel, Entry, Outcome
from cells.models import Aggregate, CellMapping, CellModel
from cells.registry import forget_cells
from hypervisors.models import ComputeNode
from portal.models import ApiToken, SavedView
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.test_roles import World

pytestmark = pytest.mark.any_engine

SCRIPT = """'"><script>evil(1)</script>{{7*7}}"""
FORMULA = "=cmd|' /C calc'!A0"
#: Texts by which rows are found, or that say what they are.
STRUCTURE = {
    "binary", "topic", "uuid", "database_connection", "digest", "page", "channel", "outcome",
    "password", "codename", "app_label", "model", "key", "instance_uuid", "service_uuid",
    "cell_uuid", "migration_type", "vm_state", "hypervisor_type",
}  # fmt: skip

#: Apps whose rows no page shows.
ELSEWHERE = {"admin", "axes", "contenttypes", "django_tasks_database", "maintenance", "sessions"}


def text_fields(model: type[models.Model]) -> dict[str, int | None]:
    """The columns with free text, and how much they hold."""
    return {
        field.name: getattr(field, "max_length", None)
        for field in model._meta.concrete_fields
        if type(field) in (models.CharField, models.TextField) and field.name not in STRUCTURE
    }


def write_everywhere(cloud: Cloud, text: str) -> set[str]:
    """Write ``text`` into every free text column of every row; the columns it is in."""
    written = set()
    for model in apps.get_models():
        label = model._meta.label
        if model._meta.app_label in ELSEWHERE or model in (Aggregate, Entry):  # see ``fill``
            continue
        values = {name: text[:length] for name, length in text_fields(model).items()}
        if not values or not model._meta.managed:
            continue
        aliases = [cell.alias for cell in cloud.cells] if issubclass(model, CellModel) else [None]
        for alias in aliases:
            rows = model._default_manager.using(alias) if alias else model._default_manager
            for row in rows.order_by("pk")[:1]:
                for name, value in values.items():
                    setattr(row, name, value)
                row.save()
                written |= {f"{label}.{name}" for name in values}
    return written


def fill(cloud: Cloud, text: str) -> World:
    """A cloud with ``text`` wherever there is text, also as JSON and as the names of hosts."""
    world = World(cloud)
    cloud.add_instance("cell1", "idle", display_name=text)
    cloud.add_migration("cell1", "idle", dest_compute=text)
    cloud.add_aggregate(text[:250], ["idle"], zone=text)
    written = write_everywhere(cloud, text)
    assert {"services.Service.disabled_reason", "hypervisors.ComputeNode.cpu_info"} <= written
    assert {"hypervisors.Instance.display_name", "cells.CellMapping.name"} <= written
    values: dict[str, Any] = {name: text[:length] for name, length in text_fields(Entry).items()}
    Entry.objects.create(
        **values,
        channel=Channel.API,
        outcome=Outcome.DONE,
        before={text: text},
        after={text: [text]},
    )
    world.entry = Entry.objects.latest("id")
    cell = cloud.cells[1]
    json_text = json.dumps({text: text, "model": text, "features": [text]})
    Service.objects.using(cell.alias).filter(pk=world.service.pk).update(disabled=True)
    other = cloud.add_service(cell, text, disabled_reason=text, binary=text, topic=text)
    assert other.host == text
    ComputeNode.objects.using(cell.alias).filter(pk=world.node.pk).update(
        cpu_info=json_text, numa_topology=json_text, stats=json_text, hypervisor_type=text
    )
    for user in User.objects.filter(username=text[:150]):
        SavedView.objects.create(
            user=world.users["root"], page="services_service_changelist", name=text
        )
        Group.objects.create(name=f"{text} 2")
        ApiToken.objects.issue(user, name=text)
    forget_cells()
    return world


def test_scripts_are_text_on_every_page(cloud: Cloud) -> None:
    world = fill(cloud, SCRIPT)
    client = Client()
    client.force_login(world.users["root"])
    shown = set()
    pages = dict(world.paths())
    key = pages["services_service_change"].split("/")[-2]
    lists = [pages[name] for name in pages if name.endswith("changelist")]
    for path in [
        *pages.values(),
        *(f"{path}?q=%22%3E%3Cscript%3Eevil(1)%3C/script%3E" for path in lists),
        f"/admin/services/service/act/?action=disable&key={key}",
        f"/admin/services/service/act/?action=delete&key={key}",
        "/admin/nothing%22%3E%3Cscript%3Eevil(1)%3C/script%3E/",
        "/admin/services/service/%22%3E%3Cscript%3Eevil(1)%3C/script%3E/",
        "/admin/login/?next=%22%3E%3Cscript%3Eevil(1)%3C/script%3E",
    ]:
        answer = client.get(path, follow=True)
        assert answer.status_code < 500, path
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            html = answer.content.decode()
            assert "<script>evil" not in html, path
            if "&lt;script&gt;evil" in html:
                shown.add(path)
    for name in (
        "services_service_changelist", "services_service_change", "hypervisors_computenode_change",
        "hypervisors_computenode_changelist", "audit_entry_changelist", "audit_entry_change",
        "auth_user_changelist", "auth_group_changelist", "portal_apitoken_changelist",
        "cells_cellmapping_changelist", "problems",
    ):  # fmt: skip
        assert pages[name] in shown, name


def test_scripts_are_text_in_the_browsable_api_and_whole_in_json(cloud: Cloud) -> None:
    world = fill(cloud, SCRIPT)
    text = ApiToken.objects.issue(world.users["root"])[1]
    client = ApiClient(text)
    browser = ApiClient(None)
    browser.client.force_login(world.users["root"])
    for path in ("/os-services", "/os-hypervisors/detail"):
        assert json.dumps(SCRIPT) in json.dumps(client.get(path, "2.53").body)
        html = browser.get(path, "2.53", Accept="text/html").text
        assert "<script>evil" not in html
        assert "&lt;script&gt;evil" in html


def test_formulas_are_text_in_csv(cloud: Cloud) -> None:
    world = fill(cloud, FORMULA)
    client = Client()
    client.force_login(world.users["root"])
    for path in (
        "/admin/services/service/export.csv",
        "/admin/hypervisors/computenode/export.csv",
        "/admin/audit/entry/export.csv",
    ):
        answer: Any = client.get(path)
        text = b"".join(answer.streaming_content).decode()
        rows = list(csv.reader(io.StringIO(text)))
        fields = [field for row in rows for field in row]
        assert f"'{FORMULA}" in fields, path
        assert not [field for field in fields if field.startswith(("=", "+", "@"))], path


def test_texts_are_text_in_what_commands_print(cloud: Cloud) -> None:
    """No formula in CSV, no markup, and nothing that a terminal acts upon."""
    text = "=[/b]\x1b[2J\n"
    fill(cloud, text)
    shown = 0
    for command in (
        ["cells"],
        ["check_fleet", "--all"],
        ["export_audit"],
        ["maintenance", "status"],
    ):
        for form in ("csv", "table"):
            if (command, form) == (["export_audit"], "table"):
                continue
            out = io.StringIO()
            with suppress(SystemExit):
                call_command(*command, "--format", form, stdout=out)
            if form == "csv":
                fields = [field for row in csv.reader(io.StringIO(out.getvalue())) for field in row]
                assert not [field for field in fields if field.startswith("=")], command
                shown += f"'{text}" in fields
            else:
                assert "\x1b" not in out.getvalue(), command
                shown += "=[/b]" in out.getvalue()
    assert shown >= 4


def test_line_breaks_forge_no_header_and_no_log_line(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    CellMapping.objects.filter(name="cell2").update(
        name="cell2\r\nX-Forged: 1\nERROR forged",
        database_connection="postgresql://x@127.0.0.1:1/x",
    )
    forget_cells()
    user = User.objects.create_superuser("root")
    answer = ApiClient(ApiToken.objects.issue(user)[1]).get("/os-services", "2.53")
    assert answer.status == 200
    assert "X-Forged: 1 ERROR forged" in answer.headers["Warning"]
    assert "X-Forged" not in answer.headers
