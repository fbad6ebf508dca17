"""The console's HTML fragments as template tags."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django import template
from django.contrib.admin.views.main import ChangeList
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from cells.executors import CellUnavailable
from cells.locate import key_of
from cells.registry import Cell
from portal.console import html, kept_forms
from portal.console.stored_texts import translated

register = template.Library()

register.simple_tag(html.ago)
register.simple_tag(html.badge)
register.simple_tag(html.bar)
register.simple_tag(html.copyable)
register.simple_tag(html.copyable_lines)
register.simple_tag(html.milliseconds)
register.simple_tag(html.moment)
register.simple_tag(html.shape)
register.simple_tag(html.size)
register.filter(translated)

#: What differs between the causes of cells that are silent for one reason: quoted names, addresses
#: and numbers.
PARTICULARS = re.compile(r"\"[^\"]*\"|'[^']*'|\(?\b\d[\d.:]*\)?")


@register.filter
def by_cause(missing: Iterable[CellUnavailable]) -> list[tuple[str, list[Cell]]]:
    """The missing cells together with those that are so for the same cause, most cells first.

    The cause is the first cell's; one of several cells is without what is particular to each.
    """
    groups: dict[str, list[CellUnavailable]] = defaultdict(list)
    for one in missing:
        groups[PARTICULARS.sub("…", one.cause)].append(one)
    return sorted(
        (
            (
                translated(general if len({one.cause for one in group}) > 1 else group[0].cause),
                [one.cell for one in group],
            )
            for general, group in groups.items()
        ),
        key=lambda group: -len(group[1]),
    )


@register.simple_tag
def row_url(cell: Cell, row: Any) -> str:
    """The URL of the row's detail page."""
    opts = row._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[key_of(cell, row)])


@register.simple_tag(takes_context=True)
def sender(context: Context) -> SafeString:
    """Hidden inputs that say who sends a form, and which kept one it is, if it is one of them.

    See ``portal.console.kept_forms``.
    """
    request = context["request"]
    fields = {kept_forms.SENDER: kept_forms.signature(request.user)}
    if name := kept_forms.name_of(request):
        fields[kept_forms.KEPT] = name
    return format_html_join("", '<input type="hidden" name="{}" value="{}">', fields.items())


@register.simple_tag
def row_key(cell: Cell, row: Any) -> str:
    """The row's key in URLs and forms."""
    return key_of(cell, row)


@register.simple_tag
def hidden_fields(changelist: ChangeList, *names: str) -> SafeString:
    """Hidden inputs that keep a list's parameters, except ``names`` and the page."""
    return format_html_join(
        "",
        '<input type="hidden" name="{}" value="{}">',
        (
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in names
            for value in values
        ),
    )


@register.simple_tag
def labelled_cells(cells: Iterable[SafeString], headers: Iterable[dict[str, Any]]) -> SafeString:
    """A row of Django's list, each cell with the heading of its column, for small screens."""
    return format_html_join(
        "",
        "{}",
        ((_labelled(cell, header["text"]),) for cell, header in zip(cells, headers, strict=True)),
    )


def _labelled(cell: SafeString, heading: str) -> SafeString:
    if isinstance(heading, SafeString):  # the box that selects all
        return cell
    start = format_html('<td data-label="{}"', capfirst(heading))
    return mark_safe(cell.replace("<td", start, 1))  # noqa: S308
