"""Django with the portal's settings and apps, and one view: to compare the start with."""

import os

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("here")


urlpatterns = [path("", view), path("v2.1/os-services", view)]
application = get_wsgi_application()

from django.conf import settings  # noqa: E402

settings.ROOT_URLCONF = __name__
