"""The console's pages about the whole fleet, below /admin/."""

from django.urls import path

from hypervisors.fleet_views import fleet_cells, overview_part, problems
from portal.console.site import console

urlpatterns = [
    path("overview/", console.admin_view(overview_part), name="overview_part"),
    path("overview/cells/", console.admin_view(fleet_cells), name="fleet_cells"),
    path("problems/", console.admin_view(problems), name="problems"),
]
