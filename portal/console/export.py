"""Lists as CSV files."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.text import slugify

from cells.escaping import csv_value
from cells.executors import CellUnavailable

#: Rows read from the databases at a time while a file is streamed.
CHUNK_SIZE = 1_000


class _Line:
    """A file for ``csv.writer`` that returns each line."""

    def write(self, text: str) -> str:
        return text


def csv_response(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """A CSV file streamed row by row, in constant memory, and named by ``name`` and the date."""
    response = StreamingHttpResponse(_lines(header, rows), content_type="text/csv; charset=utf-8")
    filename = f"{slugify(name)}-{timezone.now():%Y-%m-%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow(map(csv_value, row))


def incomplete_note(missing: Sequence[CellUnavailable]) -> str:
    """One line that names the cells missing from a file."""
    cells = "; ".join(
        f"{unavailable.cell.name} did not answer ({unavailable.cause})" for unavailable in missing
    )
    return f"incomplete: {cells}"
