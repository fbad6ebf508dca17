"""The command line: ``nova-cells``, and ``manage.py`` in the repository."""

import os
import sys


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from portal import processes

    processes.command = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        from cells.databases import cause_of

        sys.exit(f"a database does not answer: {cause_of(error)}")


if __name__ == "__main__":
    main()
