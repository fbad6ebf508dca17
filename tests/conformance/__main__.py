"""``make conformance``: compare the portal with the real Nova; see ``docs/conformance.md``."""

import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.conformance.record import main  # noqa: E402

sys.exit(main())
