"""The generated parts of ``docs/conformance.md``."""

import re
from pathlib import Path

from tests.conformance.differences import ADDED_HEADERS, DIFFERENCES, PAGE_HEADERS

PATH = Path(__file__).resolve().parent.parent.parent / "docs" / "conformance.md"


def deliberate_differences() -> str:
    """The list of deliberate differences, in Markdown."""
    of_all, of_pages = (
        ", ".join(f"`{name}`" for name in names) for names in (ADDED_HEADERS, PAGE_HEADERS)
    )
    lines = [
        "- **Headers for browsers.** "
        f"Every response has the headers {of_all}, pages {of_pages}, too."
    ]
    lines += [
        f"- **{difference.name[0].upper()}{difference.name[1:]}.** {difference.reason}"
        for difference in DIFFERENCES
    ]
    return "\n".join(lines)


def part(text: str, name: str) -> str:
    """The text between the markers of a part."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    if found is None:
        raise LookupError(f"docs/conformance.md has no part {name!r}")
    return found[1].strip()


def replace_part(name: str, new: str) -> None:
    """Replace the text of a part."""
    text = PATH.read_text()
    part(text, name)
    pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end -->)"
    changed = re.sub(pattern, lambda found: f"{found[1]}\n{new}\n{found[2]}", text, flags=re.DOTALL)
    PATH.write_text(changed)
