"""``manage.py`` as a person calls it: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(**settings: str) -> dict[str, str]:
    """What a process needs of the machine's environment, and these settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | settings


def manage(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; ``stdout``, ``stderr`` and ``returncode`` are in the result."""
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
