"""Recorded answers: one file of JSON lines for each endpoint.

A line is a request with Nova's answer on PostgreSQL, and on MariaDB where that differs.  Headers
and bodies that were already there in the file are not repeated: ``same_headers_as`` and
``same_body_as`` name the line that has them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.messages import JSON, Answer, Request

DIRECTORY = Path(__file__).resolve().parent / "recorded"


@dataclass
class Recorded:
    """A request with Nova's answers; ``on_mysql`` only where it differs."""

    request: Request
    answer: Answer
    on_mysql: Answer | None = None


def path_of(endpoint: str) -> Path:
    """The file of an endpoint."""
    name = re.sub(r"[^a-z0-9]+", "-", endpoint.lower()).strip("-")
    return DIRECTORY / f"{name}.jsonl"


def write(recorded: Iterable[Recorded]) -> None:
    """Replace all recorded answers by these."""
    files: dict[str, list[Recorded]] = {}
    for entry in recorded:
        files.setdefault(entry.request.endpoint, []).append(entry)
    for old in DIRECTORY.glob("*.jsonl"):
        old.unlink()
    for endpoint, group in files.items():
        seen: dict[str, int] = {}  # the first line with these headers, or with this body
        with path_of(endpoint).open("w") as file:
            for number, entry in enumerate(group, 1):
                line = _request(entry.request) | _answer(entry.answer, seen)
                if entry.on_mysql is not None:
                    line["on_mysql"] = _answer(entry.on_mysql, seen)
                for part in (entry.answer.headers, entry.answer.body):
                    seen.setdefault(json.dumps(part), number)
                file.write(json.dumps(line, ensure_ascii=True) + "\n")


def read(path: Path) -> Iterator[Recorded]:
    """The recorded answers of one file."""
    before: list[Answer] = []
    with path.open() as file:
        for text in file:
            line = json.loads(text)
            answer = _to_answer(line, before)
            before.append(answer)
            on_mysql = line.get("on_mysql")
            yield Recorded(
                _to_request(line),
                answer,
                None if on_mysql is None else _to_answer(on_mysql, before),
            )


def files() -> list[Path]:
    """All files of recorded answers."""
    return sorted(DIRECTORY.glob("*.jsonl"))


def _request(request: Request) -> dict[str, Any]:
    line: dict[str, Any] = {
        "endpoint": request.endpoint,
        "request": f"{request.method} {request.path}",
        "version": request.version,
    }
    if request.state:
        line["state"] = request.state
    if request.headers:
        line["sent"] = dict(request.headers)
    if request.token != "admin":
        line["token"] = request.token
    if request.body is not None:
        line["sent_body"] = request.body
        if request.content_type != JSON:
            line["content_type"] = request.content_type
    return line


def _to_request(line: dict[str, Any]) -> Request:
    method, _, path = line["request"].partition(" ")
    return Request(
        line["endpoint"],
        method,
        path,
        line["version"],
        line.get("sent_body"),
        line.get("sent", {}),
        line.get("token", "admin"),
        line.get("content_type", JSON),
        line.get("state", ""),
    )


def _answer(answer: Answer, seen: dict[str, int]) -> dict[str, Any]:
    line: dict[str, Any] = {"status": answer.status}
    for name, part in (("headers", answer.headers), ("body", answer.body)):
        text = json.dumps(part)
        if text in seen and len(text) > 40:
            line[f"same_{name}_as"] = seen[text]
        else:
            line[name] = part
    if answer.effect:
        line["effect"] = answer.effect
    return line


def _to_answer(line: dict[str, Any], before: list[Answer]) -> Answer:
    def part(name: str) -> Any:
        same = line.get(f"same_{name}_as")
        return line[name] if same is None else getattr(before[same - 1], name)

    return Answer(line["status"], part("headers"), part("body"), line.get("effect", []))
