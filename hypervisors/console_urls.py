"""The console's pages about the whole fleet, below /admin/."""

from collections.abc import Callable
from functools import partial

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from hypervisors import fleet_views


def page(view: Callable[..., HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    return admin.site.admin_view(partial(view, site=admin.site))


urlpatterns = [
    path("", page(fleet_views.index), name="index"),
    path("overview/", page(fleet_views.overview_part), name="overview_part"),
    path("problems/", page(fleet_views.problems), name="problems"),
]
