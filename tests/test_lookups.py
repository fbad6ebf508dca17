"""Comparisons that mean the same in every database."""

from typing import Any

import pytest
from django.db import connections
from django.db.models import Q

from cells.fields import flag
from cells.statements import Parameter, Statement
from services.models import Service
from tests.clouds import Cloud

GIVEN = Q(host__among=Parameter("hosts"))


@pytest.mark.parametrize(
    ("hosts", "among", "others"),
    [
        (["a", "b"], ["a", "b"], [None, "c"]),
        (["a"], ["a"], [None, "b", "c"]),
        ([], [], [None, "a", "b", "c"]),
        (["none"], [], [None, "a", "b", "c"]),
    ],
)
def test_rows_are_among_values_that_are_given_later(
    cloud: Cloud, hosts: list[str], among: list[str | None], others: list[str | None]
) -> None:
    alias = cloud.cell("cell1").alias
    for host in ("a", "b", "c", None):
        Service.objects.using(alias).create(host=host, binary="nova-compute", topic="compute")

    def found(condition: Q) -> list[str | None]:
        rows = Statement(Service.objects.filter(condition).values_list("host", flat=True))
        return sorted(rows.rows(alias, hosts=hosts), key=lambda host: host or "")

    assert found(GIVEN) == among
    assert found(~GIVEN) == others
    counted = Statement(Service.objects.annotate(n=flag(GIVEN)).values_list("host", "n"))
    assert {host for host, n in counted.rows(alias, hosts=hosts) if n} == set(among)


@pytest.mark.parametrize(
    ("counts", "among", "others"),
    [([], [], [-1, 0, 7]), ([0, 9], [0], [-1, 7]), ([-1], [-1], [0, 7])],
)
def test_numbers_are_among_values_that_are_given_later(
    cloud: Cloud, counts: list[int], among: list[int], others: list[int]
) -> None:
    alias = cloud.cell("cell1").alias
    for count in (-1, 0, 7):
        Service.objects.using(alias).create(host=f"host{count}", report_count=count)
    given = Q(report_count__among=Parameter("counts"))
    for condition, expected in ((given, among), (~given, others)):
        rows = Statement(Service.objects.filter(condition).values_list("report_count", flat=True))
        assert sorted(rows.rows(alias, counts=counts)) == expected


@pytest.mark.server
def test_an_index_is_used_for_values_that_are_given_later(cloud: Cloud) -> None:
    """In a few hosts out of thousands; a function around the comparison would hide the column."""
    alias = cloud.cell("cell1").alias
    Service.objects.using(alias).bulk_create(
        Service(host=f"host{number}", binary="nova-compute", topic="compute")
        for number in range(3000)
    )
    statement = Statement(Service.objects.filter(GIVEN).order_by().values_list("id"))
    statement.rows(alias, hosts=["host1"])
    [compiled] = statement._compiled.values()
    params = [
        one.value({"hosts": ["host1"]}) if isinstance(one, Parameter) else one
        for one in compiled._params
    ]
    with connections[alias].cursor() as cursor:
        cursor.execute("ANALYZE" if cloud.engine == "postgresql" else "ANALYZE TABLE services")
        cursor.execute(f"EXPLAIN {compiled._sql}", params)
        plan: list[tuple[Any, ...]] = list(cursor.fetchall())
    assert "uniq_services0host0" in str(plan), plan
