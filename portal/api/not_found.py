"""Nova's responses to requests that match no resource."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.request import Request

TEXT = "404 Not Found\n\nThe resource could not be found.\n\n   "
HTML = """<html>
 <head>
  <title>404 Not Found</title>
 </head>
 <body>
  <h1>404 Not Found</h1>
  The resource could not be found.<br /><br />



 </body>
</html>"""


JSON = {
    "message": "The resource could not be found.<br /><br />\n\n\n",
    "code": "404 Not Found",
    "title": "Not Found",
}


def no_such_route(request: HttpRequest | Request) -> HttpResponse:
    """404 as HTML, JSON or text, depending on ``Accept``, without version headers.

    An ``Accept`` that contains no media type accepts anything, as in Nova.
    """
    accepted = request.headers.get("Accept", "")
    best = request.get_preferred_type(["text/html", "application/json"]) if accepted else None
    if request.method == "HEAD" or best == "text/html" or (accepted and "/" not in accepted):
        return HttpResponse(HTML, status=404, content_type="text/html; charset=UTF-8")
    if best:
        return JsonResponse(JSON, status=404)
    return HttpResponse(TEXT, status=404, content_type="text/plain; charset=UTF-8")


class Preflight(HttpResponse):
    """The response to ``OPTIONS``: an empty 200, without a content type or a request id."""

    def __init__(self) -> None:
        super().__init__()
        del self["Content-Type"]
