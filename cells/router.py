"""Which database a model lives in.

The portal's own models live in ``default``, Nova's API models in ``api``, and the models of a
cell in a cell that must be named: there is no default cell.
"""

from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from cells.databases import is_cell_alias, managed_by_nova
from cells.models import CellModel


class CellNotNamed(ImproperlyConfigured):
    """A model of a cell was used without naming the cell."""


class CellRouter:
    """Routes to ``default`` and ``api``; to a cell only where a query or a row names it."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        if issubclass(model, CellModel):
            instance = hints.get("instance")
            alias: str | None = instance._state.db if isinstance(instance, CellModel) else None
            if alias is None:
                raise CellNotNamed(
                    f"{model.__name__} is in every cell: name one with .using(cell.alias), "
                    "or ask them all with AcrossCells"
                )
            return alias
        return "api" if model._meta.app_label == "cells" else "default"

    db_for_write = db_for_read

    def allow_relation(self, obj1: models.Model, obj2: models.Model, **hints: Any) -> bool:
        return obj1._state.db == obj2._state.db

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool:
        if managed_by_nova(db):
            return False
        config = apps.get_app_config(app_label)
        of_cells = any(issubclass(model, CellModel) for model in config.get_models())
        if is_cell_alias(db):
            return of_cells
        return (app_label == "cells") if db == "api" else not of_cells and app_label != "cells"
