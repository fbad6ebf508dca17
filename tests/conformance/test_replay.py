"""The portal's answers equal those of the real Nova."""

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.clouds import Cloud
from tests.conformance import fleet, recording
from tests.conformance.asking import ask
from tests.conformance.catalogue import catalogue
from tests.conformance.comparison import Kind
from tests.conformance.differences import judge
from tests.conformance.messages import Request
from tests.conformance.nova import SERVICE_DOWN_TIME
from tests.conformance.portal import portal
from tests.conformance.states import STATES

FILES = recording.files()


@pytest.mark.server
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_responses_equal_novas(cloud: Cloud, settings: Settings, path: Path) -> None:
    settings.SERVICE_DOWN_TIME = SERVICE_DOWN_TIME
    world = fleet.World(fleet.load())
    world.fill()
    recorded = list(recording.read(path))
    if bring_about := STATES.get(recorded[0].request.state):
        bring_about()
    found = []
    answers = ask(portal(), [entry.request for entry in recorded], world)
    for entry, (request, ours) in zip(recorded, answers, strict=True):
        verdict = judge(entry, ours, engine=cloud.engine)
        if verdict.kind not in (Kind.IDENTICAL, Kind.DELIBERATE):
            found.append(f"{verdict.kind}: {request.name[:300]}\n    {verdict.why[:500]}")
    assert not found, f"{len(found)} of {len(recorded)}:\n" + "\n".join(found[:40])


def test_the_catalogue_is_recorded() -> None:
    """After a change of the catalogue it must be recorded again (``make conformance``)."""
    recorded = [entry.request for path in FILES for entry in recording.read(path)]
    assert _by_name(recorded) == _by_name(catalogue(fleet.load()))


def _by_name(requests: list[Request]) -> dict[tuple[str, str], Request]:
    return {request.key: request for request in requests}
