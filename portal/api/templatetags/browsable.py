"""Links in the browsable API."""

import re
from urllib.parse import urlencode, urlsplit

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from portal.api.routers import router
from portal.api.versioning import PICKER
from portal.microversions import MIN_VERSION, Version

register = template.Library()

PARENT = re.compile(r'^( *)"(\w+)": [\[{]$')
ID = re.compile(r'^( *)"id": ("?)([0-9a-f-]+)\2(,?)$')
URL = re.compile(r'^( *"(?:href|uri)": ")(https?://[^"]+)(",?)$')


@register.simple_tag
def list_paths(microversion: str) -> list[str]:
    """Paths without an id at the microversion: entry points of the browsable API."""
    return router.list_paths(Version.parse(microversion) if microversion else MIN_VERSION)


@register.filter
def linked(text: str, microversion: str) -> SafeString:
    """Indented JSON with links for the ids and URLs of resources, at the same microversion."""
    parents: list[tuple[int, str]] = []
    lines: list[str] = []
    for line in text.splitlines():
        if parent := PARENT.match(line):
            depth = len(parent[1])
            parents = [*(above for above in parents if above[0] < depth), (depth, parent[2])]
        lines.append(_line(line, parents, microversion))
    return mark_safe("\n".join(lines))  # noqa: S308  (each line is escaped)


def _line(line: str, parents: list[tuple[int, str]], microversion: str) -> str:
    if found := ID.match(line):
        depth = len(found[1])
        above = [name for at, name in parents if at < depth]
        if above and (url := router.object_url(above[-1], found[3], microversion)):
            return format_html(
                '{}"id": {}<a href="{}">{}</a>{}{}',
                found[1], found[2], url, found[3], found[2], found[4],
            )  # fmt: skip
    found = URL.match(line)
    if found and (parts := urlsplit(found[2])).path.startswith("/v2"):
        query = f"{parts.query}&" if parts.query else ""
        query += urlencode({PICKER: microversion})
        return format_html(
            '{}<a href="{}?{}">{}</a>{}', found[1], parts.path, query, found[2], found[3]
        )
    return escape(line)
