"""The console's languages: every text is marked and translated; everything else is English."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from babel.messages.mofile import read_mo
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import Resolver404, resolve, reverse
from django.utils import translation
from django.utils.translation import gettext, trans_real

from audit import accounts
from audit.journal import Actor, Refused, draft, recorded
from audit.models import Channel, Entry
from cells.cache import CachedValue
from cells.locate import key_of
from cells.models import CellModel
from cells.registry import all_cells
from hypervisors.demo.fleet import Fleet
from hypervisors.models import ComputeNode
from maintenance import record
from maintenance.models import Method
from maintenance.plans import PLANS
from portal.console.stored_texts import forget_translations, translated
from services import backfill_tasks
from services.actions import ACTIONS, DISABLE, name_of
from services.locate import ServiceRef, find
from services.models import Service
from services.undo import Undo
from tests import messages
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

CATALOGUES = sorted(messages.LOCALES.glob("*/LC_MESSAGES/django.po"))
PLACEHOLDERS = re.compile(r"%(?:\(\w+\))?(?:\.\d+)?[sdf%]|<[^>]+>")


# --- the catalogues -----------------------------------------------------------------------------


def forms(texts: Any) -> tuple[str, ...]:
    """A text, or its singular and plural."""
    return tuple(texts) if isinstance(texts, (tuple, list)) else (texts or "",)


def marks(text: str) -> list[str]:
    """The placeholders and tags in a text."""
    return sorted(PLACEHOLDERS.findall(text))


@pytest.fixture(params=CATALOGUES, ids=lambda po: po.parent.parent.name)
def catalogue(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_catalogue_has_every_text_and_no_other(catalogue: Path) -> None:
    catalog = messages.read(catalogue)
    assert {message.id for message in catalog} == {message.id for message in messages.found()}
    assert not catalog.obsolete
    for message in catalog:
        texts, strings = forms(message.id), forms(message.string)
        assert all(strings), texts
        assert not message.fuzzy, texts
        for number, string in enumerate(strings) if message.id else ():
            text = texts[min(number, len(texts) - 1)]
            assert marks(string) == marks(text), text


def test_a_catalogue_is_compiled(catalogue: Path) -> None:
    with catalogue.with_suffix(".mo").open("rb") as file:
        compiled = {forms(message.id): forms(message.string) for message in read_mo(file)}
    written = {forms(message.id): forms(message.string) for message in messages.read(catalogue)}
    del compiled["",], written["",]  # the headers
    assert compiled == written


# --- the pages ----------------------------------------------------------------------------------

#: What a person reads of a page besides its text.
ATTRIBUTES = {
    "alt", "aria-label", "data-expired", "data-fresh", "data-label", "data-paused", "data-stale",
    "placeholder", "title",
}  # fmt: skip
#: Elements whose text is not prose: what programs read and write, times, and what is not shown.
SILENT = {"code", "kbd", "pre", "samp", "script", "style", "time"}


WORD = r"[^\W\d_]{2,}"
#: What is the same in every language: units, and the names of languages.
DATA = ("UTC", "ms", "MiB", "GiB", "TiB", "PiB", "English", "True", "False")
#: What separates the context of a text from it.
CONTEXT = "\x04"


class Brackets(NullTranslations):
    """A translation that puts every text that is marked into brackets."""

    def gettext(self, message: str) -> str:
        texts = [message] if " " in message else message.split(",")  # yes,no,maybe
        return ",".join(f"⟦{text.rpartition(CONTEXT)[2]}⟧" for text in texts if text)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def to_language(self) -> str:
        return "de"


@pytest.fixture
def brackets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """An administrator's client, to whom all that is marked is shown in brackets."""
    monkeypatch.setitem(trans_real._translations, "de", Brackets())  # type: ignore[attr-defined]
    client = Client(headers={"Accept-Language": "de"})
    client.force_login(User.objects.create_superuser("operator", "operator@example.org"))
    forget_translations()
    yield client
    forget_translations()


class Page(HTMLParser):
    """What there is to read on a page outside of brackets, and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self._silent: list[str] = []
        self.open_brackets = 0  # they may have elements in them
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        read = [value for name, value in values.items() if name in ATTRIBUTES]
        if tag == "input" and values.get("type") == "submit":
            read.append(values.get("value", ""))
        self.texts += [outside(text)[0] for text in read]
        if tag in SILENT:
            self._silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        text, self.open_brackets = outside(data, self.open_brackets)
        if not self._silent:
            self.texts.append(text)


def outside(text: str, depth: int = 0) -> tuple[str, int]:
    """What of a text is outside of brackets, and how many are open at its end."""
    kept = []
    for part in re.split("([⟦⟧])", text):
        if part == "⟦":
            depth += 1
        elif part == "⟧":
            depth -= 1
            kept.append(" ")
        elif not depth:
            kept.append(part)
    return "".join(kept), depth


def crawl(client: Client) -> Iterator[tuple[str, Page]]:
    """Each view that there is a link to, without parameters and with some."""
    todo, seen = ["/admin/"], set()
    while todo:
        url = todo.pop(0)
        parts = urlsplit(url)
        try:
            key = resolve(parts.path).view_name, bool(parts.query)
        except Resolver404:
            continue
        if not parts.path.startswith("/admin/") or key in seen:
            continue
        seen.add(key)
        response = client.get(url, follow=True)
        if response.headers["Content-Type"].startswith("text/html"):
            page = Page(response.content.decode())
            yield url, page
            todo += [urljoin(url, link) for link in page.links]


def acted(client: Client) -> Iterator[tuple[str, Page]]:
    """The pages of actions on services and hosts, and of what cannot be done."""
    keys = [str(service.uuid) for service in Service.objects.using(all_cells()[1].alias)[:3]]
    for action in ACTIONS:
        form: dict[str, Any] = {"action": action, "key": keys, "reason": "r"}
        yield f"{action}: confirm", posted(client, "/admin/services/service/act/", form)
        typed: dict[str, Any] = {f"host:{key}": find(ServiceRef(uuid=key)).row.host for key in keys}
        form |= {"confirm": "1", **typed}
        yield f"{action}: results", posted(client, "/admin/services/service/act/", form)
    for node in ComputeNode.objects.using(all_cells()[1].alias):
        url = reverse("admin:hypervisors_computenode_change", args=[key_of(all_cells()[1], node)])
        yield url, Page(client.get(url).content.decode())
    for plan in PLANS:
        form = {"action": plan, "key": keys}
        yield f"{plan}: confirm", posted(client, "/admin/maintenance/start/?of=services", form)
    for url in (
        "/admin/nowhere/",
        "/admin/services/service/act/?action=none",
        "/admin/search/?q=c",
    ):
        yield url, Page(client.get(url).content.decode())
    yield "login", posted(Client(headers={"Accept-Language": "de"}), "/admin/login/", {})


def posted(client: Client, url: str, form: dict[str, Any]) -> Page:
    """The page that a form leads to."""
    return Page(client.post(url, form, follow=True).content.decode())


def stored(value: Any) -> Iterator[str]:
    """The texts in a column; those within JSON one by one."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from stored(part)
    elif isinstance(value, str):
        yield value


def data() -> set[str]:
    """What is in the databases: names, states and ids, which no catalogue has."""
    texts = {*DATA, settings.DEFAULT_AVAILABILITY_ZONE, settings.INTERNAL_AVAILABILITY_ZONE}
    texts |= {
        str(app.verbose_name) for app in apps.get_app_configs() if app.name not in messages.APPS
    }
    texts |= {text for cell in all_cells() for text in (cell.engine, cell.server)}
    for model in apps.get_models():
        texts.add(model._meta.db_table)
        is_of_cells = issubclass(model, CellModel)
        for alias in [cell.alias for cell in all_cells()] if is_of_cells else [None]:
            for row in model._base_manager.using(alias).values_list():
                texts.update(text for value in row for text in stored(value))
    return texts


def test_every_text_of_the_console_is_marked(fleet: Fleet, brackets: Client) -> None:
    """What is not in brackets comes from a database."""
    pages = [*crawl(brackets), *acted(brackets)]
    texts = {" ".join(text.split()): url for url, page in pages for text in page.texts}
    from_databases = data()
    words = (re.escape(text) for text in sorted(from_databases, key=len, reverse=True) if text)
    known = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)")
    left = {
        text: url
        for text, url in texts.items()
        if text not in from_databases and re.search(WORD, known.sub(" ", text))
    }
    assert not any(page.open_brackets for _url, page in pages)
    assert not left, "\n".join(map(str, left.items()))
    assert len(pages) > 40


# --- what is English ----------------------------------------------------------------------------


@pytest.fixture
def german(db: None) -> Client:
    """The client of an administrator whose browser wants German."""
    client = Client(headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.1"})
    client.force_login(User.objects.create_superuser("ann"))
    return client


def test_the_api_speaks_english(cloud: Cloud, api: ApiClient, german: Client) -> None:
    service, _node = cloud.host("cell1", "a")
    cloud.add_instance("cell1", "a")
    path = f"/os-services/{service.uuid}"
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/os-services", None),
        ("GET", "/os-hypervisors/detail", None),
        ("GET", "/os-hypervisors?limit=x", None),
        ("GET", "/os-hypervisors/none", None),
        ("PUT", path, {"status": "no such"}),
        ("PUT", path, b"{"),
        ("PUT", path, {}),
        ("PATCH", "/os-services", None),
        ("DELETE", path, None),
    ]
    wrong = ApiClient("wrong")
    for client, method, where, body in (
        *((api, *request) for request in requests),
        (wrong, "GET", "/os-services", None),
    ):
        assert german.get("/admin/")["Content-Language"] == "de"
        plain = client.send(method, where, "2.53", body)
        asked = client.send(method, where, "2.53", body, headers={"Accept_Language": "de"})
        assert (plain.status, plain.text) == (asked.status, asked.text), where
        assert "Content-Language" not in asked.headers
    page = german.get("/v2.1/os-services", headers={"Accept": "text/html"}).content.decode()
    assert '<html lang="en"' in page
    assert "Microversion" in page
    assert "Übersicht" not in page


def test_what_is_stored_is_english_and_shown_in_german(cloud: Cloud, german: Client) -> None:
    german.post("/admin/auth/group/add/", {"name": "Nachtschicht"})
    entry = Entry.objects.get(action__contains="group")
    assert (entry.action, entry.subject) == ("create group", "group Nachtschicht")
    service, _node = cloud.host("cell1", "a", service={"disabled": True})
    cloud.add_instance("cell1", "a")
    form = {"action": "delete", "key": service.uuid}
    page = " ".join(german.post("/admin/services/service/act/", form).content.decode().split())
    blocker = re.search(r'<li class="blocker">(.*?)</li>', page)
    assert blocker
    assert "1 Server ist darauf. Der Compute-Service kann nicht gelöscht werden" in blocker[1]
    file = german.get("/admin/services/service/export.csv")
    assert 'filename="services-' in file["Content-Disposition"]
    assert b"".join(file).startswith(b"host,binary,cell")
    shared = CachedValue(lambda: gettext("Overview"), ttl=60)
    with translation.override("de"):
        entry = draft(Actor("ann", Channel.CONSOLE), "disable")
        with pytest.raises(Refused), recorded(entry, "service"):
            raise Refused(str(DISABLE.no_effect))
        assert (shared.get(), gettext("Overview")) == ("Overview", "Übersicht")
        assert translated(entry.message) == "bereits deaktiviert"
    assert Entry.objects.get(action="disable").message == "already disabled"


def test_the_audit_names_actions_in_the_language_of_its_reader(
    cloud: Cloud, german: Client
) -> None:
    service, _node = cloud.host("cell1", "a")
    form = {"action": "disable", "key": service.uuid, "confirm": "1"}
    german.post("/admin/services/service/act/", form)
    entry = Entry.objects.get(action="disable")
    german.post(
        "/admin/services/service/act/", {"action": "undo", "entry": entry.pk, "confirm": "1"}
    )
    undo = Entry.objects.get(action="undo")
    for url in (
        "/admin/",
        "/admin/audit/entry/",
        f"/admin/audit/entry/{entry.pk}/change/",
        f"/admin/audit/entry/{undo.pk}/change/",
        f"/admin/services/service/{service.uuid}/",
    ):
        text = " ".join(Page(german.get(url).content.decode()).texts)
        assert "deaktivieren" in text, url
        assert not re.search(r"\b(disable|undo)\b", text), url
    file = german.get("/admin/audit/entry/export.csv")
    assert b",disable," in b"".join(file)


def test_every_action_of_the_audit_has_a_name_in_the_catalogue() -> None:
    assert {*PLANS, *Method.values} < set(record.ACTIONS)
    names = [
        *(action.name for action in ACTIONS.values()),
        *(name for names in accounts.ACTIONS.values() for name in names),
        *(name_of([]), Undo.name, backfill_tasks.ACTION, accounts.LOG_IN, accounts.LOG_OUT),
        *record.ACTIONS.values(),
    ]
    with translation.override("de"):
        assert not [name for name in names if translated(name) == name]


def test_stored_texts_are_found_in_the_catalogue() -> None:
    texts = {
        "waiting for its turn": "wartet, bis der Host an der Reihe ist",
        "cell c1: no answer within 2.0 s": "Zelle c1: keine Antwort innerhalb von 2.0 s",
        "still on the host: 1 of 7 servers": "noch auf dem Host: 1 von 7 Servern",
        "waiting for 3 other migrations from or to the host": (
            "wartet auf 3 andere Migrationen von oder zu dem Host"
        ),
        "not begun: it is down: servers can only be evacuated from a dead host; waiting for its "
        "turn": "nicht begonnen: er ist down: Von einem toten Host können Server nur evakuiert "
        "werden; wartet, bis der Host an der Reihe ist",
        "nova-compute on cmp-1": "nova-compute auf cmp-1",
        "a lease on cmp-1": "a lease on cmp-1",
        "Service 12 could not be found.": "Service 12 wurde nicht gefunden.",
        'FATAL: role "nova" does not exist': 'FATAL: role "nova" does not exist',
    }
    with translation.override("de"):
        assert {text: translated(text) for text in texts} == texts
    assert [translated(text) for text in texts] == list(texts)


def test_the_language_is_the_browsers_until_another_is_chosen(db: None) -> None:
    client = Client(headers={"Accept-Language": "de"})
    login = client.get("/admin/login/")
    assert '<html lang="de"' in login.content.decode()
    chosen = client.post("/admin/language/", {"language": "en", "next": "/admin/login/?next=/x"})
    assert (chosen.status_code, chosen["Location"]) == (302, "/admin/login/?next=/x")
    english = client.get("/admin/login/")
    assert '<html lang="en"' in english.content.decode()
    assert 'value="de"' in english.content.decode()
    assert {"Accept-Language", "Cookie"} <= set(english["Vary"].split(", "))
    assert '<html lang="en"' in Client().get("/admin/login/").content.decode()
