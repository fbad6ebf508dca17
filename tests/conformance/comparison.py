"""Comparing an answer of the portal with Nova's."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.conformance.messages import Answer, Request


class Kind(StrEnum):
    """The result of a comparison."""

    IDENTICAL = "identical"
    MESSAGE = "message differs"
    DELIBERATE = "deliberate"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Verdict:
    """``why`` names the deliberate difference, or describes what differs."""

    kind: Kind
    why: str = ""


def compare(nova: Answer, ours: Answer) -> Verdict:
    """Compare two answers exactly."""
    differences = []
    if nova.status != ours.status:
        differences.append(f"status {nova.status} != {ours.status}")
    lacks = Counter(nova.headers) - Counter(ours.headers)
    adds = Counter(ours.headers) - Counter(nova.headers)
    if lacks or adds:
        differences.append(f"headers {sorted(lacks)} != {sorted(adds)}")
    if nova.effect != ours.effect:
        differences.append(f"effect {nova.effect} != {ours.effect}")
    body = first_difference(_timeless(nova), _timeless(ours))
    if body and not differences and _but_for_the_message(nova, ours):
        return Verdict(Kind.MESSAGE, body)
    if body:
        differences.append(f"body {body}")
    if differences:
        return Verdict(Kind.DIFFERENT, "; ".join(differences))
    return Verdict(Kind.IDENTICAL)


def _timeless(answer: Answer) -> Any:
    """The body without timestamps that the request itself wrote."""
    body = answer.body
    if answer.effect and isinstance(body, dict) and isinstance(body.get("service"), dict):
        service = body["service"]
        if "updated_at" in service:
            return {"service": service | {"updated_at": service["updated_at"] and "*"}}
    return body


def _but_for_the_message(nova: Answer, ours: Answer) -> bool:
    return nova.status >= 400 and _without_message(nova.body) == _without_message(ours.body)


def _without_message(body: Any) -> Any:
    if isinstance(body, dict) and len(body) == 1:
        ((name, fault),) = body.items()
        if isinstance(fault, dict):
            return {name: {key: value for key, value in fault.items() if key != "message"}}
    return body


def first_difference(one: Any, other: Any, path: str = "$") -> str:
    """The first difference of two JSON values; empty if they are equal.  1, 1.0 and true differ."""
    if type(one) is not type(other):
        return f"{path}: {_short(one)} != {_short(other)}"
    if isinstance(one, dict):
        if one.keys() != other.keys():
            lacks, adds = sorted(one.keys() - other.keys()), sorted(other.keys() - one.keys())
            return f"{path}: keys {lacks} != {adds}"
        if list(one) != list(other):
            return f"{path}: order of keys {list(one)} != {list(other)}"
        pairs = ((f"{path}.{key}", value, other[key]) for key, value in one.items())
    elif isinstance(one, list):
        if len(one) != len(other):
            return f"{path}: {len(one)} items != {len(other)} items"
        pairs = (
            (f"{path}[{index}]", left, right)
            for index, (left, right) in enumerate(zip(one, other, strict=True))
        )
    else:
        return "" if one == other else f"{path}: {_short(one)} != {_short(other)}"
    return next(filter(None, (first_difference(*three[1:], three[0]) for three in pairs)), "")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}..."


class Report:
    """Counts of verdicts by endpoint and by microversion."""

    def __init__(self) -> None:
        self.by_endpoint: dict[str, Counter[Kind]] = {}
        self.by_version: dict[str, Counter[Kind]] = {}
        self.deliberate: Counter[str] = Counter()
        self.found: list[tuple[Request, Verdict]] = []

    def add(self, request: Request, verdict: Verdict) -> None:
        self.by_endpoint.setdefault(request.endpoint, Counter())[verdict.kind] += 1
        self.by_version.setdefault(request.version or "none", Counter())[verdict.kind] += 1
        if verdict.kind is Kind.DELIBERATE:
            self.deliberate[verdict.why] += 1
        elif verdict.kind is not Kind.IDENTICAL:
            self.found.append((request, verdict))

    @property
    def total(self) -> Counter[Kind]:
        return sum(self.by_endpoint.values(), Counter())

    def tables(self) -> str:
        """Three tables in Markdown: by endpoint, by microversion, by deliberate difference."""
        return "\n\n".join(
            [
                _table("Endpoint", sorted(self.by_endpoint.items()), self.total),
                _table("Microversion", sorted(self.by_version.items(), key=_by_number), self.total),
                "\n".join(
                    [
                        "| Deliberate difference | requests |",
                        "|---|---:|",
                        *(f"| {name} | {count} |" for name, count in self.deliberate.most_common()),
                    ]
                ),
            ]
        )


def _by_number(item: tuple[str, Any]) -> tuple[bool, list[int], str]:
    """Microversions by number, anything else after them."""
    parts = item[0].split(".")
    known = len(parts) == 2 and all(part.isdecimal() and part.isascii() for part in parts)
    return not known, [int(part) for part in parts] if known else [], item[0]


def _table(what: str, rows: Iterable[tuple[str, Counter[Kind]]], total: Counter[Kind]) -> str:
    lines = [f"| {what} | requests | " + " | ".join(Kind) + " |"]
    lines.append("|---" + "|---:" * (len(Kind) + 1) + "|")
    for name, counts in [*rows, ("**all**", total)]:
        cells = [str(counts.total()), *(str(counts[kind]) for kind in Kind)]
        lines.append(f"| {name.replace('|', '')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
