"""Stock Django REST framework over one cell: model serializers, a router, the portal's tokens.

It is what one would write for a Nova with a single cell.
"""

import os
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_wsgi_application()

from django.urls import include, path  # noqa: E402
from rest_framework.negotiation import DefaultContentNegotiation  # noqa: E402
from rest_framework.pagination import LimitOffsetPagination  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402
from rest_framework.routers import SimpleRouter  # noqa: E402
from rest_framework.serializers import ModelSerializer  # noqa: E402
from rest_framework.viewsets import ReadOnlyModelViewSet  # noqa: E402

from cells.registry import compute_cells  # noqa: E402
from hypervisors.models import ComputeNode  # noqa: E402
from portal import urls  # noqa: E402
from services.models import Service  # noqa: E402


class ServiceSerializer(ModelSerializer[Service]):
    class Meta:
        model = Service
        fields = ("uuid", "binary", "host", "topic", "status", "state", "updated_at",
                  "disabled_reason", "forced_down")  # fmt: skip


class ServiceOfNodeSerializer(ModelSerializer[Service]):
    class Meta:
        model = Service
        fields = ("uuid", "host", "disabled_reason", "status", "state")


class NodeSerializer(ModelSerializer[ComputeNode]):
    service = ServiceOfNodeSerializer()

    class Meta:
        model = ComputeNode
        fields = ("uuid", "hypervisor_hostname", "hypervisor_type", "hypervisor_version", "host_ip",
                  "service", "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used",
                  "local_gb_used", "free_ram_mb", "free_disk_gb", "current_workload", "running_vms",
                  "disk_available_least", "cpu_info")  # fmt: skip


class OfOneCell(ReadOnlyModelViewSet[Any]):
    """What both views have: DRF's own classes, and the rows of the first cell."""

    permission_classes = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = DefaultContentNegotiation
    versioning_class = None
    lookup_field = "uuid"

    def get_queryset(self) -> Any:
        return super().get_queryset().using(compute_cells()[0].alias)


class Services(OfOneCell):
    queryset = Service.objects.order_by("id")
    serializer_class = ServiceSerializer


class Nodes(OfOneCell):
    queryset = ComputeNode.objects.select_related("service").order_by("id")
    serializer_class = NodeSerializer
    pagination_class = LimitOffsetPagination


router = SimpleRouter()
router.register("services", Services)
router.register("nodes", Nodes)
urls.urlpatterns.insert(0, path("v2.1/stock/", include(router.urls)))
