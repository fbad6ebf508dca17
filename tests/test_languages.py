"""The console's languages: every text is marked and translated, and only the console's are."""

import gettext
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve
from django.utils.translation import trans_real

from hypervisors.demo.fleet import Fleet

pytestmark = pytest.mark.any_engine

#: What a person reads of a page besides its text.
ATTRIBUTES = (
    "alt",
    "aria-label",
    "placeholder",
    "title",
    "data-label",
    "data-fresh",
    "data-stale",
    "data-expired",
)
#: Elements whose text is not prose: code, times, and what is never shown.
SILENT = ("code", "pre", "script", "style", "time")


class Brackets(gettext.NullTranslations):
    """A translation that puts every text that is marked into brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message.rpartition(chr(4))[2]}⟧" if message else ""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def to_language(self) -> str:
        return "de"


@pytest.fixture
def brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    translation_of_german = Brackets()
    monkeypatch.setattr(translation_of_german, "_DjangoTranslation__language", "de", raising=False)
    monkeypatch.setattr(translation_of_german, "to_language", lambda *args: "de", raising=False)
    monkeypatch.setattr(translation_of_german, "language", lambda *args: "de", raising=False)
    monkeypatch.setitem(trans_real._translations, "de", translation_of_german)


class Texts(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.texts += [values[name] for name in ATTRIBUTES if values.get(name)]
        if tag == "input" and values.get("type") == "submit":
            self.texts.append(values.get("value") or "")
        if tag in SILENT:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data):
        if not self._open:
            self.texts.append(data)


def unmarked(text: str) -> list[str]:
    """What is outside of brackets."""
    while "⟦" in text:
        shorter = re.sub(r"⟦[^⟦⟧]*⟧", " ", text)
        if shorter == text:
            break
        text = shorter
    return re.findall(r"[^\W\d_]{2,}", text)


def test_dump(fleet: Fleet, brackets: None) -> None:
    client = Client(headers={"Accept-Language": "de"})
    client.force_login(User.objects.create_superuser("operator", "o@example.org"))
    todo, seen, found = ["/admin/"], set(), {}
    while todo:
        url = todo.pop(0)
        parts = urlsplit(url)
        if not parts.path.startswith("/admin/"):
            continue
        try:
            match = resolve(parts.path)
        except Exception:
            continue
        key = (
            match.view_name,
            tuple(sorted(set(re.findall(r"(?:^|&)(\w+)=", parts.query)))),
            str(match.kwargs.get("model", "")),
        )
        if key in seen:
            continue
        seen.add(key)
        response = client.get(url, follow=True)
        if response.headers["Content-Type"].startswith("text/html"):
            page = Texts(response.content.decode())
            print(response.status_code, url)
            for text in page.texts:
                for word in unmarked(text):
                    found.setdefault((word), (url, text.strip()[:150]))
            todo += [urljoin(url, link) for link in page.links]
    for word, where in found.items():
        print(word, where)
    assert 0
