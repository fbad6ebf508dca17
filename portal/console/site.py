"""The admin site that is the console.

It knows no resource: each app registers its pages and URLs in its ``AppConfig``.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, include, path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods
from django.views.i18n import set_language

from cells.registry import Cell, age_of_mappings
from portal.console import kept_forms
from portal.console.login_form import LoginForm
from portal.console.search import Finder, SearchSource, search
from portal.roles import may_enter

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Page:
    """An entry of the navigation: for users who have all of the permissions, if ``is_for`` them."""

    label: "StrOrPromise"
    url_name: str
    permissions: Sequence[str]
    order: int
    is_for: Callable[[Any], bool]


@dataclass(frozen=True)
class ListAction:
    """A button below the list of another app's model, which posts the selected keys to ``url``.

    It is also offered where an action that it ``follows`` has been done to them.
    """

    name: str
    label: "StrOrPromise"
    url: str
    dangerous: bool = False
    follows: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """A part of the page of another app's row: a template, which finds ``context`` as ``panel``.

    One ``on_top`` comes before everything else: what has to be seen first.
    """

    template: str
    context: dict[str, Any]
    on_top: bool = False


#: Where the console is, below the portal's root.
PATH = "admin/"
#: The buttons that the user of a request is offered, and the part of a row's page, if there is one.
ListActions = Callable[[HttpRequest], Sequence[ListAction]]
PanelOf = Callable[[HttpRequest, Cell, Any], Panel | None]


def is_of_console(request: HttpRequest) -> bool:
    """Whether the request is to the console; its pages are in the reader's language."""
    return request.path_info.startswith(f"/{PATH}")


class Console(admin.AdminSite):
    """Django's admin under the portal's name."""

    site_header = _("Nova cells")
    site_title = _("Nova cells")
    index_title = _("Overview")
    site_url = None
    enable_nav_sidebar = False
    login_form = LoginForm

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._pages: list[Page] = []
        self._urlconfs: list[str] = []
        self._index_view: Callable[[HttpRequest], HttpResponse] | None = None
        self._list_actions: dict[str, list[ListActions]] = defaultdict(list)
        self._panels: dict[str, list[PanelOf]] = defaultdict(list)
        self._search_sources: list[SearchSource] = []

    def register_page(
        self,
        label: "StrOrPromise",
        url_name: str,
        *,
        permissions: Sequence[str],
        order: int,
        is_for: Callable[[Any], bool] = lambda user: True,
    ) -> None:
        """Add a page to the navigation, which is sorted by ``order``."""
        self._pages.append(Page(label, url_name, permissions, order, is_for))
        self._pages.sort(key=lambda page: page.order)

    def register_urls(self, urlconf: str) -> None:
        """Add the URLs of a module with ``urlpatterns``, right below the console's own.

        Their views are to be wrapped in ``admin_view``.
        """
        self._urlconfs.append(urlconf)

    def register_index(self, view: Callable[[HttpRequest], HttpResponse]) -> None:
        """Make ``view`` the first page, in place of Django's list of apps."""
        self._index_view = view

    def register_list_actions(self, model: str, actions: ListActions) -> None:
        """Add buttons to the list of ``model`` (``services.service``)."""
        self._list_actions[model].append(actions)

    def list_actions(self, request: HttpRequest, model: str) -> list[ListAction]:
        """The buttons that other apps add to the list of ``model``."""
        return [one for actions in self._list_actions[model] for one in actions(request)]

    def register_panel(self, model: str, panel: PanelOf) -> None:
        """Add a part to the page of each row of ``model`` (``hypervisors.computenode``)."""
        self._panels[model].append(panel)

    def panels(self, request: HttpRequest, model: str, cell: Cell, row: Any) -> list[Panel]:
        """What other apps add to the page of a row."""
        panels = [panel(request, cell, row) for panel in self._panels[model]]
        return [panel for panel in panels if panel is not None]

    def register_search(self, find: Finder, *, permission: str, order: int) -> None:
        """Find more by the search in the header; what was found is sorted by ``order``."""
        self._search_sources.append(SearchSource(find, permission, order))
        self._search_sources.sort(key=lambda source: source.order)

    def search_view(self, request: HttpRequest) -> HttpResponse:
        """What is found in the whole cloud."""
        return search(request, self, self._search_sources)

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Django's; who has to log in before a form is sent is led to the page that it was on."""
        wrapped = super().admin_view(view, cacheable)

        @wraps(wrapped)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.method == "POST" and not self.has_permission(request):
                return self.ask_to_log_in(_page_of_form(request))
            return wrapped(request, *args, **kwargs)

        return guarded

    def ask_to_log_in(self, url: str) -> HttpResponse:
        """The way to the login, which leads to ``url`` afterwards."""
        return redirect_to_login(url, reverse("admin:login", current_app=self.name))

    def form_view(self, view: Callable[..., HttpResponse], *fields: str) -> Callable[..., Any]:
        """``view`` wrapped in ``admin_view``, of a form that a session may end before it is sent.

        Who sends it then finds it again after logging in: a GET with these ``fields``.
        """
        wrapped = self.admin_view(require_http_methods(["GET", "HEAD", "POST"])(view))

        @wraps(wrapped)
        def form(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            may = self.has_permission(request)
            if request.method == "POST" and not may and (url := kept_forms.keep(request, fields)):
                return self.ask_to_log_in(url)
            if request.method == "GET" and may and kept_forms.KEPT in request.GET:
                kept = kept_forms.find(request)
                if kept is None:
                    messages.warning(request, _("This form is no longer kept, or is not yours."))
                    return HttpResponseRedirect(reverse("admin:index"))
                request.GET = kept  # type: ignore[assignment]
            response = wrapped(request, *args, **kwargs)
            if request.method == "POST" and may and response.status_code == 302:
                kept_forms.forget(request)  # it was carried out, or there is nothing left to do
            return response

        form.kept_fields = fields  # type: ignore[attr-defined]
        return form

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        pages = [
            {"label": page.label, "url": url, "is_current": request.path.startswith(url)}
            for page in self._pages
            if request.user.has_perms(page.permissions) and page.is_for(request.user)
            for url in [reverse(page.url_name)]
        ]
        return super().each_context(request) | {
            "console_pages": pages,
            "mappings_age": age_of_mappings(),
            "language_url": reverse("admin:set_language") if is_of_console(request) else "",
        }

    def get_urls(self) -> list[URLPattern | URLResolver]:
        urls: list[URLPattern | URLResolver] = []
        if self._index_view is not None:
            urls.append(path("", self.admin_view(self._index_view), name="index"))
        urls.append(path("language/", set_language, name="set_language"))
        urls.append(path("search/", self.admin_view(self.search_view), name="search"))
        urls += [path("", include(urlconf)) for urlconf in self._urlconfs]
        return urls + super().get_urls()


def _page_of_form(request: HttpRequest) -> str:
    """The page of the console that a form was on, as far as the browser tells."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # no URL at all
        return reverse("admin:index")
    if page.netloc != request.get_host() or not page.path.startswith(reverse("admin:index")):
        return reverse("admin:index")
    return urlunsplit(("", "", page.path, page.query, ""))


#: The one console, which ``PortalAdminConfig`` makes Django's default site.
console = cast(Console, admin.site)
