"""The console's languages: every text is marked and translated; everything else is English."""

import gettext
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from babel.messages.mofile import read_mo
from django.contrib.auth.models import User
from django.test import Client
from django.urls import Resolver404, resolve
from django.utils import translation
from django.utils.translation import trans_real

from hypervisors.demo.fleet import Fleet
from tests import messages

pytestmark = pytest.mark.any_engine

CATALOGUES = sorted(messages.LOCALES.glob("*/LC_MESSAGES/django.po"))
PLACEHOLDERS = re.compile(r"%(?:\(\w+\))?(?:\.\d+)?[sdf%]|<[^>]+>")


# --- the catalogues -----------------------------------------------------------------------------


def forms(texts: Any) -> tuple[str, ...]:
    """A text, or its singular and plural."""
    return tuple(texts) if isinstance(texts, (tuple, list)) else (texts or "",)


@pytest.fixture(params=CATALOGUES, ids=lambda po: po.parent.parent.name)
def catalogue(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_catalogue_has_every_text_and_no_other(catalogue: Path) -> None:
    texts = {message.id for message in messages.found() if message.id}
    translated = messages.read(catalogue)
    assert {message.id for message in translated if message.id} == texts, "make messages"
    assert not translated.obsolete
    for message in translated:
        strings = forms(message.string)
        assert all(strings), message.id
        assert not message.fuzzy, message.id
        for text, string in zip(forms(message.id)[-1:] * len(strings), strings, strict=True):
            if message.id:
                assert sorted(PLACEHOLDERS.findall(string)) == sorted(PLACEHOLDERS.findall(text)), (
                    text
                )


def test_a_catalogue_is_compiled(catalogue: Path) -> None:
    with catalogue.with_suffix(".mo").open("rb") as file:
        compiled = {message.id: message.string for message in read_mo(file) if message.id}
    written = {message.id: message.string for message in messages.read(catalogue) if message.id}
    assert {key: forms(string) for key, string in compiled.items()} == {
        key: forms(string) for key, string in written.items()
    }, "make messages"


# --- the pages ----------------------------------------------------------------------------------

#: What a person reads of a page besides its text.
ATTRIBUTES = {
    "alt", "aria-label", "data-expired", "data-fresh", "data-label", "data-stale", "placeholder",
    "title",
}  # fmt: skip
#: Elements whose text is not prose: code, times, and what is never shown.
SILENT = {"code", "pre", "script", "style", "time"}


class Brackets(gettext.NullTranslations):
    """A translation that puts every text that is marked into brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message.rpartition('\x04')[2]}⟧" if message else ""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def to_language(self) -> str:
        return "de"


@pytest.fixture
def brackets(monkeypatch: pytest.MonkeyPatch) -> Client:
    """An administrator's client, to whom all that is marked is shown in brackets."""
    monkeypatch.setitem(trans_real._translations, "de", Brackets())  # type: ignore[attr-defined]
    client = Client(headers={"Accept-Language": "de"})
    client.force_login(User.objects.create_superuser("operator", "operator@example.org"))
    return client


class Page(HTMLParser):
    """What there is to read on a page, and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self._silent: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        self.texts += [value for name, value in values.items() if name in ATTRIBUTES]
        if tag == "input" and values.get("type") == "submit":
            self.texts.append(values.get("value", ""))
        if tag in SILENT:
            self._silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.texts.append(data)


def unmarked(text: str) -> list[str]:
    """The words outside of brackets."""
    shorter = None
    while shorter != text:
        shorter, text = text, re.sub(r"⟦[^⟦⟧]*⟧", " ", text)
    return re.findall(r"[^\W\d_]{2,}", text)


def crawl(client: Client) -> Iterator[tuple[str, Page]]:
    """One page of each kind: each view, with each set of parameters."""
    todo, seen = ["/admin/"], set()
    while todo:
        url = todo.pop(0)
        parts = urlsplit(url)
        try:
            match = resolve(parts.path)
        except Resolver404:
            continue
        key = match.view_name, frozenset(re.findall(r"(\w+)=", parts.query))
        if not parts.path.startswith("/admin/") or key in seen:
            continue
        seen.add(key)
        response = client.get(url, follow=True)
        if response.headers["Content-Type"].startswith("text/html"):
            page = Page(response.content.decode())
            yield url, page
            todo += [urljoin(url, link) for link in page.links]


def test_every_text_of_the_console_is_marked(fleet: Fleet, brackets: Client) -> None:
    found: dict[str, tuple[str, str]] = {}
    for url, page in crawl(brackets):
        print(url)
        for text in page.texts:
            for word in unmarked(text):
                found.setdefault(word, (url, text.strip()[:150]))
    for word, where in found.items():
        print(word, where)
    assert 0
