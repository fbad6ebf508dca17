"""As in English."""

from portal.formats.en.formats import *  # noqa: F403
