"""What can be wrong with a service, each check with all that is said about it.

A new check is one ``RowProblem`` more in ``SERVICE_PROBLEMS``: the lists' filter by problem,
``check_fleet`` and the problems page take it from there.
"""

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from services.disablings import uuids_disabled_before
from services.models import up_window

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

#: ``bad``: servers are in danger.  ``warning``: someone should look.  ``info``: nothing to do.
Severity = Literal["bad", "warning", "info"]


class Condition(Protocol):
    """Which rows have a problem at ``now``; ``prefix`` is the lookup path that leads to them."""

    def __call__(self, now: datetime.datetime, prefix: str = "") -> Q: ...


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that can be wrong.

    ``name`` is its identifier in URLs and JSON, ``title`` the heading over all its findings,
    ``why`` it matters and ``fix``, what to do about it, are whole sentences.  ``only_count`` is for
    findings that are not worth naming.  ``page`` is the URL name of the page that mends it, and
    the permission that this takes.
    """

    name: str
    severity: Severity
    title: "StrOrPromise"
    why: "StrOrPromise"
    fix: "StrOrPromise"
    only_count: bool = False
    page: tuple[str, str] = ("", "")


@dataclass(frozen=True, kw_only=True)
class RowProblem(Problem):
    """A problem of single rows that their own database can tell.

    ``label`` describes one such row, as a choice of the lists' filter.
    """

    label: "StrOrPromise"
    condition: Condition


def _where(prefix: str, **lookups: object) -> Q:
    return Q(**{f"{prefix}{name}": value for name, value in lookups.items()})


def has_no_uuid(now: datetime.datetime, prefix: str = "") -> Q:
    return _where(prefix, id__isnull=False, uuid=None)


def reports_while_forced_down(now: datetime.datetime, prefix: str = "") -> Q:
    return _where(prefix, forced_down=True, last_seen_up__range=up_window(now))


def is_disabled_for_long(now: datetime.datetime, prefix: str = "") -> Q:
    """Disabled for more than ``DISABLED_TOO_LONG_DAYS``.

    Every heartbeat sets ``updated_at``, so it only tells for a service that has stopped
    reporting; for others the audit may know.
    """
    before = now - datetime.timedelta(days=settings.DISABLED_TOO_LONG_DAYS)
    long_ago = _where(prefix, updated_at__lt=before) | _where(
        prefix, uuid__in=uuids_disabled_before(before)
    )
    return _where(prefix, disabled=True) & long_ago


def is_down_for_long(now: datetime.datetime, prefix: str = "") -> Q:
    """Without a heartbeat for ``DOWN_TOO_LONG_DAYS``, or from the beginning."""
    before = now - datetime.timedelta(days=settings.DOWN_TOO_LONG_DAYS)
    never_reported = _where(prefix, last_seen_up=None, created_at__lt=before)
    return _where(prefix, last_seen_up__lt=before) | never_reported


SERVICE_PROBLEMS = (
    RowProblem(
        name="forced-reporting",
        severity="bad",
        title=_("Services forced down that still report"),
        label=_("forced down but reporting"),
        why=_(
            "The host is alive although it was declared dead. If its servers have been "
            "evacuated, they may be running twice on the same volumes."
        ),
        fix=_(
            "Fence the host, or, if nothing was evacuated from it, force it up again once it is "
            "known to be healthy."
        ),
        condition=reports_while_forced_down,
    ),
    RowProblem(
        name="down-long",
        severity="warning",
        title=_("Services down for days"),
        label=_("down for days"),
        why=_(
            "Nobody misses it: the host is gone, or runs under another name since it was "
            "redeployed and this is the ghost of the old one. What is down in earnest is "
            "overlooked among such rows."
        ),
        fix=_(
            "Start it again. If its host is gone for good and no server is left on it, delete the "
            "service."
        ),
        condition=is_down_for_long,
    ),
    RowProblem(
        name="disabled-long",
        severity="warning",
        title=_("Services disabled for a long time"),
        label=_("disabled for a long time"),
        why=_("Capacity lies idle, often because nobody remembered to enable the host again."),
        fix=_("Enable it, or delete it if the host is gone."),
        condition=is_disabled_for_long,
    ),
    RowProblem(
        name="no-uuid",
        severity="warning",
        title=_("Services without a uuid"),
        label=_("service without a uuid"),
        why=_("Microversions from 2.53 on name services by uuid, so clients cannot act on these."),
        fix=_("Run manage.py backfill_service_uuids."),
        page=("admin:services_service_backfill", "services.change_service"),
        condition=has_no_uuid,
    ),
)
