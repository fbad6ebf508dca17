"""The admin site that is the console."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _


class Console(admin.AdminSite):
    """Django's admin under the portal's name."""

    site_header = _("Nova cells")
    site_title = _("Nova cells")
    index_title = _("Overview")
