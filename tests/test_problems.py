"""What ``check_fleet`` finds, and how it says so."""

import datetime
import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from audit.models import Channel, Entry, Outcome
from cells.registry import Cell
from hypervisors.cloud_problems import DOWN_WITH_SERVERS
from hypervisors.demo.fleet import Fleet
from hypervisors.findings import FleetProblem
from hypervisors.fleet_views import list_url
from hypervisors.placement_problems import PLACEMENT_PROBLEMS
from hypervisors.problems import (
    FLEET_PROBLEMS,
    HOST_PROBLEMS,
    NODE_PROBLEMS,
    PROBLEMS,
    unmapped_hosts,
    worst_first,
)
from hypervisors.report import Report, Result, check_fleet
from services.models import Service
from services.problems import SERVICE_PROBLEMS
from tests.clouds import Cloud
from tests.counting import Queries
from tests.servers import free_port

LONG_AGO = timezone.now() - datetime.timedelta(days=90)


def found(report: Report) -> dict[str, Result]:
    return {result.problem.name: result for result in report.results if result.count}


def subjects(result: Result) -> set[str]:
    return {finding.subject for finding in result.findings}


def test_nothing_is_wrong_in_a_healthy_fleet(cloud: Cloud) -> None:
    cloud.host("cell1", "a", service={"id": 1}, node={"id": 1})
    cloud.host("cell2", "b", service={"id": 2}, node={"id": 2})
    cloud.add_service("cell0", "ctl", binary="nova-scheduler", id=9)
    report = check_fleet()
    assert found(report) == {}
    assert report.severity == "good"
    assert report.cells == 4


def test_a_host_may_be_in_a_cell_that_does_not_answer(
    cloud: Cloud, dead_cell: Cell, admin_client: Client
) -> None:
    cloud.map_host("strayed", "cell1")
    report = check_fleet()
    assert found(report).keys() == {"silent-cell"}
    assert report.severity == "bad"
    html = admin_client.get("/admin/problems/?now=1").content.decode()
    assert "Not found in the cells that answer" in html
    assert 'class="badge good"' not in html.partition("Not found in the cells")[2]


def test_each_problem_is_found(cloud: Cloud) -> None:
    now = timezone.now()
    cloud.map_host("gone", "cell1")
    cloud.add_node("cell1", "gone")
    cloud.add_service("cell1", "unmapped")
    cloud.add_node("cell1", "unmapped")
    cloud.map_host("forgotten", "cell2")
    cloud.host("cell1", "twin", node={"hypervisor_hostname": "one name"})
    cloud.add_service("cell2", "twin")
    cloud.add_node("cell2", "other", hypervisor_hostname="one name")
    cloud.map_host("other", "cell2")
    cloud.add_service("cell2", "other")
    cloud.map_host("strayed", "cell1")
    cloud.add_service("cell3", "strayed")
    cloud.host("cell3", "nameless", service={"uuid": None})
    cloud.add_service("cell0", "lost")
    cloud.host("cell3", "stale", node={"updated_at": LONG_AGO})
    cloud.host("cell3", "off", service={"disabled": True, "updated_at": LONG_AGO})
    cloud.host("cell3", "unfenced", service={"forced_down": True, "last_seen_up": now})
    cloud.host("cell3", "crashed", service={"last_seen_up": now - datetime.timedelta(hours=1)})
    cloud.add_instance("cell3", "crashed")
    cloud.host("cell3", "ghost", service={"last_seen_up": None, "created_at": LONG_AGO})
    cloud.host("cell1", "forgotten-too", service={"version": 66})
    cloud.add_migration("cell1", "twin", updated_at=LONG_AGO, instance_uuid="i-1")
    cloud.add_migration("cell1", "twin", status="error", instance_uuid="i-2")
    cloud.add_migration("cell1", "twin", status="error", updated_at=LONG_AGO)
    cloud.add_migration("cell1", "twin")

    problems = found(check_fleet())

    assert subjects(problems["no-service"]) == {"gone"}
    assert subjects(problems["unmapped"]) == {"unmapped", "lost"}
    assert subjects(problems["mapping-without-host"]) == {"forgotten"}
    assert subjects(problems["duplicate-host"]) == {"twin"}
    assert subjects(problems["duplicate-name"]) == {"one name"}
    assert subjects(problems["wrong-cell"]) == {"strayed"}
    assert subjects(problems["no-uuid"]) == {"nova-compute on nameless"}
    assert subjects(problems["cell0-compute"]) == {"nova-compute on lost"}
    assert subjects(problems["stale"]) == {"stale"}
    assert subjects(problems["disabled-long"]) == {"nova-compute on off"}
    assert subjects(problems["forced-reporting"]) == {"nova-compute on unfenced"}
    assert subjects(problems["down-with-servers"]) == {"crashed"}
    assert subjects(problems["down-long"]) == {"nova-compute on ghost"}
    assert subjects(problems["outdated"]) == {"nova-compute on forgotten-too"}
    assert subjects(problems["migration-stuck"]) == {"live-migration of server i-1"}
    assert subjects(problems["migration-failed"]) == {"live-migration of server i-2"}
    assert problems["ambiguous-services"].count >= 2
    assert problems["ambiguous-hypervisors"].count >= 1
    # Those with placement have theirs in tests/test_placement_problems.py; silent cells, below.
    here = {problem.name for problem in {*PROBLEMS} - {*PLACEMENT_PROBLEMS}} - {"silent-cell"}
    assert set(problems) == here, "each has its example here"
    assert check_fleet().severity == "bad"


def test_each_problem_is_explained() -> None:
    for problem in PROBLEMS:
        for text in (problem.title, problem.why, problem.fix):
            assert str(text).strip(), problem.name
    filters = (*SERVICE_PROBLEMS, *NODE_PROBLEMS, *HOST_PROBLEMS)
    assert all(str(problem.label).strip() for problem in filters)
    assert {*filters, *FLEET_PROBLEMS} == {*PROBLEMS}


def test_no_two_problems_have_one_name() -> None:
    with pytest.raises(ValueError, match="called forced-reporting"):
        worst_first(*SERVICE_PROBLEMS, *SERVICE_PROBLEMS)


def test_the_lists_show_what_the_report_counts(
    fleet: Fleet, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmapped_hosts, "ttl", 0)
    monkeypatch.setattr(DOWN_WITH_SERVERS.hosts, "ttl", 0)
    listed = {}
    for result in check_fleet().results:
        if url := list_url(result.problem):
            changelist = admin_client.get(url).context["cl"]
            listed[result.problem.name] = (changelist.result_count, result.count)
        else:
            assert isinstance(result.problem, FleetProblem)
    assert all(shown == count for shown, count in listed.values()), listed
    assert listed.keys() >= {"no-service", "stale", "unmapped", "no-uuid", "cell0-compute"}


def test_disabled_for_long_is_known_from_the_audit(cloud: Cloud) -> None:
    """The row of a service that reports is written all the time, so it cannot tell."""
    rows = {}
    for host in ("old", "recent", "again"):
        columns = {"disabled": True, "updated_at": timezone.now()}
        rows[host], _ = cloud.host("cell1", host, service=columns)

    def record(host: str, action: str, at: datetime.datetime) -> None:
        before, after = {"status": "enabled"}, {"status": "disabled"}
        if action == "enable":
            before, after = after, before
        Entry.objects.create(
            at=at, username="op", channel=Channel.API, action=action, outcome=Outcome.DONE,
            service_uuid=rows[host].uuid or "", host=host, before=before, after=after,
        )  # fmt: skip

    record("old", "disable", LONG_AGO)
    record("recent", "disable", timezone.now())
    record("again", "disable", LONG_AGO)
    record("again", "enable", LONG_AGO + datetime.timedelta(days=1))
    record("again", "disable", timezone.now())
    problem = found(check_fleet())["disabled-long"]
    assert subjects(problem) == {"nova-compute on old"}


def test_hosts_down_with_servers_are_the_gravest_worst_first(
    cloud: Cloud, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DOWN_WITH_SERVERS.hosts, "ttl", 0)
    down = {"last_seen_up": timezone.now() - datetime.timedelta(hours=1)}
    for host, columns, servers in (
        ("few", down, 1),
        ("many", down, 3),
        ("up", {}, 2),
        ("idle", down, 0),
    ):
        cloud.host("cell1", host, service=columns)
        for _ in range(servers):
            cloud.add_instance("cell1", host)
    cloud.add_instance("cell1", "few", deleted=9)
    result = check_fleet().results[0]
    assert [(one.subject, one.remark) for one in result.findings] == [
        ("many", "3 servers"),
        ("few", "1 server"),
    ]
    changelist = admin_client.get(list_url(result.problem)).context["cl"]
    assert changelist.result_count == 2
    assert '"remark": "3 servers"' in run("--json")[1]


def test_the_advice_for_an_unmapped_host_finds_it(cloud: Cloud) -> None:
    for host, mapped in (("fresh", 0), ("mapped-before", 1)):
        cloud.add_service("cell1", host)
        cloud.add_node("cell1", host, mapped=mapped)
    cloud.add_service("cell1", "without-node")
    remarks = {one.subject: one.remark for one in found(check_fleet())["unmapped"].findings}
    assert remarks.keys() == {"fresh", "mapped-before", "without-node"}
    assert {host for host, text in remarks.items() if "--by-service" in text} == {
        "mapped-before",
        "without-node",
    }
    assert all(f"--cell_uuid {cloud.cell('cell1').uuid}" in text for text in remarks.values())


def test_a_page_shows_what_is_wrong_with_its_row(cloud: Cloud, admin_client: Client) -> None:
    down = timezone.now() - datetime.timedelta(hours=1)
    bad, bad_node = cloud.host("cell1", "bad", service={"last_seen_up": down, "uuid": None})
    cloud.add_instance("cell1", "bad")
    good, good_node = cloud.host("cell1", "good")
    bad_key = f"{cloud.cell('cell1').uuid}:{bad.id}"

    def shown(path: str) -> str:
        html = admin_client.get(f"/admin/{path}/").content.decode()
        return (
            re.sub(r"\s+", " ", html).partition("What is wrong here")[2].partition("</section>")[0]
        )

    for path in (f"hypervisors/computenode/{bad_node.uuid}", f"services/service/{bad_key}"):
        section = shown(path)
        assert "Hosts that are down with servers on them" in section, path
        assert "1 server</p>" in section
        assert "What to do:</strong> Find out whether the host is alive" in section
        assert "Services without a uuid" in section
        assert section.index("down with servers") < section.index("without a uuid")
    for path in (f"hypervisors/computenode/{good_node.uuid}", f"services/service/{good.uuid}"):
        assert not shown(path), path
    # What a row's own database tells is asked for each time.
    Service.objects.using(cloud.cell("cell1").alias).filter(id=good.id).update(
        disabled=True, updated_at=LONG_AGO
    )
    assert "disabled for a long time" in shown(f"services/service/{good.uuid}")


def test_four_queries_a_cell(
    cloud: Cloud, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    for number in range(30):
        cloud.host("cell1", f"host{number}", node={"updated_at": LONG_AGO})
    with count_queries() as queries:
        check_fleet()
    assert set(queries.per_cell().values()) == {4}


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_fleet", *arguments, stdout=out)
    return int(str(ended.value.code)), out.getvalue()


def test_command_exits_as_monitoring_expects(cloud: Cloud) -> None:
    cloud.host("cell1", "a", service={"id": 1}, node={"id": 1})
    assert run()[0] == 0
    cloud.map_host("forgotten", "cell2")
    code, text = run()
    assert code == 1
    assert "forgotten (cell2)" in text
    cloud.add_service("cell0", "lost")
    code, text = run("--json")
    assert code == 2
    report = json.loads(text)
    assert report["status"] == "critical"
    assert {one["name"] for one in report["problems"]} >= {"cell0-compute", "mapping-without-host"}
    assert all(one["why"] and one["what_to_do"] for one in report["problems"])
    with pytest.raises(CommandError, match="no cell called nowhere") as refused:
        call_command("check_fleet", "--cell", "nowhere")
    assert refused.value.returncode == 3


@pytest.mark.server
def test_silent_cell_is_said(cloud: Cloud, dead_cell: Cell) -> None:
    cloud.host("cell1", "a")
    cloud.map_host("in-the-dead-cell", "cell2")
    code, text = run("--json")
    assert code == 2
    report = json.loads(text)
    assert [one["cell"] for one in report["cells_not_answering"]] == ["cell2"]
    # Nothing is said of hosts that could not be looked for.
    assert [one["name"] for one in report["problems"]] == ["silent-cell"]


def test_a_cell_that_goes_away_is_shown_at_once(cloud: Cloud, admin_client: Client) -> None:
    cloud.host("cell2", "gone", service={"uuid": None})
    shown = admin_client.get("/admin/problems/").content.decode()
    assert "nova-compute on gone" in shown
    assert "not responding" not in shown
    assert re.search(r"\(<time [^>]*>0 s ago</time>\)", shown)
    time.sleep(1)  # a report is not made anew more often
    cloud.point("cell2", f"postgresql://nova:secret@127.0.0.1:{free_port()}/nova_cell2")
    for path in ("/admin/problems/", "/admin/"):
        shown = re.sub(r"\s+", " ", admin_client.get(path).content.decode())
        assert "1 cell is not responding" in shown, path
        assert "Services without a uuid" not in shown.partition("Not found in the cells")[0], path
