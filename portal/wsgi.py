"""The portal as a WSGI application."""

import os
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from portal.checks import refuse_to_serve
from portal.health import with_healthcheck

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")


class Utf8Request(WSGIRequest):
    """Django's, read as UTF-8 whatever charset its type names: some cannot be read by at all."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        content_type = meta.get("CONTENT_TYPE", "")
        self.content_type, self.content_params = parse_header_parameters(content_type)


django = get_wsgi_application()
django.request_class = Utf8Request
application = with_healthcheck(django)
refuse_to_serve()
