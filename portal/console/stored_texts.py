"""Texts that are stored, raised or logged in English, in the reader's language.

Why an action was refused, what a maintenance waits for, or why a cell is away is said once, in
English, to the API, the audit and the log (``portal.languages``).  Where the console shows it, it
is looked up in the catalogue again: as it is, or by the msgids with placeholders that it fits.
What fits none, such as an error of a database's driver, stays as it is.
"""

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import get_language, gettext, ngettext

#: Longer ones are not ours.
MAX_LENGTH = 2000
#: What stands between the parts of a text that is put together.
SEPARATOR = "; "
PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?(?:\.\d+)?([sdf])")
#: What a value can be, by the type of its placeholder, or by its name where that says more.
VALUES = {"s": ".+?", "d": r"\d+|…", "f": r"\d+(?:\.\d+)?|…"}
NAMED_VALUES = {"binary": r"nova-\w+"}


class Pattern(NamedTuple):
    """A msgid with placeholders: what fits it, its forms, and how many characters are its own."""

    fits: re.Pattern[str]
    forms: list[str]
    size: int


def translated(text: object) -> str:
    """A text in the reader's language, and unchanged where it is none of the portal's."""
    text = str(text)
    language = get_language() or settings.LANGUAGE_CODE
    if not text or language == settings.LANGUAGE_CODE or len(text) > MAX_LENGTH:
        return text
    return _translated(text, language)


@lru_cache(maxsize=4096)
def _translated(text: str, language: str) -> str:
    whole = _whole(text, language)
    if whole != text or SEPARATOR not in text:
        return whole
    return SEPARATOR.join(_whole(part, language) for part in text.split(SEPARATOR))


def forget_translations() -> None:
    """Look everything up again: the catalogue is another."""
    _translated.cache_clear()


def _whole(text: str, language: str) -> str:
    if (found := gettext(text)) != text:
        return found
    for pattern in _patterns(language):
        if match := pattern.fits.fullmatch(text):
            values = match.groupdict() or match.groups()
            return _formatted(pattern.forms, values, language)
    return text


def _formatted(forms: list[str], values: dict[str, str] | tuple[str, ...], language: str) -> str:
    """The translation with the values; those are texts in turn."""
    if isinstance(values, tuple):
        words = gettext(forms[0])
        return PLACEHOLDER.sub("%s", words) % tuple(_translated(one, language) for one in values)
    if len(forms) > 1:
        number = values.get("n", "")
        words = ngettext(forms[0], forms[1], int(number) if number.isdigit() else 2)
    else:
        words = gettext(forms[0])
    words = PLACEHOLDER.sub(r"%(\1)s", words)
    return words % {name: _translated(value, language) for name, value in values.items()}


@lru_cache
def _patterns(language: str) -> list[Pattern]:
    """The msgids with placeholders, those with the most characters of their own first."""
    patterns = []
    for forms in _msgids(settings.LOCALE_PATHS[0] / language / "LC_MESSAGES" / "django.mo"):
        for form in forms:
            words = PLACEHOLDER.sub("", form)
            names = {match[1] for match in PLACEHOLDER.finditer(form)}
            is_telling = re.search(r"[^\W\d_]{4}", words) or names & NAMED_VALUES.keys()
            if words != form and is_telling:
                patterns.append(Pattern(_regex(form), forms, len(words)))
    return sorted(patterns, key=lambda pattern: -pattern.size)


def _regex(form: str) -> re.Pattern[str]:
    parts, end, seen = [], 0, set()
    for match in PLACEHOLDER.finditer(form):
        name, value = match[1], NAMED_VALUES.get(match[1], VALUES[match[2]])
        parts.append(re.escape(form[end : match.start()].replace("%%", "%")))
        parts.append(
            f"(?P={name})" if name in seen else f"(?P<{name}>{value})" if name else f"({value})"
        )
        seen.add(name)
        end = match.end()
    return re.compile("".join((*parts, re.escape(form[end:].replace("%%", "%")))), re.DOTALL)


def _msgids(path: Path) -> Iterator[list[str]]:
    """The msgids in a .mo file, each with its plural if it has one; those with a context are none.

    ``gettext`` reads them, too, but keeps no plurals of msgids.
    """
    if not path.exists():  # a language of Django's own
        return
    content = path.read_bytes()
    _magic, _version, count, table = struct.unpack_from("<4I", content)
    for number in range(count):
        length, offset = struct.unpack_from("<2I", content, table + 8 * number)
        msgid = content[offset : offset + length].decode()
        if msgid and "\4" not in msgid:
            yield msgid.split("\0")
