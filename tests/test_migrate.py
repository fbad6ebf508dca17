"""``manage.py migrate``: every database that the portal manages and none that Nova does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings

from cells.databases import register
from cells.models import CellMapping
from cells.registry import all_cells, forget_cells
from services.models import Service
from tests.clouds import Cloud
from tests.engines import database, forget_connection, forget_connections
from tests.nova import made_by_nova, schema_of


@pytest.fixture
def own_aliases(db: None) -> Iterator[None]:
    """Lets a test point ``default`` and ``api`` elsewhere."""
    kept = {alias: dict(connections.settings[alias]) for alias in ("default", "api")}
    forget_connections()
    yield
    forget_connections()
    for alias, settings in kept.items():
        register(alias, settings)


@pytest.fixture
def fresh(own_aliases: None, tmp_path: Path) -> Path:
    """An embedded portal before its first migration: its files do not exist yet."""
    for alias in ("default", "api"):
        register(alias, database(f"sqlite:///{tmp_path}/{alias}.sqlite3"))
    return tmp_path


def tables(alias: str) -> set[str]:
    return set(connections[alias].introspection.table_names())


def test_embedded_all_databases_are_migrated(fresh: Path) -> None:
    call_command("migrate", verbosity=0)
    assert {"auth_user", "portal_apitoken"} <= tables("default")
    assert not {"services", "cell_mappings"} & tables("default")
    assert tables("api") == {
        "aggregate_hosts",
        "aggregate_metadata",
        "aggregates",
        "cell_mappings",
        "django_migrations",
        "host_mappings",
        "instance_mappings",
    }
    mapping = CellMapping.objects.create(
        uuid="c9c9c9c9-0000-4000-8000-000000000009",
        name="cell9",
        database_connection=f"sqlite:///{fresh}/cell9.sqlite3",
    )
    (fresh / "cell9.sqlite3").touch()
    forget_cells()
    call_command("migrate", verbosity=0)
    alias = f"cell-{mapping.uuid}"
    assert tables(alias) == {
        "compute_nodes",
        "django_migrations",
        "instances",
        "migrations",
        "services",
    }
    Service.objects.using(alias).create(host="one")


def test_one_database(fresh: Path) -> None:
    call_command("migrate", database="api", verbosity=0)
    assert tables("api")
    assert not tables("default")


def test_a_cell_by_its_name(fresh: Path) -> None:
    call_command("migrate", database="api", verbosity=0)
    CellMapping.objects.create(
        uuid="c8c8c8c8-0000-4000-8000-000000000008",
        name="cell8",
        database_connection=f"sqlite:///{fresh}/cell8.sqlite3",
    )
    (fresh / "cell8.sqlite3").touch()
    forget_cells()
    call_command("migrate", "--database", "cell8", verbosity=0)
    assert "services" in tables("cell-c8c8c8c8-0000-4000-8000-000000000008")


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_cell_whose_file_is_gone_is_not_made_anew(
    fresh: Path, capsys: pytest.CaptureFixture[str], is_noticed: bool
) -> None:
    call_command("migrate", database="api", verbosity=0)
    CellMapping.objects.create(
        uuid="c8c8c8c8-0000-4000-8000-000000000008",
        name="cell8",
        database_connection=f"sqlite:///{fresh}/cell8.sqlite3",
    )
    file = fresh / "cell8.sqlite3"
    if not is_noticed:  # it goes after the mappings have been read
        file.touch()
    forget_cells()
    all_cells()
    file.unlink(missing_ok=True)
    call_command("migrate", verbosity=0)
    assert "cell cell8 was not migrated" in (said := capsys.readouterr().err)
    assert "its database file is gone" in said
    with pytest.raises(CommandError, match="its database file is gone"):
        call_command("migrate", "--database", "cell8", verbosity=0)
    assert not file.exists()


def test_an_unknown_cell(cloud: Cloud) -> None:
    with pytest.raises(CommandError, match="no cell called cell77; there are: cell0, cell1"):
        call_command("migrate", "--database", "cell77")


def test_attached_only_the_portals_own_database_is_migrated(
    fresh: Path, settings: Settings
) -> None:
    settings.EMBEDDED = False
    call_command("migrate", verbosity=0)
    assert "auth_user" in tables("default")
    assert not tables("api")


@pytest.mark.parametrize("name", ["api", "cell1"])
def test_a_database_of_nova_is_refused(cloud: Cloud, name: str) -> None:
    alias = name if name == "api" else cloud.cell(name).alias
    with made_by_nova([alias]):
        before = schema_of(alias)
        for options in ({}, {"fake": True}, {"run_syncdb": True}, {"prune": True}):
            with pytest.raises(CommandError, match="managed by Nova's migrations"):
                call_command("migrate", database=name, verbosity=0, **options)
        assert schema_of(alias) == before


def test_the_portals_own_tables_are_refused_in_a_database_of_nova(
    cloud: Cloud, own_aliases: None
) -> None:
    register("default", database(cloud.api_url))
    forget_connection("default")
    with made_by_nova(["api"]):
        before = schema_of("api")
        with pytest.raises(CommandError, match=r"default: database .* is managed by Nova's"):
            call_command("migrate", verbosity=0)
        assert schema_of("api") == before


def test_an_unreachable_database(own_aliases: None, tmp_path: Path) -> None:
    register("api", database(f"sqlite:///{tmp_path}/no/such/folder/api.sqlite3"))
    with pytest.raises(CommandError, match="api: unable to open database file"):
        call_command("migrate", database="api")
