"""The catalogues of the console's languages: ``python -m tests.messages``, which ``make messages``
runs, adds the texts that are new to each .po file and compiles it.

In place of ``makemessages`` and ``compilemessages``, as gettext's tools are not everywhere.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "portal" / "locale"
APPS = ("portal", "cloud", "cells", "services", "hypervisors", "audit", "aggregates", "maintenance")

#: Which arguments of a function are texts.
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "SourceText": None,
}


def files() -> Iterator[Path]:
    """The code and the templates in which there are texts."""
    for app in APPS:
        yield from sorted(
            path for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts
        )
    yield from sorted((ROOT / "templates").rglob("*.html"))


def found(keywords: dict[str, tuple[int | tuple[int, str], ...] | None] = KEYWORDS) -> Catalog:
    """The texts of the code and the templates, with where they are."""
    catalog = Catalog()
    for path in files():
        text = path.read_text()
        if path.suffix == ".html":
            # It leaves the texts as Python calls them, and an X for everything else.
            text = "\n".join(line.strip() for line in templatize(text).splitlines())
        name = str(path.relative_to(ROOT))
        source = io.BytesIO(text.encode())
        for line, message, comments, context in extract("python", source, keywords):
            catalog.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return catalog


def read(po: Path) -> Catalog:
    """The catalogue in a .po file."""
    with po.open("rb") as file:
        return read_po(file, locale=po.parent.parent.name)


def compiled(catalog: Catalog) -> bytes:
    """The .mo file of a catalogue."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> None:
    """Bring every .po file up to date with the code, and compile it."""
    texts = found()
    for po in sorted(LOCALES.glob("*/LC_MESSAGES/django.po")):
        catalog = read(po)
        catalog.update(texts, no_fuzzy_matching=True, update_creation_date=False)
        with po.open("wb") as file:
            write_po(
                file, catalog, width=100, sort_by_file=True, ignore_obsolete=True,
                include_lineno=False,
            )  # fmt: skip
        catalog = read(po)
        po.with_suffix(".mo").write_bytes(compiled(catalog))
        left = sum(1 for message in catalog if message.id and not all(_strings(message.string)))
        sys.stdout.write(f"{po.relative_to(ROOT)}: {len(catalog)} texts, {left} to translate\n")


def _strings(string: object) -> tuple[str, ...]:
    return tuple(string) if isinstance(string, (tuple, list)) else (str(string),)


if __name__ == "__main__":
    main()
