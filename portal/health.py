"""The health check for load balancers, of the portal itself; cells have their own page."""

import logging

from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse

from cells.databases import cause_of

logger = logging.getLogger(__name__)


def healthcheck(request: HttpRequest) -> JsonResponse:
    """200 when the portal's own database and Nova's API database answer, else 503.

    Anyone may ask, so it says which database is away and not why; that is in the log.
    """
    away: list[str] = []
    for alias in ("default", "api"):
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError as error:
            logger.warning("health: database %s does not answer: %s", alias, cause_of(error))
            away.append(alias)
    return JsonResponse(
        {"status": "unavailable" if away else "ok", "databases_away": away},
        status=503 if away else 200,
    )
