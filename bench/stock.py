"""The stock admin's list of hypervisors, over one database that holds the rows of all cells."""

from typing import Any

from django.contrib import admin
from django.db import connections
from django.http import HttpRequest
from django.urls import clear_url_caches, path, set_urlconf

from cells.database_urls import database_settings
from cells.databases import register
from cells.registry import compute_cells
from cells.scatter_gather import AcrossCells
from hypervisors.admin import HypervisorAdmin
from hypervisors.models import ComputeNode
from portal.console.site import console
from services.models import Service

ONE = "cell-one"


def copy_rows(url: str) -> int:
    """Copy the services and compute nodes of all cells; returns the number of nodes."""
    register(ONE, database_settings(url, connect_timeout=10))
    for model in (Service, ComputeNode):
        model.with_deleted.using(ONE).all().delete()
        answers = AcrossCells(model.with_deleted.all(), compute_cells()).all()
        number = 0
        for rows in answers.values():
            for row in rows:
                number += 1
                if row.deleted:
                    row.deleted = number
                row.pk, row._state.db = number, None
            model.with_deleted.using(ONE).bulk_create(rows, batch_size=2000, ignore_conflicts=True)
    with connections[ONE].cursor() as cursor:
        cursor.execute("ANALYZE")
    return ComputeNode.objects.using(ONE).count()


class StockAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Django's own list with the console's columns."""

    list_per_page = 100
    list_max_show_all = 0
    search_fields = HypervisorAdmin.search_fields
    ordering = ("hypervisor_hostname",)
    list_filter = ("service__disabled", "service__forced_down", "hypervisor_type")
    actions = None

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).using(ONE).select_related("service")
        return rows.only(*(name for name in LISTED))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


LISTED = (
    "uuid", "host", "hypervisor_hostname", "hypervisor_type", "hypervisor_version", "vcpus",
    "vcpus_used", "memory_mb", "memory_mb_used", "local_gb", "local_gb_used", "running_vms",
    "host_ip", "service",
)  # fmt: skip
ORDER_BY = {
    "name": "hypervisor_hostname", "state": "service__last_seen_up",
    "status": "service__disabled", "type": "hypervisor_type", "vcpus": "vcpus_used",
    "memory": "memory_mb_used", "disk": "local_gb_used", "servers": "running_vms",
}  # fmt: skip


def stock_site() -> str:
    """Add the stock admin to the URLs; returns the path of its list."""
    cell = compute_cells()[0]
    names = []
    for column in HypervisorAdmin(ComputeNode, console).columns.values():
        if not column.options.default:
            continue

        def show(row: Any, column: Any = column) -> Any:
            row.cell, row.zone, row.disabling, row.note = cell, "nova", None, None
            return column.show(row)

        ordering = ORDER_BY.get(column.name)
        names.append(admin.display(show, description=str(column.label), ordering=ordering))
    setattr(StockAdmin, "list_display", tuple(names))  # noqa: B010  (typed as the instance's)
    site = admin.AdminSite(name="stock")
    site.register(ComputeNode, StockAdmin)
    from portal import urls

    # The console's templates link to pages that only the console has, as the app "admin".
    urls.urlpatterns.insert(0, path("stock/", (site.get_urls(), "stock", "stock")))
    clear_url_caches()
    set_urlconf(None)
    return "/stock/hypervisors/computenode/"
