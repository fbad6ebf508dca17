"""Warnings beside an answer, in its headers."""

from collections.abc import Sequence


def warning_header(texts: Sequence[str]) -> dict[str, str]:
    """A ``Warning`` header (RFC 7234, miscellaneous warning) with these texts, in ASCII."""
    if not texts:
        return {}
    plain = " ".join("; ".join(texts).replace("\\", "/").replace('"', "'").split())
    return {"Warning": f'199 - "{plain.encode("ascii", "replace").decode()}"'}
