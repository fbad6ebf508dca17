"""Which database a model is in; nothing falls back to another."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections, models, router

from cells.databases import alias_of, managed_by_nova
from cells.models import Aggregate, CellMapping, CellModel, HostMapping
from cells.router import CellNotNamed
from hypervisors.models import ComputeNode, Instance, Migration
from portal.models import ApiToken
from services.models import Service
from tests.clouds import Cloud
from tests.engines import tables_of

CELL_MODELS = [Service, ComputeNode, Instance, Migration]


def test_every_model_of_a_cell_is_tested_here() -> None:
    assert {model for model in apps.get_models() if issubclass(model, CellModel)} == {*CELL_MODELS}


USES: dict[str, Callable[[type[CellModel]], Any]] = {
    "all": lambda model: list(model.objects.all()),
    "first": lambda model: model.objects.first(),
    "count": lambda model: model.objects.count(),
    "exists": lambda model: model.objects.filter(id=1).exists(),
    "get": lambda model: model.with_deleted.get(id=1),
    "create": lambda model: model.objects.create(),
    "bulk_create": lambda model: model.objects.bulk_create([model()]),
    "update": lambda model: model.objects.update(deleted=1),
    "delete": lambda model: model.with_deleted.all().delete(),
    "save": lambda model: model(deleted=0).save(),
    "aggregate": lambda model: model.objects.aggregate(models.Max("id")),
    "raw": lambda model: list(model.objects.raw("SELECT 1 AS id")),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("model", CELL_MODELS)
def test_a_cell_must_be_named(model: type[CellModel], use: str) -> None:
    with pytest.raises(CellNotNamed, match=r"\.using\(cell\.alias\)"):
        USES[use](model)


def test_a_row_stays_in_its_cell(cloud: Cloud) -> None:
    service = cloud.add_service("cell2", "compute-1")
    service.disabled = True
    service.save()
    service.refresh_from_db()
    assert service.disabled
    for cell in cloud.cells:
        there = Service.objects.using(cell.alias).filter(disabled=True).count()
        assert there == (1 if cell.name == "cell2" else 0)
    service.delete()
    assert not Service.objects.using(cloud.cell("cell2").alias).exists()


def test_a_node_finds_the_service_of_its_own_cell(cloud: Cloud) -> None:
    for name in ("cell1", "cell2"):
        cloud.add_service(name, "compute-1", version=int(name[-1]))
        cloud.add_node(name, "compute-1")
    node = ComputeNode.objects.using(cloud.cell("cell2").alias).get()
    assert node.service.version == 2
    assert node.service._state.db == cloud.cell("cell2").alias


@pytest.mark.parametrize(
    ("model", "alias"),
    [
        (CellMapping, "api"),
        (HostMapping, "api"),
        (Aggregate, "api"),
        (User, "default"),
        (ApiToken, "default"),
    ],
)
def test_other_models_have_one_database(model: type[models.Model], alias: str) -> None:
    assert router.db_for_read(model) == alias
    assert router.db_for_write(model) == alias


def test_each_database_has_its_own_tables_and_no_others(cloud: Cloud) -> None:
    bookkeeping = {"django_migrations", "sqlite_sequence"}
    for alias in ("default", "api", cloud.cell("cell1").alias):
        there = set(connections[alias].introspection.table_names())
        assert there - bookkeeping == set(tables_of(alias)), alias


def schema_of(alias: str) -> dict[str, list[str]]:
    """The columns of every table."""
    inspect = connections[alias].introspection
    with connections[alias].cursor() as cursor:
        return {
            table: [column.name for column in inspect.get_table_description(cursor, table)]
            for table in inspect.table_names(cursor)
        }


# --- databases managed by Nova --------------------------------------------------------------------


@pytest.fixture(params=["alembic_version", "migrate_version"])
def of_nova(request: pytest.FixtureRequest, cloud: Cloud) -> Iterator[str]:
    """cell1's alias; its database has the version table of Nova's migrations."""
    alias = cloud.cell("cell1").alias
    with connections[alias].cursor() as cursor:
        cursor.execute(f"CREATE TABLE {request.param} (version_num varchar(32))")
    yield alias
    with connections[alias].cursor() as cursor:
        cursor.execute(f"DROP TABLE {request.param}")


def test_nothing_may_be_migrated_in_a_database_of_nova(cloud: Cloud, of_nova: str) -> None:
    assert managed_by_nova(of_nova)
    assert not managed_by_nova(cloud.cell("cell2").alias)
    for config in apps.get_app_configs():
        assert not router.allow_migrate(of_nova, config.label)
    assert router.allow_migrate(cloud.cell("cell2").alias, "services")


def test_migrate_does_not_touch_a_database_of_nova(cloud: Cloud, of_nova: str) -> None:
    with connections[of_nova].cursor() as cursor:
        cursor.execute("DROP TABLE migrations")
    try:
        before = schema_of(of_nova)
        for command in ({"database": of_nova}, {}):
            with pytest.raises(CommandError, match="managed by Nova's migrations"):
                call_command("migrate", verbosity=0, **command)
        assert schema_of(of_nova) == before
    finally:
        with connections[of_nova].schema_editor() as editor:
            editor.create_model(Migration)


@pytest.mark.parametrize(
    ("alias", "allowed"),
    [
        (
            "default",
            {
                "admin",
                "audit",
                "auth",
                "axes",
                "contenttypes",
                "django_tasks_database",
                "maintenance",
                "portal",
                "sessions",
            },
        ),
        ("api", {"cells"}),
        (alias_of(CellMapping.CELL0_UUID), {"services", "hypervisors"}),
    ],
)
def test_each_app_is_migrated_in_one_kind_of_database(
    cloud: Cloud, alias: str, allowed: set[str]
) -> None:
    labels = {config.label for config in apps.get_app_configs() if list(config.get_models())}
    assert {label for label in labels if router.allow_migrate(alias, label)} == allowed
