"""Running ``manage.py`` in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(**settings: str) -> dict[str, str]:
    """The required part of this process's environment, and these settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | settings


def manage(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to completion; its ``stdout``, ``stderr`` and ``returncode``."""
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
