"""The language of an answer: the console speaks the reader's, everything else English.

What the API answers, and what is stored, logged or sent, is read by programs and by colleagues, so
it never depends on who happens to ask.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from portal.console.site import is_of_console


class LanguageMiddleware:
    """Renders the console in the language that was chosen there, else in the browser's.

    In place of Django's ``LocaleMiddleware``, which would translate the API, and whose language
    stays with the thread.  What is generated after the response has begun, such as the lines of a
    CSV file, is in English, too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_of_console(request):
            return self.get_response(request)
        language = translation.get_language_from_request(request)
        with translation.override(language):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response
