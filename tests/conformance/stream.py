"""A random stream of requests, valid and invalid, reads and writes, reproducible by seed."""

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from tests.conformance.catalogue import NOBODY, NOT_VERSIONS, VERSIONS
from tests.conformance.catalogue_hypervisors import FLAGS
from tests.conformance.catalogue_services import BOOLEANS, CONTENT_TYPES, NOT_BODIES, REASONS
from tests.conformance.fleet import Rows
from tests.conformance.messages import JSON, LEGACY_HEADER, NEW_HEADER, Request
from tests.conformance.picks import Picks
from tests.conformance.stand_ins import PROJECT_ID

LAST_MINOR = 104
TEXTS = ("", "nope", "1", "%", "_", "é", "a b", "a/b", "'", "x" * 300, "None", ".", "-1", "\x00")
NUMBERS = (
    *("0", "1", "2", "3", "5", "10", "47", "1000", "1001", "-1", "01", " 1", "1.5", "abc", ""),
    *("2147483647", "2147483648", "99999999999999999999"),
)


def stream(rows: Rows, seed: int, count: int) -> Iterator[Request]:
    """``count`` requests."""
    maker = _Maker(rows, seed)
    for _ in range(count):
        yield maker.request()


class _Maker:
    """Generates requests, most of which are mostly valid."""

    def __init__(self, rows: Rows, seed: int) -> None:
        self.random = random.Random(seed)
        picks = Picks(rows)
        self.services = [
            {"cell": place, **row}
            for place, tables in rows.items()
            for row in tables.get("services", ())
        ]
        self.computes = picks.computes()
        self.deletable = picks.deletable()
        self.nodes = picks.nodes()
        self.aggregates = rows["api"]["aggregates"]
        self.families = (
            (self.list_services, 14),
            (self.list_hypervisors, 20),
            (self.pages, 18),
            (self.show, 14),
            (self.uptime, 6),
            (self.search, 7),
            (self.statistics, 2),
            (self.show_aggregates, 6),
            (self.act, 6),
            (self.update, 7),
            (self.delete, 3),
            (self.anything, 3),
        )

    def request(self) -> Request:
        makers, weights = zip(*self.families, strict=True)
        made: Request = self.random.choices(makers, weights)[0]()
        return made

    # --- endpoints ----------------------------------------------------------------------------

    def list_services(self) -> Request:
        service = self.random.choice(self.services)
        values = {"host": service["host"], "binary": service["binary"]}
        return self.make("GET os-services", "GET", "os-services", self.some(values, 0.4))

    def list_hypervisors(self) -> Request:
        path = self.random.choice(("os-hypervisors", "os-hypervisors/detail"))
        values = {"with_servers": self.random.choice(FLAGS)}
        if self.chance(0.4):
            values["hypervisor_hostname_pattern"] = self.pattern()
        return self.make("GET os-hypervisors", "GET", path, self.some(values, 0.5))

    def pages(self) -> Request:
        path = self.random.choice(("os-hypervisors", "os-hypervisors/detail"))
        values = {
            "limit": self.random.choice((*map(str, range(1, 60)), *NUMBERS)),
            "marker": self.identifier(self.nodes),
            "with_servers": "true",
        }
        return self.make("GET os-hypervisors paging", "GET", path, self.some(values, 0.6))

    def show(self) -> Request:
        path = f"os-hypervisors/{self.segment(self.identifier(self.nodes))}"
        values = {"with_servers": self.random.choice(FLAGS)}
        return self.make("GET os-hypervisors/{id}", "GET", path, self.some(values, 0.3))

    def uptime(self) -> Request:
        path = f"os-hypervisors/{self.segment(self.identifier(self.nodes))}/uptime"
        return self.make("GET os-hypervisors/{id}/uptime", "GET", path, self.some({}, 0))

    def search(self) -> Request:
        kind = self.random.choice(("search", "servers"))
        path = f"os-hypervisors/{self.segment(self.pattern())}/{kind}"
        endpoint = f"GET os-hypervisors/{{pattern}}/{kind}"
        return self.make(endpoint, "GET", path, self.some({}, 0), newest=60)

    def statistics(self) -> Request:
        path = "os-hypervisors/statistics"
        return self.make("GET os-hypervisors/statistics", "GET", path, self.some({}, 0))

    def show_aggregates(self) -> Request:
        path = "os-aggregates"
        if self.chance(0.7):
            path += f"/{self.segment(self.identifier(self.aggregates, by_uuid=0.1))}"
        return self.make("GET os-aggregates", "GET", path, self.some({}, 0))

    def act(self) -> Request:
        service = self.random.choice(self.computes if self.chance(0.7) else self.services)
        action = self.random.choice(
            ("enable", "disable", "disable-log-reason", "force-down", "force-down", "nope")
        )
        body: dict[str, Any] = {"host": service["host"], "binary": service["binary"]}
        if action == "disable-log-reason" or self.chance(0.1):
            body["disabled_reason"] = self.random.choice(REASONS)
        if action == "force-down" or self.chance(0.1):
            body["forced_down"] = self.random.choice(BOOLEANS)
        return self.put("PUT os-services/{action}", f"os-services/{action}", body, newest=56)

    def update(self) -> Request:
        service = self.random.choice(self.computes if self.chance(0.8) else self.services)
        body: dict[str, Any] = {}
        if self.chance(0.7):
            body["status"] = self.random.choice(("enabled", "disabled", "disabled", "nope"))
        if self.chance(0.4):
            body["disabled_reason"] = self.random.choice(REASONS)
        if self.chance(0.4):
            body["forced_down"] = self.random.choice(BOOLEANS)
        uuid = service["uuid"] if self.chance(0.9) else self.identifier(self.services)
        path = f"os-services/{self.segment(uuid)}"
        return self.put("PUT os-services/{uuid}", path, body, oldest=50)

    def delete(self) -> Request:
        service = self.random.choice(self.deletable)
        service_id = service["uuid"] if self.chance(0.5) else self.identifier(self.services)
        path = f"os-services/{self.segment(service_id)}"
        return self.make("DELETE os-services/{id}", "DELETE", path, self.some({}, 0))

    def anything(self) -> Request:
        """Any method on any path below the resources."""
        parts = ["detail", "statistics", "uptime", "search", "x", "enable", "", "servers"]
        parts += [self.segment(self.identifier(self.nodes)), "os-services"]
        more = self.random.choices(parts, k=self.random.choice((0, 1, 1, 2, 3)))
        resource = self.random.choice(("os-services", "os-hypervisors", "os-aggregates"))
        path = "/".join([resource, *more])
        method = self.random.choice(("GET", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"))
        return self.make("anything", method, path, self.some({}, 0))

    # --- their parts --------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def identifier(self, rows: list[dict[str, Any]], by_uuid: float = 0.65) -> str:
        """An id or uuid of a row, or something similar, or something else."""
        row = self.random.choice(rows)
        if self.chance(0.08):
            return self.random.choice((*TEXTS, *NUMBERS, NOBODY))
        text = str(row["uuid"] if self.chance(by_uuid) else row["id"])
        if self.chance(0.06):
            at = self.random.randrange(len(text))
            text = text[:at] + self.random.choice("0aF-x ") + text[at + 1 :]
        if self.chance(0.05):
            text = self.random.choice((text.upper(), text.replace("-", ""), f"{{{text}}}"))
        return text

    def pattern(self) -> str:
        """A part of a host's name, or something else to search for."""
        if self.chance(0.15):
            return self.random.choice(TEXTS)
        name: str = self.random.choice(self.nodes)["hypervisor_hostname"]
        start = self.random.randrange(len(name))
        part = name[start : start + self.random.choice((1, 2, 4, 8, 30))]
        if self.chance(0.1):
            part = part.upper()
        if self.chance(0.1):
            part = part.replace("-", self.random.choice("_%"))
        return part

    def segment(self, text: str) -> str:
        return quote(text, safe="")

    def some(self, values: dict[str, str], share: float) -> list[tuple[str, str]]:
        """Some of these query parameters; occasionally unknown, repeated or malformed ones."""
        pairs = [pair for pair in values.items() if self.chance(share)]
        if self.chance(0.06):
            name = self.random.choice(("foo", "limit", "marker", "host", "with_servers", "Host"))
            pairs.append((name, self.random.choice((*TEXTS, *NUMBERS))))
        if pairs and self.chance(0.04):
            pairs.append((pairs[0][0], self.random.choice(TEXTS)))
        if pairs and self.chance(0.03):
            at = self.random.randrange(len(pairs))
            pairs[at] = (pairs[at][0], self.random.choice(TEXTS))
        self.random.shuffle(pairs)
        return pairs

    def version(self, oldest: int, newest: int) -> str:
        chosen = self.random.random()
        if chosen < 0.6:
            return f"2.{self.random.randint(oldest, newest)}"
        if chosen < 0.95:
            return self.random.choice(VERSIONS)
        return self.random.choice(NOT_VERSIONS)

    def put(
        self, endpoint: str, path: str, body: Any, oldest: int = 1, newest: int = LAST_MINOR
    ) -> Request:
        """A PUT with that body, or occasionally another one."""
        if body and self.chance(0.08):
            body.pop(self.random.choice(sorted(body)))
        if self.chance(0.05):
            body["extra"] = 1
        text = json.dumps(body)
        if self.chance(0.04):
            text = self.random.choice(NOT_BODIES)
        content_type = self.random.choice(CONTENT_TYPES) if self.chance(0.04) else JSON
        return self.make(
            endpoint, "PUT", path, self.some({}, 0), oldest, newest, text, content_type
        )

    def make(
        self,
        endpoint: str,
        method: str,
        path: str,
        params: list[tuple[str, str]],
        oldest: int = 1,
        newest: int = LAST_MINOR,
        body: str | None = None,
        content_type: str | None = JSON,
    ) -> Request:
        prefix = self.random.choices(
            ("/v2.1/", f"/v2.1/{PROJECT_ID}/", "/v2/", "/v2.1//", "/v2.1/abc/"),
            (90, 5, 3, 1, 1),
        )[0]
        query = f"?{urlencode(params)}" if params else ""
        slash = "/" if self.chance(0.01) else ""
        version = self.version(oldest, newest)
        headers = {}
        if self.chance(0.2):
            headers[LEGACY_HEADER] = version
            version = ""
        if self.chance(0.02):
            headers[NEW_HEADER] = self.random.choice(("identity 3.0", "2.53", "compute"))
            version = ""
        return Request(
            endpoint,
            method,
            f"{prefix}{path}{slash}{query}",
            version,
            body,
            headers,
            self.random.choices(("admin", "member", None), (96, 2, 2))[0],
            content_type,
        )
