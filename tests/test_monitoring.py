"""Alert rules and the dashboard, held against a real scrape; and rules of the field."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from audit.models import Channel, Entry, OutboxMessage, Outcome
from hypervisors.demo.fleet import Fleet
from hypervisors.report import latest_report
from maintenance.models import Maintenance, State
from tests.clients import ApiClient
from tests.clouds import Cloud
from tests.test_metrics import Samples, scrape

MONITORING = Path(__file__).parent.parent / "deploy" / "monitoring"
#: What is asked of a metric: its name, and the matchers in braces.
SELECTOR = re.compile(r"\b((?:nova|openstack_nova)_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
BY = re.compile(r"\bby \(([^)]*)\)")

#: Rules that operators of openstack-exporter have: its names, its labels, nothing of cells.
RULES_OF_THE_FIELD = [
    'openstack_nova_agent_state{service="nova-compute",adminState="enabled"} != 1',
    "sum by (hostname, service, zone, disabledReason) (openstack_nova_agent_state) == 0",
    "sum by (availability_zone) (openstack_nova_vcpus_used) "
    "/ sum by (availability_zone) (openstack_nova_vcpus_available) > 3",
    "sum by (hostname, aggregates) (openstack_nova_memory_used_bytes) "
    "/ sum by (hostname, aggregates) (openstack_nova_memory_available_bytes) > 0.95",
    "sum(openstack_nova_local_storage_used_bytes) "
    "/ sum(openstack_nova_local_storage_available_bytes)",
    "sum(openstack_nova_running_vms) + sum(openstack_nova_current_workload)",
    "openstack_nova_free_disk_bytes < 10737418240",
    "sum(openstack_nova_total_vms)",
]


@pytest.fixture
def samples(fleet: Fleet, cloud: Cloud, api: ApiClient) -> Samples:
    """A scrape of a portal in which everything has happened."""
    api.get("/os-services", "2.53")
    Entry.objects.create(username="a", channel=Channel.API, action="enable", outcome=Outcome.DONE)
    OutboxMessage.objects.create(transport="bus", sequence=1, subject="x", payload={})
    Maintenance.objects.create(
        plan="empty", state=State.FAILED, cell_name="cell1", host="a", at_once=1, former={}
    )
    latest_report.get()
    scrape()
    return scrape()


def expressions_of_alerts() -> list[str]:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def expressions_of_dashboard() -> list[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    [variable] = [each for each in dashboard["templating"]["list"] if each["name"] == "cell"]
    return [
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
        variable["definition"].removeprefix("label_values(").rstrip(")").replace(", cell", ""),
    ]


@pytest.mark.any_engine
def test_every_metric_and_label_that_is_asked_for_is_in_a_scrape(samples: Samples) -> None:
    labels_of: dict[str, set[str]] = {
        name: set().union(*(sample.labels for sample in found)) for name, found in samples.items()
    }
    for expression in [
        *expressions_of_alerts(),
        *expressions_of_dashboard(),
        *RULES_OF_THE_FIELD,
    ]:
        asked = SELECTOR.findall(expression)
        assert asked or expression.startswith("up{"), expression
        for name, matchers in asked:
            assert name in labels_of, expression
            assert set(MATCHER.findall(matchers)) <= labels_of[name], expression
        grouped = {label.strip() for by in BY.findall(expression) for label in by.split(",")}
        assert grouped <= set().union(set(), *(labels_of[name] for name, _ in asked)), expression


def promtool(*arguments: Any) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=MONITORING
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_rules_do_what_their_fixtures_say() -> None:
    promtool("test", "rules", "alerts.test.yml")


def test_every_alert_fires_in_a_fixture_and_stays_silent_in_another() -> None:
    tests = yaml.safe_load((MONITORING / "alerts.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fire = {case["alertname"] for case in cases if case.get("exp_alerts")}
    stay = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    assert fire == stay == {rule["alert"] for rule in rules}


def test_rules_of_the_field_are_valid(tmp_path: Path) -> None:
    rules = [
        {"alert": f"Rule{number}", "expr": expression}
        for number, expression in enumerate(RULES_OF_THE_FIELD)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "field", "rules": rules}]}))
    promtool("check", "rules", file)
