"""PUT os-services: by action and host before 2.53, by uuid after."""

from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from hypervisors.models import Instance
from services.models import Service
from tests.clients import ApiClient
from tests.clouds import Cloud

MISSING = "11111111-2222-4333-8444-555555555555"


def row(cloud: Cloud, cell: str, service: Service) -> Service:
    """The service as it is now."""
    found: Service = Service.with_deleted.using(cloud.cell(cell).alias).get(id=service.id)
    return found


def columns(service: Service) -> dict[str, Any]:
    return {field.attname: getattr(service, field.attname) for field in Service._meta.fields}


@pytest.fixture
def service(cloud: Cloud) -> Service:
    """An enabled nova-compute in cell2, with an id that occurs in other cells too."""
    cloud.host("cell1", "other")
    cloud.add_aggregate("a", ["cmp"], zone="west")
    return cloud.host("cell2", "cmp")[0]


def put(api: ApiClient, action: str, version: str, **more: Any) -> Any:
    body = {"host": "cmp", "binary": "nova-compute", **more}
    return api.put(f"/os-services/{action}", body, version)


@pytest.mark.parametrize("version", ["2.1", "2.11", "2.52"])
def test_disable_and_enable_by_host(
    cloud: Cloud, api: ApiClient, service: Service, version: str
) -> None:
    before = columns(service)
    answer = put(api, "disable-log-reason", version, disabled_reason="broken fan")
    assert (answer.status, answer.body) == (
        200,
        {
            "service": {
                "host": "cmp",
                "binary": "nova-compute",
                "status": "disabled",
                "disabled_reason": "broken fan",
            }
        },
    )
    now = row(cloud, "cell2", service)
    assert now.updated_at is not None
    assert columns(now) == before | {
        "disabled": True,
        "disabled_reason": "broken fan",
        "updated_at": now.updated_at,
    }
    answer = put(api, "disable", version, disabled_reason="ignored")
    assert answer.body == {
        "service": {"host": "cmp", "binary": "nova-compute", "status": "disabled"}
    }
    assert row(cloud, "cell2", service).disabled_reason is None
    answer = put(api, "enable", version)
    assert answer["service"]["status"] == "enabled"
    assert row(cloud, "cell2", service).disabled is False
    assert not Service.objects.using(cloud.cell("cell1").alias).get().updated_at


@pytest.mark.parametrize("said", [True, "on", "YES", "1"])
def test_force_down_by_host(cloud: Cloud, api: ApiClient, service: Service, said: Any) -> None:
    answer = put(api, "force-down", "2.11", forced_down=said)
    assert answer.body == {
        "service": {"host": "cmp", "binary": "nova-compute", "forced_down": True}
    }
    assert row(cloud, "cell2", service).forced_down is True
    put(api, "force-down", "2.11", forced_down="off")
    assert row(cloud, "cell2", service).forced_down is False


@pytest.mark.parametrize(
    ("action", "version", "body", "status", "message"),
    [
        ("explode", "2.1", {}, 404, "Unknown action"),
        ("force-down", "2.10", {}, 404, "Unknown action"),
        ("disable-log-reason", "2.1", {}, 400, "Missing disabled reason field"),
        ("force-down", "2.11", {}, 400, "Missing forced_down field"),
        ("enable", "2.1", {"host": "nowhere"}, 404, "Host 'nowhere' is not mapped to any cell"),
        ("enable", "2.1", {"host": "CMP"}, 404, "Host 'CMP' is not mapped to any cell"),
        (
            "enable",
            "2.1",
            {"host": "empty"},
            404,
            "Could not find binary nova-compute on host empty.",
        ),
        (
            "enable",
            "2.1",
            {"host": "nowhere", "binary": "nova-scheduler"},
            400,
            "Updating a nova-scheduler service is not supported. "
            "Only nova-compute services can be updated.",
        ),
    ],
)
def test_refusals_by_host(
    cloud: Cloud,
    api: ApiClient,
    service: Service,
    action: str,
    version: str,
    body: dict[str, str],
    status: int,
    message: str,
) -> None:
    cloud.map_host("empty", "cell3")
    answer = put(api, action, version, **body)
    assert answer.status == status
    assert next(iter(answer.body.values())) == {"code": status, "message": message}
    assert columns(row(cloud, "cell2", service)) == columns(service)


@pytest.mark.parametrize(
    ("version", "body", "named"),
    [
        ("2.1", {"binary": "nova-compute"}, "host"),
        ("2.1", {"host": "cmp", "binary": "nova-compute", "forced_down": True}, "forced_down"),
        ("2.11", {"host": "cmp", "binary": "nova-compute", "forced_down": 1}, "forced_down"),
        ("2.1", {"host": "cmp", "binary": "nova-compute", "disabled_reason": ""}, "disabled_re"),
        ("2.1", {"host": "c mp", "binary": "nova-compute"}, "host"),
        ("2.53", {"host": "cmp", "binary": "nova-compute"}, "host"),
        ("2.53", {"status": "off"}, "status"),
        ("2.53", {"disabled_reason": None, "status": "disabled"}, "disabled_reason"),
        ("2.53", {"disabled_reason": "x" * 256, "status": "disabled"}, "disabled_reason"),
    ],
)
def test_bodies_that_do_not_fit_the_schema(
    api: ApiClient, service: Service, version: str, body: dict[str, Any], named: str
) -> None:
    answer = api.put("/os-services/enable", body, version)
    assert answer.status == 400
    assert named in answer["badRequest"]["message"]
    assert not Entry.objects.exists()


def test_v2_ignores_what_it_does_not_know(api: ApiClient, cloud: Cloud, service: Service) -> None:
    body = {"host": "cmp", "binary": "nova-compute", "extra": 1}
    assert api.put("/v2/os-services/disable", body, "2.53").status == 200
    assert row(cloud, "cell2", service).disabled is True


@pytest.mark.parametrize("version", ["2.53", "2.69", "2.104"])
def test_update_by_uuid_answers_the_whole_service(
    cloud: Cloud, api: ApiClient, service: Service, version: str
) -> None:
    body = {"status": "disabled", "disabled_reason": "maintenance", "forced_down": "true"}
    answer = api.put(f"/os-services/{service.uuid}", body, version)
    now = row(cloud, "cell2", service)
    assert now.updated_at is not None
    assert answer.status == 200
    written = answer["service"].pop("updated_at")
    assert written.startswith(now.updated_at.strftime("%Y-%m-%dT%H:%M:"))
    assert answer.body == {
        "service": {
            "id": service.uuid,
            "binary": "nova-compute",
            "host": "cmp",
            "zone": "west",
            "status": "disabled",
            "state": "down",
            "disabled_reason": "maintenance",
            "forced_down": True,
        }
    }
    assert columns(now) == columns(service) | {
        "disabled": True,
        "disabled_reason": "maintenance",
        "forced_down": True,
        "updated_at": now.updated_at,
    }
    answer = api.put(f"/os-services/{service.uuid}", {"status": "enabled"}, version)
    assert answer["service"]["disabled_reason"] is None
    assert answer["service"]["forced_down"] is True


def test_an_update_that_changes_nothing_writes_nothing(
    cloud: Cloud, api: ApiClient, service: Service
) -> None:
    answer = api.put(f"/os-services/{service.uuid}", {"status": "enabled"}, "2.53")
    assert (answer.status, answer["service"]["updated_at"]) == (200, None)
    assert columns(row(cloud, "cell2", service)) == columns(service)
    assert put(api, "enable", "2.1").status == 200
    assert columns(row(cloud, "cell2", service)) == columns(service)
    assert [entry.outcome for entry in Entry.objects.all()] == ["done", "done"]


def test_only_what_differs_is_written(
    cloud: Cloud, api: ApiClient, service: Service, count_queries: Any
) -> None:
    with count_queries() as queries:
        api.put(f"/os-services/{service.uuid}", {"status": "disabled"}, "2.53")
    updates = [sql for sql in queries.on("cell2") if sql.upper().startswith("UPDATE")]
    assert len(updates) == 1
    assert "disabled" in updates[0]
    assert "forced_down" not in updates[0]
    assert "report_count" not in updates[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {},
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ),
        (
            {"disabled_reason": "alone"},
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ),
        (
            {"status": "enabled", "disabled_reason": "why"},
            "Specifying 'disabled_reason' with status 'enabled' is invalid.",
        ),
    ],
)
def test_updates_that_make_no_sense(
    cloud: Cloud, api: ApiClient, service: Service, body: dict[str, str], message: str
) -> None:
    answer = api.put(f"/os-services/{service.uuid}", body, "2.53")
    assert (answer.status, answer.body) == (400, {"badRequest": {"code": 400, "message": message}})
    assert columns(row(cloud, "cell2", service)) == columns(service)


def test_a_reason_that_no_database_stores(api: ApiClient, service: Service) -> None:
    for reason in ("nul \0", "half \ud83d"):
        body = {"status": "disabled", "disabled_reason": reason}
        answer = api.put(f"/os-services/{service.uuid}", body, "2.53")
        assert answer.status == 400
        assert "disabled_reason" in answer["badRequest"]["message"]


def test_a_reason_beyond_the_basic_plane(cloud: Cloud, api: ApiClient, service: Service) -> None:
    """Nova's tables on MySQL cannot store it: there it is a 400, elsewhere it is stored."""
    body = {"status": "disabled", "disabled_reason": "on fire \N{FIRE}"}
    answer = api.put(f"/os-services/{service.uuid}", body, "2.53")
    if cloud.engine == "mysql":
        assert answer.status == 400
        assert columns(row(cloud, "cell2", service)) == columns(service)
        assert Entry.objects.get().outcome == "failed"
    else:
        assert answer.status == 200
        assert row(cloud, "cell2", service).disabled_reason == body["disabled_reason"]


def test_form_of_the_uuid_comes_before_the_policy_and_existence_after(
    api: ApiClient, service: Service
) -> None:
    body = {"status": "disabled"}
    member = api.as_user("bob", "member")
    assert member.put("/os-services/abc", body, "2.53").body == {
        "badRequest": {"code": 400, "message": "Invalid uuid abc"}
    }
    for uuid in (MISSING, service.uuid):
        answer = member.put(f"/os-services/{uuid}", body, "2.53")
        assert answer.body == {
            "forbidden": {
                "code": 403,
                "message": "Policy doesn't allow os_compute_api:os-services:update "
                "to be performed.",
            }
        }
    assert api.put(f"/os-services/{MISSING}", body, "2.53").body == {
        "itemNotFound": {"code": 404, "message": f"Service {MISSING} could not be found."}
    }
    assert member.put("/os-services/explode", {"host": "a", "binary": "b"}, "2.1").status == 403


def test_only_nova_compute(cloud: Cloud, api: ApiClient) -> None:
    conductor = cloud.add_service("cell1", "ctl", binary="nova-conductor")
    answer = api.put(f"/os-services/{conductor.uuid}", {}, "2.53")
    assert (answer.status, answer["badRequest"]["message"]) == (
        400,
        "Updating a nova-conductor service is not supported. "
        "Only nova-compute services can be updated.",
    )


def test_a_deleted_service_is_not_found(cloud: Cloud, api: ApiClient) -> None:
    gone = cloud.add_service("cell1", "old", deleted=9, deleted_at=timezone.now())
    assert api.put(f"/os-services/{gone.uuid}", {"status": "enabled"}, "2.53").status == 404


@pytest.mark.parametrize("version", ["2.11", "2.53"])
def test_forcing_up_with_evacuations_left(
    cloud: Cloud, api: ApiClient, service: Service, version: str
) -> None:
    cloud.add_migration("cell2", "cmp", status="done", migration_type="evacuation")
    Service.objects.using(cloud.cell("cell2").alias).update(forced_down=True)

    def force_up() -> Any:
        if version == "2.11":
            return put(api, "force-down", version, forced_down=False)
        return api.put(f"/os-services/{service.uuid}", {"forced_down": False}, version)

    answer = force_up()
    assert answer.status == 400
    assert answer["badRequest"]["message"].startswith("Unable to force up host cmp as `done` ev")
    assert row(cloud, "cell2", service).forced_down is True
    migrations = Instance._meta.apps.get_model("hypervisors", "Migration")
    migrations.objects.using(cloud.cell("cell2").alias).update(status="completed")
    assert force_up().status == 200
    assert row(cloud, "cell2", service).forced_down is False


def test_a_service_without_uuid_can_be_updated_by_host(cloud: Cloud, api: ApiClient) -> None:
    cloud.host("cell3", "cmp", service={"uuid": None})
    assert put(api, "disable", "2.52").status == 200
    entry = Entry.objects.get()
    assert (entry.service_uuid, entry.cell_name, entry.service_id) == ("", "cell3", 1)


def test_cell_that_does_not_answer(
    cloud: Cloud, api: ApiClient, service: Service, dead_cell: Any
) -> None:
    """The uuid may be in the dead cell; a host that is mapped to it certainly is."""
    answer = api.put(f"/os-services/{MISSING}", {"status": "enabled"}, "2.53")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    assert "cell2" in answer["serviceUnavailable"]["message"]
    assert put(api, "disable", "2.1").status == 503
    assert [entry.outcome for entry in Entry.objects.all()] == ["failed", "failed"]


def asked(queries: Any) -> dict[str, int]:
    """How many statements went to the cells that got any, besides SQLite's BEGIN."""
    counts = {
        name: sum(not sql.startswith("BEGIN") for sql in queries.on(name))
        for name in queries.per_cell()
    }
    return {name: count for name, count in counts.items() if count}


def test_number_of_queries(api: ApiClient, service: Service, count_queries: Any) -> None:
    """Once the cell of the service is known, no other cell is asked."""
    url = f"/os-services/{service.uuid}"
    api.get(f"/os-services?host={service.host}", "2.53")
    with count_queries() as queries:
        assert api.put(url, {"status": "disabled"}, "2.53").status == 200
    assert asked(queries) == {"cell2": 3}  # found, locked, written
    with count_queries() as queries:
        assert api.put(url, {"status": "disabled"}, "2.53").status == 200
    assert asked(queries) == {"cell2": 2}
    with count_queries() as queries:
        assert put(api, "enable", "2.1").status == 200
    assert asked(queries) == {"cell2": 3}
    with count_queries() as queries:
        assert api.delete(url, "2.53").status == 204
    # Found, locked; what is on the host; service and nodes deleted.
    assert asked(queries) == {"cell2": 5}
