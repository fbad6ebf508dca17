"""What Nova answers before it looks for a resource, or when it finds no route to one."""

from django.http import HttpRequest, HttpResponse
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


def no_such_route(request: HttpRequest | Request) -> HttpResponse:
    """404 as text, or as HTML for who takes that; no JSON and no version headers."""
    accepted = request.headers.get("Accept", "")
    if request.method == "HEAD" or "text/html" in accepted or "*/*" in accepted:
        return HttpResponse(HTML, status=404, content_type="text/html; charset=UTF-8")
    return HttpResponse(TEXT, status=404, content_type="text/plain; charset=UTF-8")


class Preflight(HttpResponse):
    """The answer to ``OPTIONS``: 200 and nothing else, not even a type or a request id."""

    def __init__(self) -> None:
        super().__init__()
        del self["Content-Type"]
