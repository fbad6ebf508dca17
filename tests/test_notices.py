"""What the processes of a machine tell one another about cells."""

import gc
import logging
from pathlib import Path

import pytest
from django.db import OperationalError

from cells import breakers
from cells.backends import guards
from cells.executors import close_executors, executor_for
from cells.notices import NoticeBoard
from cells.scatter_gather import ask_cells
from tests.clouds import Cloud
from tests.waiting import count, wait_until


@pytest.mark.any_engine
def test_processes_tell_one_another_which_cells_do_not_answer(
    cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cell = cloud.cell("cell2")
    notice = tmp_path / cell.uuid
    board = NoticeBoard(tmp_path)
    board.start()
    try:
        breaker = executor_for(cell).breaker
        breaker.failed("no answer within 2.0 s")
        assert notice.read_text() == "no answer within 2.0 s"
        breaker.succeeded()
        assert not notice.exists()

        caplog.clear()
        notice.write_text("refused")  # as another process does
        wait_until(breaker.is_open)
        assert (breaker.last_error, breaker.probe_in() is not None) == ("refused", True)
        answers = ask_cells([cell], lambda cell: count(cell.alias))
        assert [away.cause for away in answers.missing] == ["refused"]
        notice.unlink()
        wait_until(lambda: not breaker.is_open())
        assert ask_cells([cell], lambda cell: count(cell.alias)).complete
        assert not [one for one in caplog.records if one.levelno >= logging.INFO]  # one has said it
    finally:
        board.stop()


def test_they_tell_one_another_of_other_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told probes, too: the one that told may be gone."""
    monkeypatch.setattr(breakers, "FIRST_PROBE_AFTER", 0.1)
    guard = guards.Guard("api")
    (tmp_path / "api").write_text("refused")
    monkeypatch.setattr(breakers, "on_change", NoticeBoard(tmp_path).post)
    NoticeBoard(tmp_path).look()
    with pytest.raises(OperationalError, match="refused"):
        guard.refuse_if_away()
    wait_until(lambda: not guard.breaker.is_open())
    assert not (tmp_path / "api").exists()


@pytest.mark.any_engine
def test_a_process_that_starts_knows_what_the_others_have_told(
    cloud: Cloud, tmp_path: Path
) -> None:
    close_executors()
    key = cloud.cell("cell2").uuid
    # Those of other tests, which nobody has any more, must not be told instead.
    wait_until(lambda: gc.collect() >= 0 and key not in breakers.known)
    (tmp_path / key).write_text("refused")
    board = NoticeBoard(tmp_path)
    board.look()
    breaker = executor_for(cloud.cell("cell2")).breaker
    board.look()
    assert breaker.is_open()
