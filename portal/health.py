"""Health checks of the portal itself; cells have their own page.

``/healthz`` says whether the portal works, ``/healthcheck`` whether a load balancer shall send
requests here.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse
from oslo_middleware.healthcheck import Healthcheck

from cells.databases import cause_of
from cells.deadlines import within

WSGIApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]

logger = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the portal's own database and Nova's API database answer, else 503.

    Anyone may ask, so it says which database is away and not why; that is in the log.  It answers
    within ``CELL_DEADLINE``, and at once while they are known to be away.
    """
    away: list[str] = []
    for alias in ("default", "api"):
        try:
            with within(settings.CELL_DEADLINE / 2), connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError as error:
            logger.warning("health: database %s does not answer: %s", alias, cause_of(error))
            away.append(alias)
    return JsonResponse(
        {"status": "unavailable" if away else "ok", "databases_away": away},
        status=503 if away else 200,
    )


def with_healthcheck(application: WSGIApplication) -> WSGIApplication:
    """``application``, with oslo.middleware's ``/healthcheck`` before it, as OpenStack's APIs have.

    503 while ``HEALTHCHECK_DISABLE_FILE`` exists, so that a node can be drained.  It comes before
    Django, which would redirect a probe to HTTPS and refuse one that names no allowed host.  Its
    details, which list every thread's stack, are not offered: anyone may ask.
    """
    healthcheck = Healthcheck.app_factory(
        {},
        backends=["disable_by_file"],
        disable_by_file_path=str(settings.HEALTHCHECK_DISABLE_FILE),
    )

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/healthcheck":
            return healthcheck(environ, start_response)  # type: ignore[no-any-return]
        return application(environ, start_response)

    return answer
