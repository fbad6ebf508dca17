from django.urls import path

from services.views import ServiceViewSet

urlpatterns = [
    path("os-services", ServiceViewSet.as_view({"get": "list"})),
    path(
        "os-services/<str:id>",
        ServiceViewSet.as_view({"put": "update", "delete": "destroy"}),
    ),
]
