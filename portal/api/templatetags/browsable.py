"""Links in the answers that the browsable API shows."""

import re
from urllib.parse import quote, urlencode, urlsplit

from django import template
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

PARENT = re.compile(r'^( *)"(\w+)": [\[{]$')
ID = re.compile(r'^( *)"id": ("?)([0-9a-f-]+)\2(,?)$')
URL = re.compile(r'^( *"(?:href|uri)": ")(https?://[^"]+)(",?)$')


@register.filter
def linked(text: str, microversion: str) -> SafeString:
    """Indented JSON with every id and URL of a resource as a link, at the same microversion."""
    parents: list[tuple[int, str]] = []
    lines: list[str] = []
    for line in text.splitlines():
        if parent := PARENT.match(line):
            depth = len(parent[1])
            parents = [*(one for one in parents if one[0] < depth), (depth, parent[2])]
        lines.append(_line(line, parents, microversion))
    return mark_safe("\n".join(lines))  # noqa: S308  (each line is escaped)


def _line(line: str, parents: list[tuple[int, str]], microversion: str) -> str:
    if found := ID.match(line):
        depth = len(found[1])
        above = [name for at, name in parents if at < depth]
        if above and (url := _url_of(above[-1], found[3], microversion)):
            return format_html(
                '{}"id": {}<a href="{}">{}</a>{}{}',
                found[1], found[2], url, found[3], found[2], found[4],
            )  # fmt: skip
    found = URL.match(line)
    if found and (parts := urlsplit(found[2])).path.startswith("/v2"):
        query = f"{parts.query}&" if parts.query else ""
        query += urlencode({"microversion": microversion})
        return format_html(
            '{}<a href="{}?{}">{}</a>{}', found[1], parts.path, query, found[2], found[3]
        )
    return escape(line)


def _url_of(parent: str, row_id: str, microversion: str) -> str:
    """Hypervisors have a URL of their own; services, which Nova gives none, the console's page."""
    if parent in ("hypervisor", "hypervisors"):
        return f"/v2.1/os-hypervisors/{quote(row_id)}?{urlencode({'microversion': microversion})}"
    if parent in ("service", "services"):
        if row_id.isdigit():
            return f"{reverse('admin:services_service_changelist')}?{urlencode({'q': row_id})}"
        return reverse("admin:services_service_change", args=[row_id])
    return ""
