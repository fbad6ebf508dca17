"""Log lines: what they may not do."""

import logging

from portal.logs import MAX_LINE, PERIOD, REPEATS, LineFormatter, RepeatFilter


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
