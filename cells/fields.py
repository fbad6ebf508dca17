"""Fields of Nova's tables, and expressions that mean the same in every database.

Nova's times are naive and in UTC.  ``UTCDateTimeField`` makes every value aware, at about a
microsecond each: three of them cost more than all the rest of reading a row.  Lists that only
compare times, or write them out as Nova does, take them as stored: naive, in UTC.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, ExpressionWrapper, F, IntegerField, Q, Value, When

from cells.odd_times import or_none


class UTCDateTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A ``DATETIME``/``timestamp`` without zone, as Nova keeps it: naive, meaning UTC.

    Aware datetimes in Python.  PostgreSQL's ``timestamptz``, Django's choice, would make the
    portal's own cells differ from Nova's.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "postgresql":
            return "timestamp without time zone"
        return super().db_type(connection)

    def from_db_value(
        self, value: datetime.datetime | None, *args: object
    ) -> datetime.datetime | None:
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=datetime.UTC)
        return value

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Naive for PostgreSQL, which would convert the column of every row to compare it."""
        value = super().get_db_prep_value(value, connection, prepared)
        if connection.vendor == "postgresql" and getattr(value, "tzinfo", None) is not None:
            return value.astimezone(datetime.UTC).replace(tzinfo=None)
        return value


class StoredTime(models.Field):  # type: ignore[type-arg]
    """A naive datetime in UTC, as the driver gives it; SQLite's text is read."""

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:
        return [_from_text] if connection.vendor == "sqlite" else []


_read_text = or_none(datetime.datetime.fromisoformat, "SQLite")


def _from_text(value: str | datetime.datetime | None, *args: object) -> datetime.datetime | None:
    # Django's SQLite connection has read the text already where the column says what it is.
    return _read_text(value) if isinstance(value, str) else value


def as_stored(model: type[models.Model], columns: Sequence[str]) -> list[Any]:
    """``columns`` for ``values_list()``, with times as they are stored."""
    return [
        ExpressionWrapper(F(column), output_field=StoredTime())
        if isinstance(_field(model, column), UTCDateTimeField)
        else column
        for column in columns
    ]


def _field(model: type[models.Model], path: str) -> Any:
    """The field that a lookup path ends at; ``None`` for an annotation."""
    *relations, name = path.split("__")
    try:
        for relation in relations:
            model = model._meta.get_field(relation).related_model  # type: ignore[assignment]
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def utc_now() -> datetime.datetime:
    """The present time, comparable with times as stored."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def flag(condition: Q) -> Case:
    """1 where the condition holds, else 0: a truth value to select, sort by or sum.

    An integer, since booleans cannot be summed on PostgreSQL.
    """
    return Case(When(condition, then=Value(1)), default=Value(0), output_field=IntegerField())
