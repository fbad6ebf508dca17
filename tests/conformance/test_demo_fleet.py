"""Writing the demo fleet into the databases of a real Nova."""

import datetime

from django.db import connections
from django.db.models import Model

from cells.models import CellMapping, HostMapping
from hypervisors.demo.fleet import Fleet
from services.models import Service
from tests.clouds import Cloud
from tests.conformance.demo_fleet import write_into_nova
from tests.nova import made_by_nova, more_columns

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)


def values(row: Model) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_the_same_rows_in_the_tables_of_a_real_nova(cloud: Cloud) -> None:
    cloud.host("cell1", "in-the-way")
    fleet = Fleet(cells=2, hosts_per_cell=3, now=NOW)
    cell = cloud.cell("cell1")
    with (
        made_by_nova(["api", *(cell.alias for cell in cloud.cells)]),
        more_columns(cloud.cell("cell0").alias),
        more_columns(cell.alias),
        more_columns(cloud.cell("cell2").alias),
    ):
        write_into_nova(fleet)
        rows = fleet.cell(1)
        stored = Service.with_deleted.using(cell.alias).order_by("id")
        assert [values(row) for row in stored] == [values(row) for row in rows.services]
        with connections[cell.alias].cursor() as cursor:
            cursor.execute("SELECT DISTINCT hidden, locked, cleaned FROM instances")
            assert [tuple(map(int, row)) for row in cursor.fetchall()] == [(0, 0, 0)]
        assert HostMapping.objects.filter(host="in-the-way").count() == 0
        assert CellMapping.objects.count() == 4
        home = HostMapping.objects.get(host=rows.named["ironic_service"].host).cell
        assert home.uuid == cell.uuid
