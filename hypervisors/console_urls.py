"""The console's pages about the whole fleet, below /admin/."""

from collections.abc import Callable
from functools import partial

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from hypervisors import pages


def page(view: Callable[..., HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    return admin.site.admin_view(partial(view, site=admin.site))


urlpatterns = [
    path("", page(pages.index), name="index"),
    path("overview/", page(pages.overview_part), name="overview_part"),
    path("problems/", page(pages.problems), name="problems"),
]
