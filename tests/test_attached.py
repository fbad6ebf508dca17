"""The portal attached to databases managed by Nova's migrations."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings

from cells.databases import register
from cells.models import CellMapping
from cells.probes import probe_cells
from cells.registry import Cell, all_cells, forget_cells
from hypervisors.demo.fleet import Fleet
from hypervisors.models import ComputeNode
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.commands import manage
from tests.engines import database
from tests.nova import made_by_nova, schema_of
from tests.scratch import scratch_databases
from tests.servers import PortalServer, free_port

READS = [
    "/os-services",
    "/os-services?host=c1-r01-cmp01&binary=nova-compute",
    "/os-hypervisors",
    "/os-hypervisors/detail",
    "/os-hypervisors/detail?with_servers=true",
    "/os-hypervisors?limit=5",
    "/os-hypervisors/7001",
    "/os-hypervisors/statistics",
    "/os-hypervisors/cmp/search",
    "/os-hypervisors/cmp/servers",
    "/no-such-thing",
]


def rows_of(cloud: Cloud) -> list[list[dict[str, Any]]]:
    return [
        list(model.with_deleted.using(cell.alias).order_by("id").values())
        for cell in cloud.cells
        for model in (Service, ComputeNode)
    ]


@pytest.fixture
def nova(cloud: Cloud, fleet: Fleet, settings: Settings) -> Iterator[list[str]]:
    """The cloud with a fleet, its databases managed by Nova; their aliases."""
    settings.EMBEDDED = False
    aliases = ["api", *(cell.alias for cell in cloud.cells)]
    with made_by_nova(aliases):
        yield aliases


def attached(cloud: Cloud, tmp_path: Path) -> dict[str, str]:
    """The settings of a portal in another process, attached to the cloud."""
    return {
        "NOVA_API_DATABASE_URL": cloud.api_url,
        "DATABASE_URL": cloud.portal_url,
        "VAR_DIR": str(tmp_path),
    }


def test_attaching_changes_neither_schema_nor_rows_of_nova(
    cloud: Cloud, nova: list[str], api: ApiClient, tmp_path: Path
) -> None:
    schemas = {alias: schema_of(alias) for alias in nova}
    rows = rows_of(cloud)
    for command in ("check", "migrate", "cells"):
        done = manage(command, **attached(cloud, tmp_path))
        assert done.returncode == 0, done.stderr
    for command in ("showmigrations", "makemigrations --check", "create_token operator"):
        call_command(*command.split())
    for command in ("demo", "heartbeat --once", "migrate --database api"):
        with pytest.raises(CommandError):
            call_command(*command.split())
    for version in ("2.1", "2.53", "2.88", "2.100"):
        for path in READS:
            assert api.get(path, version).status in (200, 400, 404)
    assert {alias: schema_of(alias) for alias in nova} == schemas
    assert rows_of(cloud) == rows


def test_flush_does_not_empty_novas_databases(cloud: Cloud, nova: list[str]) -> None:
    rows = rows_of(cloud)
    for alias in nova:
        call_command("flush", database=alias, interactive=False, verbosity=0)
    assert rows_of(cloud) == rows
    assert CellMapping.objects.count() == 4


# --- URLs -----------------------------------------------------------------------------------------

DRIVERS = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg2", "sqlite": "sqlite"}


def test_urls_in_the_form_of_nova_conf(cloud: Cloud, tmp_path: Path) -> None:
    cloud.host("cell1", "one")

    def as_in_nova_conf(url: str) -> str:
        scheme, _, rest = url.partition("://")
        options = "&" if "?" in rest else "?"
        more = f"{options}charset=utf8mb4&plugin=dbcounter" if scheme == "mysql" else ""
        return f"{DRIVERS[cloud.engine]}://{rest}{more}"

    for cell in cloud.cells:
        CellMapping.objects.filter(uuid=cell.uuid).update(
            database_connection=as_in_nova_conf(cloud.url(cell.name))
        )
    environment = attached(cloud, tmp_path)
    environment["NOVA_API_DATABASE_URL"] = as_in_nova_conf(cloud.api_url)
    done = manage("cells", "--json", **environment)
    assert done.returncode == 0, done.stderr
    assert [cell["rows"]["services"] for cell in json.loads(done.stdout)] == [0, 1, 0, 0]


@pytest.mark.server
def test_urls_of_cells_that_are_templates(cloud: Cloud, settings: Settings) -> None:
    with cloud.proxy("cell1") as proxy:
        parts = urlsplit(cloud.url("cell1"))
        name = parts.path[1:]
        settings.NOVA_DATABASE_URL = (
            f"{DRIVERS[cloud.engine]}://{parts.username}:{parts.password or ''}"
            f"@127.0.0.1:{proxy.port}/nova"
        )
        cloud.point("cell1", f"{{scheme}}://{{username}}:{{password}}@{{hostname}}:{{port}}/{name}")
        cloud.host("cell1", "one")
        (check,) = probe_cells([cloud.cell("cell1")])
        assert check.problem == ""
        assert check.cell.server == f"127.0.0.1:{proxy.port}/{name}"
        assert check.rows["services"] == 1


# --- changes at run time --------------------------------------------------------------------------


def soon(found: Any, seconds: float = 20) -> Any:
    """Call ``found`` until it returns something true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if result := found():
            return result
        time.sleep(0.2)
    return found()


def test_cells_are_added_changed_and_removed_at_run_time(
    cloud: Cloud, portal_server: PortalServer, admin_token: str, tmp_path: Path
) -> None:
    def hosts() -> set[str]:
        services = portal_server.get("/os-services", admin_token)["services"]
        return {service["host"] for service in services}

    cloud.host("cell1", "first")
    assert hosts() == {"first"}
    with scratch_databases(cloud, tmp_path) as scratch:
        new = Cell("cafe0000-0000-4000-8000-000000000001", 9, "new")
        for name in ("one", "other"):
            register(new.alias, database(scratch.create(name)))
            connections[new.alias].close()
            del connections[new.alias]
            call_command("migrate", database=new.alias, verbosity=0)
            Service.objects.using(new.alias).create(host=name, binary="nova-compute")
        mapping = CellMapping.objects.create(
            uuid=new.uuid,
            name="new",
            database_connection=scratch.template.replace("{name}", "one"),
        )
        assert soon(lambda: hosts() == {"first", "one"})
        mapping.database_connection = scratch.template.replace("{name}", "other")
        mapping.save()
        assert soon(lambda: hosts() == {"first", "other"})
        mapping.disabled = True
        mapping.save()
        forget_cells()
        assert [cell.name for cell in all_cells() if cell.disabled] == ["new"]
        time.sleep(1.5)
        assert hosts() == {"first", "other"}
        mapping.delete()
        assert soon(lambda: hosts() == {"first"})
        assert portal_server.process.poll() is None


# --- unreadable cells -----------------------------------------------------------------------------


def test_unreadable_cells_do_not_affect_the_others(
    cloud: Cloud, api: ApiClient, tmp_path: Path
) -> None:
    cloud.host("cell1", "well")
    with scratch_databases(cloud, tmp_path) as scratch:
        old = cloud.point("cell3", scratch.create("old"))
        for app in ("services", "hypervisors"):
            call_command("migrate", app, "0001_initial", database=old.alias, verbosity=0)
        cloud.point("cell0", f"mysql://nova:hidden@127.0.0.1:{free_port()}/nova_cell0")
        refused = {
            "mysql": "mysql://nova:hidden@{}/nova",
            "postgresql": "postgresql://nobody:hidden@{}",
            "sqlite": f"sqlite:///{tmp_path}/no/such/folder/cell2",
        }[cloud.engine]
        where = cloud.url("cell2").rpartition("@")[2]
        where = where.partition("/")[0] if cloud.engine == "mysql" else where
        cloud.point("cell2", refused.format(where))

        answer = api.get("/os-services", version="2.53")
        assert answer.status == 200
        assert [service["host"] for service in answer["services"]] == ["well"]
        for name in ("cell0", "cell2", "cell3"):
            assert f"cell {name} did not answer" in answer.headers["Warning"]
        assert "cell1" not in answer.headers["Warning"]

        checks = {check.cell.name: check for check in probe_cells()}
        assert "refused" in checks["cell0"].problem
        causes = {
            "mysql": "Access denied",
            "postgresql": 'role "nobody" does not exist',
            "sqlite": "its database file is gone",
        }
        assert causes[cloud.engine] in checks["cell2"].problem
        assert checks["cell3"].problem == "services.uuid is missing: schema from before Pike"
        assert checks["cell1"].healthy
        assert checks["cell1"].rows["services"] == 1
        assert "hidden" not in answer.text + answer.headers["Warning"] + repr(checks)


def test_users_are_in_the_portals_own_database(cloud: Cloud, nova: list[str]) -> None:
    """The users of the portal are in its own database, never in Nova's."""
    User.objects.create_user("somebody")
    assert not any("auth_user" in schema_of(alias) for alias in nova)
