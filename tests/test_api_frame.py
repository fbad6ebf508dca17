"""What all resources of the API have in common: authentication, versions and errors."""

import base64
import gc
import json
import logging
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from rest_framework.request import Request
from rest_framework.response import Response

from audit.models import Entry
from portal.api.routers import NovaRouter
from portal.api.views import NovaViewSet
from portal.microversions import MAX_VERSION
from portal.models import ApiToken
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine

BOTH = {"OpenStack_API_Version": "compute 2.53", "X_OpenStack_Nova_API_Version": "2.11"}


@pytest.fixture
def frame(api: ApiClient, cloud: Cloud) -> ApiClient:
    cloud.host("cell1", "compute-1")
    return api


def message(answer: Any) -> str:
    """The message of a fault, whose name must match its status."""
    [(kind, fault)] = answer.body.items()
    assert fault["code"] == answer.status
    kinds = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 406: "computeFault"}
    assert kind == (kinds | {415: "badMediaType"})[answer.status]
    text: str = fault["message"]
    return text


# --- authentication -------------------------------------------------------------------------------


def test_anonymous_requests_get_401(frame: ApiClient) -> None:
    for path in ("/os-services", "/os-hypervisors", "/os-hypervisors/1", "/servers", "/x/y/z"):
        for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
            answer = frame.anonymous().send(method, path)
            assert answer.status == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="compute"'
            assert "OpenStack-API-Version" not in answer.headers
            if method != "HEAD":
                assert answer["error"]["code"] == 401
                assert answer["error"]["title"] == "Unauthorized"


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Auth_Token": "wrong"},
        {"X_Auth_Token": "wrong\xff"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"operator:wrong").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"nobody:wrong").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"no\0body:wrong").decode()},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer abc"},
    ],
)
def test_invalid_credentials_get_401(frame: ApiClient, headers: dict[str, str]) -> None:
    assert frame.anonymous().get("/os-services", **headers).status == 401


def test_an_invalid_token_is_refused_despite_a_valid_password(frame: ApiClient) -> None:
    headers = basic("alice", "her secret", superuser=True)
    assert frame.anonymous().get("/os-services", **headers).status == 200
    assert frame.anonymous().get("/os-services", **headers, X_Auth_Token="x").status == 401


def basic(name: str, password: str, *, superuser: bool = False) -> dict[str, str]:
    """Create a user; returns the header for HTTP Basic."""
    User.objects.create_user(name, password=password, is_superuser=superuser)
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_basic_authentication_is_accepted(frame: ApiClient) -> None:
    headers = basic("alice", "her: sécret", superuser=True)
    for _ in range(2):
        answer = frame.anonymous().get("/os-services", **headers)
        assert [service["host"] for service in answer["services"]] == ["compute-1"]


def test_a_console_session_is_accepted(frame: ApiClient, admin_client: Client) -> None:
    assert admin_client.get("/v2.1/os-services").status_code == 200


def test_a_session_cannot_write_without_the_csrf_token(frame: ApiClient, admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.get("/v2.1/os-services").status_code == 200
    body = {"host": "compute-1", "binary": "nova-compute"}
    response = client.put("/v2.1/os-services/disable", body, content_type="application/json")
    assert response.status_code == 403
    assert frame.get("/os-services")["services"][0]["status"] == "enabled"


def test_inactive_users_get_401(frame: ApiClient) -> None:
    headers = basic("alice", "secret", superuser=True)
    token = ApiToken.objects.issue(User.objects.get(username="alice"))[1]
    assert ApiClient(token).get("/os-services").status == 200
    User.objects.filter(username="alice").update(is_active=False)
    assert ApiClient(token).get("/os-services").status == 401
    assert frame.anonymous().get("/os-services", **headers).status == 401


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        (("admin",), True),
        (("Admin",), True),
        (("member", "admin"), True),
        ((), False),
        (("reader",), False),
        (("member", "manager", "service"), False),
    ],
)
def test_by_default_administrators_may_read(
    frame: ApiClient, roles: tuple[str, ...], allowed: bool
) -> None:
    client = frame.as_user("bob", *roles)
    for path, rule in (
        ("/os-services", "os-services:list"),
        ("/os-hypervisors", "os-hypervisors:list"),
        ("/os-hypervisors/detail", "os-hypervisors:list-detail"),
        ("/os-hypervisors/1", "os-hypervisors:show"),
        ("/os-hypervisors/1/uptime", "os-hypervisors:uptime"),
        ("/os-hypervisors/statistics", "os-hypervisors:statistics"),
        ("/os-hypervisors/c/search", "os-hypervisors:search"),
        ("/os-hypervisors/c/servers", "os-hypervisors:servers"),
    ):
        answer = client.get(path)
        if allowed:
            assert answer.status != 403, path
        else:
            said = f"Policy doesn't allow os_compute_api:{rule} to be performed."
            assert (answer.status, message(answer)) == (403, said)


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, "2.1"),
        ({"OpenStack_API_Version": "compute 2.53"}, "2.53"),
        ({"OpenStack_API_Version": f"compute {MAX_VERSION}"}, str(MAX_VERSION)),
        ({"OpenStack_API_Version": "compute latest"}, str(MAX_VERSION)),
        ({"OpenStack_API_Version": "COMPUTE  2.53 "}, "2.53"),
        ({"OpenStack_API_Version": "identity 3.0, compute 2.11"}, "2.11"),
        ({"OpenStack_API_Version": "identity 3.0"}, "2.1"),
        ({"X_OpenStack_Nova_API_Version": "2.53"}, "2.53"),
        ({"X_OpenStack_Nova_API_Version": "latest"}, str(MAX_VERSION)),
        (BOTH, "2.53"),
        ({**BOTH, "OpenStack_API_Version": "identity 3.0"}, "2.11"),
        ({**BOTH, "OpenStack_API_Version": ""}, "2.11"),
    ],
)
def test_the_requested_version_is_served(
    frame: ApiClient, headers: dict[str, str], version: str
) -> None:
    answer = frame.get("/os-services", **headers)
    assert answer.status == 200
    assert answer.headers["OpenStack-API-Version"] == f"compute {version}"
    assert answer.headers["X-OpenStack-Nova-API-Version"] == version
    vary = [part.strip() for part in answer.headers["Vary"].split(",")]
    assert vary[:2] == ["OpenStack-API-Version", "X-OpenStack-Nova-API-Version"]


@pytest.mark.parametrize(
    "text", ["2", "2.01", "02.53", "2.x", "2.53.1", "two", "2.53;", "compute", "-2.1"]
)
def test_a_malformed_version_is_a_400_without_version_headers(frame: ApiClient, text: str) -> None:
    for headers in (
        {"OpenStack_API_Version": f"compute {text}"},
        {"X_OpenStack_Nova_API_Version": text},
    ):
        answer = frame.get("/os-services", **headers)
        assert message(answer) == (
            f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum."
        )
        assert "OpenStack-API-Version" not in answer.headers
        assert "X-OpenStack-Nova-API-Version" not in answer.headers


@pytest.mark.parametrize("text", ["2.0", "1.1", "2.105", "2.999", "3.0"])
def test_a_version_out_of_range_is_a_406_that_repeats_it(frame: ApiClient, text: str) -> None:
    answer = frame.get("/os-services", text)
    assert message(answer) == (
        f"Version {text} is not supported by the API. Minimum is 2.1 and maximum is {MAX_VERSION}."
    )
    assert answer.headers["OpenStack-API-Version"] == f"compute {text}"
    assert answer.headers["X-OpenStack-Nova-API-Version"] == text


# --- the order of checks --------------------------------------------------------------------------


def test_each_refusal_comes_before_the_next(frame: ApiClient) -> None:
    """401, no route, version, content type, body, version of the action, schema, uuid, 403, 404."""
    nobody = frame.anonymous()
    member = frame.as_user("bob", "member")
    xml: dict[str, str] = {"Content-Type": "application/xml"}
    uuid = "aaaaaaaa-0000-4000-8000-000000000000"

    def put(client: ApiClient, path: str, body: Any, version: str, **headers: str) -> Any:
        return client.put(path, body, version, **headers)

    assert put(nobody, "/nowhere", b"not json", "2.x", **xml).status == 401
    answer = put(member, "/nowhere", b"not json", "2.x", **xml)
    assert (answer.status, answer.body) == (404, None)
    assert "invalid format" in message(put(member, "/os-services/x", b"{", "2.x", **xml))
    assert put(member, "/os-services/x", b"{", "2.999", **xml).status == 406
    assert message(put(member, "/os-services/x", b"{", "2.53", **xml)) == "Unsupported Content-Type"
    assert message(put(member, "/os-services/x", b"{", "2.53")) == "Malformed request body"
    assert "additional" in message(put(member, "/os-services/x", {"a": 1}, "2.53")).lower()
    assert message(put(member, "/os-services/x", {}, "2.53")) == "Invalid uuid x"
    assert put(member, f"/os-services/{uuid}", {"status": "enabled"}, "2.53").status == 403
    assert put(frame, f"/os-services/{uuid}", {"status": "enabled"}, "2.53").status == 404


def test_oversized_and_deeply_nested_bodies_are_refused(frame: ApiClient) -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    assert message(frame.put("/os-services/enable", deep, "2.1")) == "Malformed request body"
    large = frame.put("/os-services/enable", b'"' + b"x" * 200_000 + b'"', "2.1")
    assert (large.status, list(large.body)) == (413, ["overLimit"])


def test_a_lone_surrogate_is_refused(frame: ApiClient) -> None:
    body = rb'{"host": "\ud800", "binary": "nova-compute"}'
    assert "\ud800" in message(frame.put("/os-services/enable", body, "2.1"))


def test_an_action_that_a_version_lacks_is_a_404_before_the_policy(frame: ApiClient) -> None:
    member = frame.as_user("bob", "member")
    for path, version in (
        ("/os-hypervisors/c/search", "2.53"),
        ("/os-hypervisors/c/servers", "2.53"),
        ("/os-hypervisors/statistics", "2.88"),
        ("/os-hypervisors/1/uptime", "2.88"),
    ):
        answer = member.get(path, version)
        assert message(answer) == "The resource could not be found."
        assert answer.headers["OpenStack-API-Version"] == f"compute {version}"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/servers", "GET"),
        ("/os-services/", "GET"),
        ("/os-hypervisors/", "GET"),
        ("/os-hypervisors/1/nothing", "GET"),
        ("/os-services", "POST"),
        ("/os-services", "PUT"),
        ("/os-services", "DELETE"),
        ("/os-services/enable", "GET"),
        ("/os-hypervisors", "PUT"),
        ("/os-hypervisors/1", "DELETE"),
    ],
)
def test_an_unknown_route_is_a_plain_404(frame: ApiClient, path: str, method: str) -> None:
    answer = frame.send(method, path, "2.53", {})
    assert (answer.status, answer.body) == (404, None)
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert answer.text.startswith("404 Not Found\n\nThe resource could not be found.")
    assert "OpenStack-API-Version" not in answer.headers


def test_an_unexpected_error_is_a_500_that_reveals_nothing(
    frame: ApiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("$3cret detail")

    monkeypatch.setattr("services.views.zones_of_hosts", fail)
    with caplog.at_level(logging.ERROR):
        answer = frame.get("/os-services")
    assert answer.status == 500
    assert "$3cret" not in answer.text
    assert answer.headers["x-openstack-request-id"] in answer.text
    assert "$3cret detail" in caplog.text


# --- responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/os-services", "/os-hypervisors", "/os-hypervisors/detail"])
def test_head_is_get_without_the_body(frame: ApiClient, path: str) -> None:
    got, headed = frame.get(path, "2.53"), frame.head(path, "2.53")
    assert (headed.status, headed.text) == (200, "")
    for name in ("OpenStack-API-Version", "Content-Type", "Vary"):
        assert headed.headers[name] == got.headers[name]


def test_every_response_has_a_request_id(frame: ApiClient) -> None:
    seen = set()
    for answer in (
        frame.get("/os-services"),
        frame.get("/os-services", "2.999"),
        frame.get("/nowhere"),
        frame.anonymous().get("/os-services"),
        frame.get("/v2.1"),
    ):
        request_id = answer.headers["x-openstack-request-id"]
        assert re.fullmatch(r"req-[0-9a-f-]{36}", request_id)
        assert answer.headers["x-compute-request-id"] == request_id
        seen.add(request_id)
    assert len(seen) == 5


def test_clients_with_a_token_get_json_whatever_they_accept(frame: ApiClient) -> None:
    for accepted in ("application/xml", "text/html", "*/*", "text/html,application/xhtml+xml"):
        answer = frame.get("/os-services", Accept=accepted)
        assert answer.headers["Content-Type"] == "application/json"


# --- projects -------------------------------------------------------------------------------------

PROJECT = "0123456789abcdef0123456789abcdef"


def test_the_url_may_contain_a_project(frame: ApiClient) -> None:
    assert len(frame.get(f"/{PROJECT}/os-services")["services"]) == 1
    assert frame.get(f"/{PROJECT}/os-hypervisors/1").status == 200
    assert frame.get("/not-hexadecimal/os-services").status == 404


def test_links_keep_the_project(frame: ApiClient) -> None:
    [link] = frame.get(f"/{PROJECT}/os-hypervisors?limit=1", "2.53")["hypervisors_links"]
    assert link["href"].startswith(f"http://testserver/v2.1/{PROJECT}/os-hypervisors?limit=1&")
    [link] = frame.get("/os-hypervisors?limit=1", "2.53")["hypervisors_links"]
    assert link["href"].startswith("http://testserver/v2.1/os-hypervisors?limit=1&")


def test_a_token_may_be_bound_to_a_project(frame: ApiClient) -> None:
    user = User.objects.get(username="operator")
    client = ApiClient(ApiToken.objects.issue(user, project_id=PROJECT)[1])
    other = PROJECT[::-1]
    assert client.get("/os-services").status == 200
    assert client.get(f"/{PROJECT}/os-services").status == 200
    assert message(client.get(f"/{other}/os-services")) == (
        f"Malformed request URL: URL's project_id '{other}' doesn't match Context's "
        f"project_id '{PROJECT}'"
    )


def test_the_version_document_of_a_project(cloud: Cloud) -> None:
    """Discovery, where the endpoint in Keystone's catalogue names the project."""
    user = User.objects.create_superuser("ann")
    client = ApiClient(ApiToken.objects.issue(user, project_id=PROJECT)[1])
    for prefix, version in (("/v2.1", "v2.1"), ("/v2", "v2.0")):
        answer = client.get(f"{prefix}/{PROJECT}/", "2.53")
        assert (answer.status, answer["version"]["id"]) == (200, version)
        assert answer.body == client.get(f"{prefix}/").body
        assert client.get(f"{prefix}/{'f' * 32}/", "2.53").status == 400
        assert client.anonymous().get(f"{prefix}/{PROJECT}/").status == 401
        assert client.send("POST", f"{prefix}/{PROJECT}/").body is None
    assert client.get(f"/{PROJECT}/", "2.999").status == 406
    member = ApiClient(
        ApiToken.objects.issue(User.objects.create_user("bob"), project_id=PROJECT)[1]
    )
    assert member.get(f"/{PROJECT}/").status == 200


# --- resources ------------------------------------------------------------------------------------


def test_a_method_with_a_route_must_be_an_endpoint() -> None:
    class Forgetful(NovaViewSet):
        def list(self, request: Request) -> Response:
            return Response()

    with pytest.raises(ImproperlyConfigured, match=r"Forgetful\.list is not an @endpoint"):
        NovaRouter().register("os-things", Forgetful)


# --- version documents ----------------------------------------------------------------------------


def test_the_version_documents_need_no_login(db: None, client: Client) -> None:
    root = client.get("/")
    assert (root.status_code, len(root.json()["versions"])) == (200, 2)
    current = next(each for each in root.json()["versions"] if each["status"] == "CURRENT")
    assert (current["id"], current["min_version"], current["version"]) == (
        "v2.1",
        "2.1",
        str(MAX_VERSION),
    )
    for path in ("/v2.1", "/v2.1/"):
        document = client.get(path).json()["version"]
        assert (document["min_version"], document["version"]) == ("2.1", str(MAX_VERSION))
        assert document["links"][0] == {"rel": "self", "href": "http://testserver/v2.1/"}
    for path in ("/v2", "/v2/"):
        document = client.get(path).json()["version"]
        assert (document["id"], document["version"]) == ("v2.0", "")


def test_a_browser_at_the_root_is_redirected_to_the_console(db: None, client: Client) -> None:
    response = client.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


def test_the_document_of_the_current_version_honours_the_version_header(
    db: None, client: Client
) -> None:
    headers = {"OpenStack-API-Version": "compute 2.999"}
    assert client.get("/v2.1", headers=headers).status_code == 406
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/v2", headers=headers).status_code == 200


def test_v2_is_2_1_whatever_the_headers_say(frame: ApiClient) -> None:
    answer = frame.get("/v2/os-services", "2.53")
    assert answer["services"][0]["id"] == 1
    assert "forced_down" not in answer["services"][0]
    assert "OpenStack-API-Version" not in answer.headers
    body = {"host": "compute-1", "binary": "nova-compute", "surplus": 1}
    assert frame.put("/v2/os-services/disable", body).status == 200
    assert frame.put("/os-services/disable", body).status == 400


# --- the browsable API ----------------------------------------------------------------------------

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_a_browser_gets_a_page_with_ids_as_links(frame: ApiClient, admin_client: Client) -> None:
    uuid = frame.get("/os-hypervisors", "2.53")["hypervisors"][0]["id"]
    url = "/v2.1/os-hypervisors?microversion=2.53"
    response = admin_client.get(url, headers=BROWSER)
    assert response.headers["Content-Type"].startswith("text/html")
    page = response.content.decode()
    assert f'href="/v2.1/os-hypervisors/{uuid}?microversion=2.53"' in page
    assert (
        admin_client.get(
            f"/v2.1/os-hypervisors/{uuid}?microversion=2.53", headers=BROWSER
        ).status_code
        == 200
    )


def test_only_a_page_takes_the_version_from_the_query(
    frame: ApiClient, admin_client: Client
) -> None:
    url = "/v2.1/os-hypervisors?microversion=2.53"
    page = admin_client.get(url, headers=BROWSER)
    assert page.headers["OpenStack-API-Version"] == "compute 2.53"
    assert admin_client.get(url).headers["OpenStack-API-Version"] == "compute 2.1"
    assert frame.get("/os-hypervisors?microversion=2.53").headers["OpenStack-API-Version"] == (
        "compute 2.1"
    )
    assert frame.get("/os-hypervisors?microversion=2.53", "2.75").status == 400


def test_a_page_reports_errors_as_json_does(frame: ApiClient, admin_client: Client) -> None:
    for url, status in (
        ("/v2.1/os-hypervisors/7?microversion=2.53", 400),
        ("/v2.1/os-hypervisors?microversion=2.999", 406),
        ("/v2.1/os-hypervisors?microversion=x", 400),
    ):
        response = admin_client.get(url, headers=BROWSER)
        assert response.status_code == status, url
        assert response.headers["Content-Type"].startswith("text/html")


def test_a_page_lists_the_paths_that_its_version_has(
    frame: ApiClient, admin_client: Client
) -> None:
    names = ("", "os-aggregates", "os-services", "os-hypervisors", "os-hypervisors/detail")
    paths = {f"/v2.1/{name}" for name in names}
    for version, more in (("2.87", {"/v2.1/os-hypervisors/statistics"}), ("2.88", set())):
        url = f"/v2.1/os-services?microversion={version}"
        page = admin_client.get(url, headers=BROWSER).content.decode()
        listed = re.search('<nav class="api-paths".*?</nav>', page, re.DOTALL)
        assert listed is not None
        links = set(re.findall('href="([^"?]*)', listed[0]))
        assert links == paths | more
        for path in links:
            answer = admin_client.get(f"{path}?microversion={version}", headers=BROWSER)
            assert answer.status_code == 200, path


def test_ids_of_services_lead_to_the_console(frame: ApiClient, admin_client: Client) -> None:
    uuid = frame.get("/os-services", "2.53")["services"][0]["id"]
    for version, url in (
        ("2.53", f"/admin/services/service/{uuid}/"),
        ("2.52", "/admin/services/service/?q=1"),
    ):
        for path in ("os-services", "os-hypervisors/detail"):
            page = admin_client.get(f"/v2.1/{path}?microversion={version}", headers=BROWSER)
            assert f'href="{url}"' in page.content.decode()


def test_an_error_may_be_a_page(frame: ApiClient, client: Client) -> None:
    client.force_login(User.objects.create_user("carol"))
    body = json.dumps({"host": "compute-1", "binary": "nova-compute"})
    for method, path, data in (
        ("GET", "/v2.1/os-services", ""),
        ("GET", "/v2.1/os-hypervisors/1", ""),
        ("PUT", "/v2.1/os-services/enable", body),
        ("DELETE", "/v2.1/os-services/1", ""),
    ):
        response = client.generic(method, path, data, "application/json", headers=BROWSER)
        assert response.status_code == 403, path
        assert "Policy doesn" in response.content.decode()
    assert Entry.objects.count() == 2


def test_values_are_escaped_in_pages(cloud: Cloud, admin_client: Client) -> None:
    cloud.host("cell1", "<script>alert(1)</script>", service={"disabled_reason": '"><img src=x>'})
    for path in ("os-services", "os-hypervisors/detail"):
        page = admin_client.get(f"/v2.1/{path}", headers=BROWSER).content.decode()
        assert "alert(1)" in page
        assert "<script>alert(1)" not in page
        assert "<img src=x>" not in page


def test_reads_write_nothing(frame: ApiClient, cloud: Cloud) -> None:
    """Not even a uuid for a service that has none."""
    cloud.add_service("cell2", "old", uuid=None)
    rows = [Service.with_deleted.using(cell.alias).order_by("id").values() for cell in cloud.cells]
    before = [list(some) for some in rows]
    for version in ("2.1", "2.53", "2.69", "2.88", "2.104"):
        for path in ("/os-services", "/os-hypervisors", "/os-hypervisors/detail"):
            frame.get(path, version)
    assert [list(some.all()) for some in rows] == before


@pytest.mark.parametrize("path", ["/os-services", "/os-hypervisors/detail", "/os-hypervisors/x"])
def test_no_answer_is_kept_until_garbage_is_collected(
    cloud: Cloud, api: ApiClient, path: str
) -> None:
    cloud.host("cell1", "cmp")
    api.get(path, "2.53")
    gc.collect()
    gc.disable()
    try:
        api.get(path, "2.53")
        kept = gc.get_objects()
    finally:
        gc.enable()
    assert not any(vars(one) for one in kept if isinstance(one, NovaViewSet))
    # The client of the tests keeps its answers; what they were rendered with also has them.
    assert not any(vars(one)["renderer_context"] for one in kept if isinstance(one, Response))
