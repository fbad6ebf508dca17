"""The documentation agrees with the data."""

from tests.conformance import document, fleet, recording, samples
from tests.conformance.differences import DIFFERENCES


def test_every_difference_is_documented() -> None:
    text = document.PATH.read_text()
    assert document.part(text, "differences") == document.deliberate_differences()


def test_every_difference_occurs_in_the_catalogue() -> None:
    last_run = document.part(document.PATH.read_text(), "catalogue")
    for difference in DIFFERENCES:
        assert f"| {difference.name} | " in last_run


def test_samples_are_novas_responses() -> None:
    recorded = samples.by_request(
        entry for path in recording.files() for entry in recording.read(path)
    )
    wanted = {
        name: samples.sample(recorded[request.key])
        for name, request in samples.samples(fleet.load())
    }
    found = {
        str(path.relative_to(samples.DIRECTORY)): path.read_text()
        for path in samples.DIRECTORY.rglob("*.json")
    }
    assert found == wanted


def test_the_api_reference_shows_every_sample() -> None:
    text = (document.PATH.parent / "api.md").read_text()
    for path in samples.DIRECTORY.rglob("*.json"):
        assert f"(../portal/api/samples/{path.relative_to(samples.DIRECTORY)})" in text
