"""Lists as CSV files."""

import csv
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cells.executors import CellUnavailable
from cells.merge import Place, in_parts

if TYPE_CHECKING:
    from portal.console.changelist import AcrossCellsChangeList
    from portal.console.columns import Column

ROWS_AT_ONCE = 1_000


class Line:
    """A file for ``csv.writer`` that hands each line back."""

    def write(self, text: str) -> str:
        return text


def plain(value: Any) -> Any:
    """``value`` so that a spreadsheet does not take text for a formula."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def missing_note(missing: Sequence[CellUnavailable]) -> str:
    """One line naming the cells that an export lacks."""
    return _("incomplete: %(cells)s") % {
        "cells": "; ".join(f"{one.cell.name} did not answer ({one.cause})" for one in missing)
    }


def missing_header(missing: Sequence[CellUnavailable]) -> dict[str, str]:
    """A ``Warning`` header that names the cells an export lacks, if any."""
    if not missing:
        return {}
    text = " ".join(missing_note(missing).replace("\\", "/").replace('"', "'").split())
    return {"Warning": f'199 - "{text.encode("ascii", "replace").decode()}"'}


def csv_lines(
    columns: "Sequence[Column]", places: Sequence[Place], listing: "AcrossCellsChangeList"
) -> Iterator[str]:
    """The lines of the file: a header, a line a row, and a comment where cells are missing.

    Whole rows are fetched part by part while the file is being sent, so memory stays flat.
    """
    exports = [one for column in columns for one in column.export.items()]
    writer = csv.writer(Line())
    yield writer.writerow([name for name, _value in exports])
    for part in in_parts(places, ROWS_AT_ONCE):
        for row in listing.listed(part):
            yield writer.writerow([plain(value(row)) for _name, value in exports])
    if listing.missing:
        yield writer.writerow([f"# {missing_note(listing.missing)}"])
