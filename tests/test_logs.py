"""Log lines: what they may not do."""

import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cells.registry import Cell
from cloud.deadlines import BoundedExecutor, ServiceUnavailable
from portal.logs import (
    ACCESS,
    MAX_LINE,
    PERIOD,
    REPEATS,
    JSONFormatter,
    LineFormatter,
    OsloFormatter,
    RepeatFilter,
    without_secrets,
)
from portal.middleware import RequestFilter, RequestIdMiddleware
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.commands import manage


def record(msg: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("cells", logging.WARNING, __file__, 1, msg, args, None)


def test_a_record_is_one_bounded_line() -> None:
    formatter = LineFormatter("%(levelname)s %(message)s")
    forged = formatter.format(record("cell %s", "one\n2026-01-01 ERROR \x1b[2J\u2028two\r"))
    assert forged == "WARNING cell one\\n2026-01-01 ERROR \\x1b[2J\\u2028two\\r"
    assert len(formatter.format(record("cell %s", "x" * 1_000_000))) == MAX_LINE


def test_a_traceback_is_indented_and_bounded() -> None:
    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
        raise ValueError("x" * 10_000 + "\n2026-01-01 ERROR forged")

    failed = record("%s failed", "it")
    try:
        deeper(100)
    except ValueError as error:
        failed.exc_info = (ValueError, error, error.__traceback__)
    first, *rest = LineFormatter("%(message)s").format(failed).splitlines()
    assert first == "it failed"
    assert len(rest) < 50
    assert all(line.startswith("    ") and len(line) <= MAX_LINE + 4 for line in rest)


def test_the_same_is_not_said_all_the_time() -> None:
    repeats = RepeatFilter()
    passed = [
        one
        for number in range(100)
        for name in ("cell1", "cell2")
        if repeats.filter(one := record("%s does not answer: %s", name, f"cause {number}"))
    ]
    assert [one.getMessage().partition(" ")[0] for one in passed] == ["cell1", "cell2"] * REPEATS
    for key, (since, times) in repeats._said.items():
        repeats._said[key] = (since - PERIOD, times)  # as if a minute had gone by
    later = record("%s does not answer: %s", "cell1", "a cause")
    assert repeats.filter(later)
    assert later.repeated == f" (and {100 - REPEATS} times before)"  # type: ignore[attr-defined]
    assert LineFormatter("%(message)s%(repeated)s").format(later).endswith("times before)")


def test_different_errors_are_both_logged() -> None:
    def failed(raise_one: Callable[[], None]) -> logging.LogRecord:
        failure = record("%s %s failed", "GET", "/v2.1/os-services")
        try:
            raise_one()
        except ZeroDivisionError as error:
            failure.exc_info = (type(error), error, error.__traceback__)
        return failure

    def one() -> None:
        raise ZeroDivisionError

    def other() -> None:
        raise ZeroDivisionError

    repeats = RepeatFilter()
    assert [repeats.filter(failed(raise_one)) for raise_one in (one, other, one)] == [1, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "cannot connect to mysql+pymysql://nova:hunter2@db/nova_cell1",
        "X-Auth-Token: hunter2",
        "{'X-Auth-Token': 'hunter2'}",
        "Authorization: Basic hunter2",
        "GET /v2.1/os-services?password=hunter2",
        "{'adminPass': 'hunter2'}",
    ],
)
def test_no_secret_is_logged(text: str) -> None:
    for formatter in (OsloFormatter(), JSONFormatter()):
        failed = record("%s", text)
        try:
            raise ValueError(text)
        except ValueError as error:
            failed.exc_info = (ValueError, error, error.__traceback__)
        assert "hunter2" not in formatter.format(failed)
        assert "***" in formatter.format(failed)


def test_what_is_no_secret_is_logged() -> None:
    text = "cell cell1 does not answer: no route to host (token bucket at 5)"
    assert without_secrets(text) == text


# --- what a line says of its request ----------------------------------------------------------


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[Callable[[], list[str]]]:
    """What is logged meanwhile, in lines as the handler of the settings writes them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(getattr(request, "param", JSONFormatter)())
    handler.addFilter(RequestFilter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: stream.getvalue().splitlines()
    root.setLevel(level)
    root.removeHandler(handler)


def access_lines(lines: list[str]) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, lines) if line["logger"] == ACCESS]


SENT = "req-01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.any_engine
def test_each_request_has_one_access_line(
    cloud: Cloud, api: ApiClient, log: Callable[[], list[str]]
) -> None:
    service = cloud.add_service("cell2", "node1")
    answer = api.delete(f"/os-services/{service.uuid}", "2.53", X_OpenStack_Request_ID=SENT)
    assert answer.status == 204
    for _ in range(5):  # repeats are dropped, except of these
        api.get("/os-services?password=hunter2", "2.53")
    api.anonymous().get("/os-services", X_OpenStack_Request_ID="req-1 forged")
    [deleted, *lists, refused] = access_lines(log())
    assert deleted["request_id"] == answer.headers["x-openstack-request-id"] != SENT
    assert deleted["milliseconds"] > 0
    expected = {
        "global_request_id": SENT,
        "user": "operator",
        "cell": "cell2",
        "route": "/v2.1/os-services/<id>",
        "microversion": "2.53",
        "method": "DELETE",
        "path": f"/v2.1/os-services/{service.uuid}",
        "status": 204,
        "client": "127.0.0.1",
    }
    assert expected.items() <= deleted.items()
    assert [line["path"] for line in lists] == ["/v2.1/os-services?password=***"] * 5
    assert not any("cell" in line for line in lists)
    assert refused["status"] == 401
    assert not {"user", "global_request_id"} & refused.keys()


@pytest.mark.any_engine
@pytest.mark.parametrize("log", [OsloFormatter], indirect=True)
def test_a_line_is_read_as_nova_s_are(
    cloud: Cloud, api: ApiClient, log: Callable[[], list[str]]
) -> None:
    api.get("/os-services", "2.53", X_OpenStack_Request_ID=SENT)
    logging.getLogger("cells").warning("cell %s is away", "cell1")
    [line, other] = [line for line in log() if " INFO portal.access" in line or "away" in line]
    start = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+"
    assert re.fullmatch(
        rf"{start} INFO portal\.access \[{SENT} req-[0-9a-f-]{{36}} operator - - - - -\] "
        r'127\.0\.0\.1 "GET /v2\.1/os-services" status: 200 len: \d+ microversion: 2\.53 '
        r"time: \d+\.\d{6}",
        line,
    )
    assert re.fullmatch(rf"{start} WARNING cells \[-\] cell cell1 is away", other)


@pytest.mark.any_engine
@pytest.mark.usefixtures("dead_cell")
def test_djangos_line_about_an_answer_names_the_request(
    api: ApiClient, log: Callable[[], list[str]]
) -> None:
    answer = api.delete(f"/os-services/{uuid.uuid4()}", "2.53")
    assert answer.status == 503
    [line] = [line for line in map(json.loads, log()) if line["logger"] == "django.request"]
    assert line["request_id"] == answer.headers["x-openstack-request-id"]


def test_a_line_of_a_service_s_thread_names_the_request(
    rf: RequestFactory, log: Callable[[], list[str]]
) -> None:
    executor = BoundedExecutor("keystone", ServiceUnavailable, deadline=5, retry_after=1)

    def call(request: HttpRequest) -> HttpResponse:
        executor.call(lambda: logging.getLogger("library").warning("hm", extra={"project": "its"}))
        return HttpResponse(request.request_id)  # type: ignore[attr-defined]

    answer = RequestIdMiddleware(call)(rf.get("/v2.1/"))
    logging.getLogger("library").warning("later", extra={"project": "its"})
    [line, later] = map(json.loads, log())
    assert line["request_id"] == answer.content.decode()
    assert not {"request_id", "project"} & later.keys()


@pytest.mark.any_engine
def test_a_line_about_a_cell_names_it_and_the_request(
    cloud: Cloud, api: ApiClient, dead_cell: Cell, log: Callable[[], list[str]]
) -> None:
    answer = api.get("/os-services", "2.53")
    [line] = [line for line in map(json.loads, log()) if "does not answer" in line["message"]]
    assert (line["cell"], line["level"]) == ("cell2", "WARNING")
    assert "secret" not in line["message"]
    assert answer.headers["Warning"]


@pytest.mark.any_engine
def test_a_session_is_not_read_for_the_log(
    cloud: Cloud, log: Callable[[], list[str]], count_queries: Callable[..., Any]
) -> None:
    client = Client()
    client.cookies["sessionid"] = "x" * 32
    with count_queries() as queries:
        client.get("/static/console.css")
    assert not queries.on("default")
    [line] = access_lines(log())
    assert "user" not in line


def test_a_format_that_there_is_not_is_refused_in_a_line() -> None:
    done = manage("check", LOG_FORMAT="xml")
    assert done.returncode == 1
    assert done.stderr == "LOG_FORMAT: must be oslo or json, not 'xml'\n"
