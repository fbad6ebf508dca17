"""HTML fragments of the console: badges, bars, times.  Colour alone never carries meaning."""

import datetime
import math
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: Shown for a missing value.
DASH = "\N{EN DASH}"
NOTHING = format_html('<span class="quiet">{}</span>', DASH)

#: The shape of each kind of badge.
SHAPES = {"good": "●", "bad": "▼", "warning": "▲", "off": "■", "unknown": "◌"}


def badge(kind: str, text: "StrOrPromise") -> SafeString:
    """A state as text with a shape and a colour; ``kind`` is a key of ``SHAPES``."""
    return format_html(
        '<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>',
        kind,
        SHAPES[kind],
        text,
    )


def shape(kind: str) -> str:
    """The shape of a kind of badge alone, where its words stand elsewhere."""
    return SHAPES[kind]


def age(seconds: float) -> str:
    """A duration in its largest unit: ``12 s``, ``3 min``, ``5 h``, ``2 days``."""
    seconds = abs(seconds)
    if seconds < 120:
        return _("%(n)d s") % {"n": seconds}
    if seconds < 7200:
        return _("%(n)d min") % {"n": seconds / 60}
    if seconds < 172800:
        return _("%(n)d h") % {"n": seconds / 3600}
    days = int(seconds / 86400)
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def ago(
    when: datetime.datetime | None, now: datetime.datetime | None = None, *, words: str = ""
) -> SafeString:
    """How long ago a time was, with the time itself on hover.

    ``words`` say of what: ``last heartbeat %(age)s ago``.
    """
    if when is None:
        return NOTHING
    elapsed = ((now or timezone.now()) - when).total_seconds()
    if elapsed < 0:
        words = _("in %(age)s")
    words = words or _("%(age)s ago")
    return _time(when, words % {"age": age(elapsed)}, "ago")


def moment(when: datetime.datetime | None) -> SafeString:
    """A time in UTC; JavaScript shows it in the viewer's zone, with UTC on hover."""
    if when is None:
        return NOTHING
    utc = when.astimezone(datetime.UTC)
    return _time(when, f"{utc:%Y-%m-%d %H:%M:%S} UTC", "moment")


def _time(when: datetime.datetime, text: str, kind: str) -> SafeString:
    utc = when.astimezone(datetime.UTC)
    return format_html(
        '<time class="{}" datetime="{}" title="{} UTC">{}</time>',
        kind,
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%Y-%m-%d %H:%M:%S}",
        text,
    )


def number(value: float) -> str:
    """A number with at most two decimals and no trailing zeros: ``1.25``, ``12.5``, ``125``."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


#: The next larger unit of each, 1024 times as large.
LARGER = {"MiB": "GiB", "GiB": "TiB", "TiB": "PiB", "PiB": "EiB"}


def in_unit(amount: float, unit: str) -> tuple[float, str]:
    """``amount`` in the largest unit in which it is at least 1 (memory always in GiB or more)."""
    value = float(amount)
    while unit in LARGER and (abs(value) >= 1024 or unit == "MiB"):
        value, unit = value / 1024, LARGER[unit]
    return value, unit


def size(amount: float | None, unit: str) -> str:
    """An amount with its unit, if it has one: ``size(4096, "MiB")`` is ``4 GiB``."""
    if amount is None:
        return DASH
    if not unit:
        return number(amount)
    value, unit = in_unit(amount, unit)
    return f"{number(value)} {unit}"


def bar(
    used: float | None, limit: float | None, unit: str = "", physical: float | None = None
) -> SafeString:
    """Usage as a bar: used / limit with the unit, and the percentage, which is rounded down.

    ``unit`` is empty for counts, ``MiB`` or ``GiB`` for sizes.  Where ``physical`` is less than the
    limit, a mark shows where it ends.
    """
    if used is None or limit is None:
        return NOTHING
    shown_limit, shown_unit = in_unit(limit, unit) if unit else (limit, "")
    factor = shown_limit / limit if limit else 1
    text = f"{number(used * factor)} / {number(shown_limit)} {shown_unit}".rstrip()
    if limit <= 0:
        return format_html('<span class="usage"><span class="numbers">{}</span></span>', text)
    percent = math.floor(100 * used / limit)
    level = "over" if percent >= 100 else "high" if percent >= 90 else "normal"
    mark, title = SafeString(), SafeString()
    if physical is not None and physical < limit:
        where = 100 * physical / limit
        mark = format_html(
            '<rect class="physical" x="{}%" width="2" height="6"/>', f"{min(where, 99):.1f}"
        )
        title = format_html(' title="{}"', _("physical: %(n)s") % {"n": size(physical, unit)})
    return format_html(
        '<span class="usage"{}><span class="numbers">{}</span> <span class="percent">{} %</span>'
        '<svg class="bar {}" aria-hidden="true" width="100%" height="6">'
        '<rect class="total" width="100%" height="6" rx="3"/>'
        '<rect class="used" width="{}%" height="6" rx="3"/>{}</svg></span>',
        title,
        text,
        percent,
        level,
        min(max(percent, 0), 100),
        mark,
    )


def copyable(text: Any, label: "StrOrPromise") -> SafeString:
    """Text with a button that copies it (with JavaScript)."""
    return format_html(
        '<span class="copyable"><code>{}</code><button type="button" class="copy" hidden '
        'data-copy="{}" aria-label="{}">{}</button></span>',
        text,
        text,
        label,
        _("Copy"),
    )


def copyable_lines(text: str, label: "StrOrPromise") -> SafeString:
    """Several lines, such as commands, with a button that copies all of them."""
    return format_html(
        '<div class="copyable lines"><pre tabindex="0">{}</pre><button type="button" class="copy" '
        'hidden data-copy="{}" aria-label="{}">{}</button></div>',
        text,
        text,
        label,
        _("Copy"),
    )


def milliseconds(seconds: float | None) -> str:
    """A latency in milliseconds."""
    return "" if seconds is None else f"{number(1000 * seconds)} ms"
