"""The console's pages about notes, below /admin/."""

from django.urls import path

from audit.note_views import FORM_FIELDS, clear, leave
from portal.console.site import console

urlpatterns = [
    path("notes/", console.form_view(leave, *FORM_FIELDS), name="leave_note"),
    path("notes/<int:note_id>/clear/", console.admin_view(clear), name="clear_note"),
]
