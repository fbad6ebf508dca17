"""Writes the reference from the code: ``python -m docs.generate``, which ``make docs`` runs first.

Settings are those of ``.env.example``, commands those of the apps, metrics those of a scrape, and
the API that of its newest OpenAPI document.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
APPS = ("portal", "cells", "services", "hypervisors", "audit", "aggregates", "maintenance")
NOTE = "<!-- Written by `make docs`; change the code instead. -->"


def settings() -> str:
    """A table of settings for each section of ``.env.example``."""
    lines = ["# Settings", "", NOTE, ""]
    sections = re.split(
        r"^# --- (.+?) -+\n", (ROOT / ".env.example").read_text(), flags=re.MULTILINE
    )
    lines += [
        _plain(sections[0]),
        "",
        "`nova-cells settings` prints each one, and where it is from.",
    ]
    for title, text in zip(sections[1::2], sections[2::2], strict=True):
        lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
        for block in re.split(r"\n\n+", text.strip()):
            names = re.findall(r"^#([A-Z_]+)=(.*)$", block, re.MULTILINE)
            about = _plain(re.sub(r"^#[A-Z_]+=.*\n?", "", block, flags=re.MULTILINE))
            if not names:
                lines += [about, ""]
                continue
            shown = [f"`{name}`" + (f" (`{value}`)" if value else "") for name, value in names]
            lines.append(f"- {', '.join(shown)}: {about}")
    return "\n".join(lines) + "\n"


def _plain(comment: str) -> str:
    """The text of lines of comments, with what Markdown would read as markup as code."""
    text = " ".join(line.removeprefix("#").strip() for line in comment.strip().splitlines())
    return re.sub(r"(\{\w+\}|\*\.\w+|\w+(?:\+\w+)?://\S*[\w/])", r"`\1`", re.sub(" +", " ", text))


def commands() -> str:
    """What ``--help`` says of each command of the portal, without Django's common options."""
    from django.core.management import get_commands, load_command_class
    from django.core.management.base import BaseCommand

    common = set(BaseCommand().create_parser("", "")._option_string_actions)
    lines = [
        "# Commands", "", NOTE, "",
        "`nova-cells COMMAND`; in the repository, `.venv/bin/python manage.py COMMAND`. All have "
        "`--help`; those of Django are there, too.",
    ]  # fmt: skip
    for name, app in sorted(get_commands().items()):
        if app not in APPS:
            continue
        command = load_command_class(str(app), name)
        parser = command.create_parser("nova-cells", name)
        lines += ["", f"## {name}", "", parser.description or "", ""]
        lines += list(_options(parser, common))
        title, _, codes = (parser.epilog or "").partition("\n\nexit codes:\n")
        examples = [line.strip() for line in title.splitlines()[1:]]
        lines += ["", "```", *examples, "```", "", "| exit code | |", "|---|---|"]
        for line in codes.splitlines():
            code, _, text = line.strip().partition(" ")
            lines.append(f"| {code} | {text.strip()} |")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _options(parser: object, common: set[str]) -> Iterator[str]:
    for action in parser._actions:  # type: ignore[attr-defined]
        if action.option_strings and set(action.option_strings) <= common:
            continue
        if isinstance(action.choices, dict) and not action.option_strings:
            for name, sub in action.choices.items():
                yield f"- `{name}`"
                yield from (f"    {line}" for line in _options(sub, common))
            continue
        name = ", ".join(action.option_strings) or action.metavar or action.dest
        metavar = "" if action.nargs == 0 or not action.option_strings else (
            f" {action.metavar or '|'.join(map(str, action.choices or [action.dest.upper()]))}"
        )  # fmt: skip
        text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
        yield f"- `{name}{metavar}`{': ' if text else ''}{text}"


def metrics() -> str:
    """The names and meanings in a scrape."""
    import portal.request_metrics  # noqa: F401  (counts what the middleware sees)
    from portal.metrics import scrape

    text = b"".join(scrape()).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    lines = ["# Metrics", "", NOTE, "", "| metric | kind | |", "|---|---|---|"]
    for name, about in sorted(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE)):
        if re.match("(openstack_)?nova_", name) and not name.endswith("_created"):
            lines.append(f"| `{name}` | {kinds[name]} | {about} |")
    return "\n".join(lines) + "\n"


def api() -> str:
    """Every endpoint, with the microversions that have it."""
    from portal.api.documents import document
    from portal.microversions import HISTORY, MAX_VERSION

    versions = sorted({*dict(HISTORY), MAX_VERSION})
    found: dict[tuple[str, str], list[int]] = {}
    texts: dict[tuple[str, str], str] = {}
    for number, version in enumerate(versions):
        for path, methods in document(version)["paths"].items():
            for method, operation in methods.items():
                found.setdefault((path, method.upper()), []).append(number)
                texts[path, method.upper()] = operation["summary"]
    lines = [
        "# Endpoints", "", NOTE, "",
        "The portal shows the OpenAPI 3.1 document of each microversion at `/docs/`, and serves it "
        "at `/docs/openapi.json?microversion=2.53`. Samples are in [the API](../api.md).",
        "", "| | microversions | |", "|---|---|---|",
    ]  # fmt: skip
    for (path, method), numbers in sorted(found.items()):
        first, last = versions[numbers[0]], versions[numbers[-1]]
        after = versions[numbers[-1] + 1] if last != MAX_VERSION else None
        span = f"{first} to {after.major}.{after.minor - 1}" if after else f"from {first}"
        lines.append(f"| `{method} {path}` | {span} | {texts[path, method]} |")
    lines += ["", "## Microversions", "", "| | |", "|---|---|"]
    lines += [f"| {version} | {text} |" for version, text in HISTORY]
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings, "commands.md": commands, "metrics.md": metrics, "api.md": api}


def main() -> None:
    """Write the pages, with a portal of their own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "portal.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        import portal.urls  # noqa: F401  (registers the routes)

        call_command("migrate", verbosity=0)
        REFERENCE.mkdir(exist_ok=True)
        for name, write in PAGES.items():
            (REFERENCE / name).write_text(write())


if __name__ == "__main__":
    main()
