"""``/healthz``, and ``/healthcheck`` of oslo.middleware."""

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings
from webob import Request, Response

from portal.health import with_healthcheck
from portal.wsgi import application, django
from tests.clouds import Cloud

pytestmark = pytest.mark.any_engine


@pytest.fixture
def disable_file(settings: Settings, tmp_path: Path) -> Path:
    path: Path = tmp_path / "healthcheck_disable"
    settings.HEALTHCHECK_DISABLE_FILE = path
    return path


def ask(method: str = "GET", path: str = "/healthcheck", **headers: str) -> Response:
    """The answer of the portal as it is configured now."""
    request = Request.blank(path, method=method, headers=headers)
    return request.get_response(with_healthcheck(django))


def test_a_node_is_drained_while_the_file_exists(disable_file: Path) -> None:
    assert (ask().status_code, ask().text) == (200, "OK")
    assert (ask("HEAD").status_code, ask("HEAD").body) == (204, b"")
    disable_file.touch()
    assert (ask().status_code, ask().text) == (503, "DISABLED BY FILE")
    assert ask("HEAD").status_code == 503
    disable_file.unlink()
    assert ask().status_code == 200


def test_it_answers_in_json_and_html(disable_file: Path) -> None:
    answer = ask(Accept="application/json")
    assert answer.content_type == "application/json"
    assert answer.json == {"detailed": False, "reasons": ["OK"]}
    disable_file.touch()
    assert ask(Accept="application/json").json["reasons"] == ["DISABLED BY FILE"]
    page = ask(Accept="text/html")
    assert (page.status_code, page.content_type) == (503, "text/html")
    for answer in (ask(Accept="text/html"), ask(Accept="application/json"), ask()):
        assert str(disable_file) not in answer.text  # details are for nobody


def test_a_probe_needs_no_name_and_no_https(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["portal.example.net"]
    settings.SECURE_SSL_REDIRECT = True
    request = Request.blank("/healthcheck", base_url="http://10.0.0.7:8000")
    assert request.get_response(application).status_code == 200


def test_other_paths_are_the_portals(cloud: Cloud, disable_file: Path) -> None:
    disable_file.touch()
    assert ask(path="/").status_code == 200
    assert ask(path="/healthcheck/x").status_code == 300
    assert Client().get("/healthz").json() == {"status": "ok", "databases_away": []}
