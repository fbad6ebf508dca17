"""Carrying maintenances on, a step at a time, by whichever task queue is configured.

Each step is a task of its own and short, so that one worker carries on many maintenances; the
next step is put into the queue when one ends.  A step whose worker dies is not followed by
another: ``requeue_lost`` finds such maintenances by their lease.
"""

import datetime
import logging

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django_tasks import task

from cells.databases import cause_of
from cells.executors import CellUnavailable
from cloud.deadlines import CloudError
from maintenance.leases import Lease, LeaseLost, leased
from maintenance.models import Maintenance
from maintenance.movers import mover_for
from maintenance.steps import next_step
from maintenance.subjects import cell_of

logger = logging.getLogger(__name__)

#: A step that is overdue for so long has been lost with its worker.
LOST_AFTER = datetime.timedelta(seconds=15)
#: What is said of it until a worker goes on.
NO_WORKER = gettext_noop("no worker goes on with it: manage.py db_worker must run")
#: Seconds until a step that failed is tried again.
RETRY = 5.0


@task()
def advance(maintenance_id: int) -> str:
    """Make the next step of a maintenance, if it is due; returns the state then."""
    try:
        # What is said is stored, and the task may run in somebody's request.
        with translation.override(settings.LANGUAGE_CODE), leased(maintenance_id) as lease:
            if lease is None:
                return ""
            seconds = _step(lease)
            _release(lease, seconds)
            return lease.maintenance.state
    except LeaseLost as error:
        logger.warning("another worker carries on %s", error)
        return ""


def _step(lease: Lease) -> float | None:
    """The next step; what does not answer is waited for, and said."""
    maintenance = lease.maintenance
    cell = cell_of(maintenance)
    if cell is None:
        lease.say(_("cell %s is not mapped any more") % maintenance.cell_name)
        return RETRY
    mover = mover_for(cell)
    if mover is None:
        lease.say(_("the portal has no credentials for Nova's API"))
        return RETRY
    try:
        return next_step(lease, cell, mover)
    except LeaseLost:
        raise
    except (CellUnavailable, CloudError) as error:
        lease.say(str(error))
    except DatabaseError as error:
        logger.warning("%s: %s", maintenance, cause_of(error))
        lease.say(cause_of(error))
    except Exception as error:  # a defect stops this maintenance, and no other; the log has it
        logger.exception("%s: the step failed, and is tried again", maintenance)
        lease.say(f"{type(error).__name__}: {error}")
        return 6 * RETRY
    return RETRY


def _release(lease: Lease, seconds: float | None) -> None:
    """Give the lease back, and put the next step into the queue."""
    due_at = None if seconds is None else timezone.now() + datetime.timedelta(seconds=seconds)
    lease.update(lease_holder="", lease_until=None, due_at=due_at)
    if due_at is not None:
        enqueue(lease.maintenance.pk, due_at)


def enqueue(maintenance_id: int, due_at: datetime.datetime) -> None:
    """Put the step that is due then into the queue.

    More tasks than steps do no harm: those that find nothing due end at once.
    """
    later = due_at if due_at > timezone.now() else None
    advance.using(run_after=later).enqueue(maintenance_id)


def make_due(maintenance: Maintenance) -> None:
    """Have the next step made now: somebody wants something else."""
    now = timezone.now()
    Maintenance.objects.filter(pk=maintenance.pk).update(due_at=now)
    maintenance.refresh_from_db()
    enqueue(maintenance.pk, now)


def requeue_lost() -> int:
    """Put the steps into the queue again that were lost with a worker; returns how many."""
    now = timezone.now()
    overdue = Maintenance.objects.unleased(now).filter(due_at__lt=now - LOST_AFTER)
    lost = list(overdue.values_list("pk", flat=True))
    for pk in lost:
        logger.warning("maintenance %d has lost its worker, and goes on", pk)
        # The next time counts from now.
        if overdue.filter(pk=pk).update(due_at=now, message=NO_WORKER):
            enqueue(pk, now)
    return len(lost)


def prune() -> None:
    """Forget the tasks of steps that were made more than a day ago."""
    if settings.TASKS["default"]["BACKEND"] == "django_tasks_db.DatabaseBackend":
        call_command("prune_db_task_results", min_age_days=1, verbosity=0)
