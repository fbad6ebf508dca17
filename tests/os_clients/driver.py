"""Runs calls of OpenStack's clients; by the Python of the environment that has them.

Reads a JSON list from standard input, of ``{"argv": [...]}`` for the openstack client and
``{"code": "..."}`` for Python with the SDKs, and writes a list of ``[exit code, output]``.  All run
in one process: loading the openstack client takes longer than a call.  Imports nothing of the
portal's.
"""

import contextlib
import io
import json
import sys
import traceback
from typing import Any


def main() -> None:
    """Run the calls."""
    calls = json.load(sys.stdin)
    json.dump([run(call) for call in calls], sys.stdout)


def run(call: dict[str, Any]) -> list[Any]:
    """Exit code, and output and errors together."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = _openstack(call["argv"]) if "argv" in call else _python(call["code"])
        except SystemExit as leave:
            status = leave.code
    return [status or 0, output.getvalue()]


def _openstack(argv: list[str]) -> Any:
    from openstackclient import shell

    return shell.main(argv)


def _python(code: str) -> int:
    try:
        exec(code, {"__name__": "call"})  # noqa: S102
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
