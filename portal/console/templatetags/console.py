"""The console's HTML fragments as template tags."""

from typing import Any

from django import template
from django.contrib.admin.views.main import ChangeList
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from cells.locate import key_of
from cells.registry import Cell
from portal.console import html

register = template.Library()

register.simple_tag(html.ago)
register.simple_tag(html.badge)
register.simple_tag(html.bar)
register.simple_tag(html.copyable)
register.simple_tag(html.copyable_lines)
register.simple_tag(html.milliseconds)
register.simple_tag(html.moment)
register.simple_tag(html.size)


@register.simple_tag
def row_url(cell: Cell, row: Any) -> str:
    """The URL of the row's detail page."""
    opts = row._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[key_of(cell, row)])


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
