"""The console's pages about maintenances, below /admin/."""

from django.urls import path

from maintenance import views
from portal.console.site import console

urlpatterns = [
    path(
        "maintenance/start/",
        console.form_view(views.start, *views.FORM_FIELDS),
        name="maintenance_start",
    ),
    path(
        "maintenance/calendar/",
        console.admin_view(views.month_calendar),
        name="maintenance_calendar",
    ),
    path("maintenance/<int:pk>/stop/", console.admin_view(views.stop), name="maintenance_stop"),
    path(
        "maintenance/<int:pk>/return/",
        console.admin_view(views.give_back),
        name="maintenance_return",
    ),
]
