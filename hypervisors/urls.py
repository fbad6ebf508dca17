from django.urls import path

from hypervisors.views import HypervisorViewSet

view = HypervisorViewSet.as_view
urlpatterns = [
    path("os-hypervisors", view({"get": "list"})),
    path("os-hypervisors/detail", view({"get": "list_detail"})),
    path("os-hypervisors/statistics", view({"get": "statistics"})),
    path("os-hypervisors/<str:id>", view({"get": "retrieve"})),
    path("os-hypervisors/<str:id>/uptime", view({"get": "uptime"})),
    path("os-hypervisors/<str:id>/search", view({"get": "search"})),
    path("os-hypervisors/<str:id>/servers", view({"get": "servers"})),
]
