"""The console's pages about notes, below /admin/."""

from django.urls import path

from audit.note_views import clear, leave
from portal.console.site import console

urlpatterns = [
    path("notes/", console.admin_view(leave), name="leave_note"),
    path("notes/<int:note_id>/clear/", console.admin_view(clear), name="clear_note"),
]
