"""Headers by which an answer says that it is incomplete."""

from collections.abc import Iterable

from cells.executors import CellUnavailable
from cells.registry import age_of_mappings


def missing_cells_warnings(missing: Iterable[CellUnavailable]) -> list[str]:
    """A sentence about each cell that an answer does not cover."""
    return list(
        dict.fromkeys(f"cell {away.cell.name} did not answer: {away.cause}" for away in missing)
    )


def stale_mappings_warnings() -> list[str]:
    """A sentence about Nova's API database if it does not answer, so that its data is old."""
    age = age_of_mappings()
    if age is None:
        return []
    return [
        "Nova's API database does not answer: cells, hosts and aggregates are as they were "
        f"{age:.0f} s ago"
    ]


def warning_header(texts: Iterable[str]) -> dict[str, str]:
    """A ``Warning`` header (RFC 7234, 199: miscellaneous) with these texts, in ASCII.

    Empty without texts.
    """
    text = " ".join("; ".join(texts).replace("\\", "/").replace('"', "'").split())
    if not text:
        return {}
    return {"Warning": f'199 - "{text.encode("ascii", "replace").decode()}"'}
