"""Texts of others, where a terminal or a spreadsheet could take them for more than texts."""

from typing import Any

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def printable(text: str) -> str:
    """``text`` in one line, with control characters escaped."""
    return text.translate(_CONTROLS)


def csv_value(value: Any) -> Any:
    """``value``, so that a spreadsheet does not take it for a formula; ``""`` for ``None``."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
