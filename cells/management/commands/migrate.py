"""Django's ``migrate``, for every database that the portal owns and none that Nova manages."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router

from cells.databases import cause_of, managed_by_nova
from cells.management.base import Documented
from cells.registry import all_cells, cells_named

API_ALIAS = "api"


class Unusable(CommandError):
    """The database cannot be reached, or its URL cannot be read."""


class Command(Documented, migrate.Command):
    help = (
        "Updates the schema of the portal's own database and, when it is embedded, of the API "
        "database and of every cell.  A database that Nova's migrations manage is never touched."
    )

    examples = ("migrate", "migrate --database cell1")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--database",
            help="Only this one: an alias, or the name or uuid of a cell.",
        )

    def get_check_kwargs(self, options: dict[str, Any]) -> dict[Any, Any]:
        # Which databases are going to be migrated is not known yet.
        return super().get_check_kwargs({**options, "database": DEFAULT_DB_ALIAS})

    def handle(self, *args: Any, **options: Any) -> None:
        named = options["database"]
        if named:
            self._migrate(self._alias_of(named), *args, **options)
            return
        self._migrate(DEFAULT_DB_ALIAS, *args, **options)
        if not settings.EMBEDDED:
            return
        self._migrate(API_ALIAS, *args, **options)
        for cell in all_cells():
            try:
                if cell.problem:
                    raise Unusable(cell.problem)
                self._migrate(cell.alias, *args, **options)
            except (Unusable, DatabaseError) as error:  # the other cells can still be used
                self.stderr.write(f"cell {cell.name} was not migrated: {cause_of(error)}")

    def _alias_of(self, named: str) -> str:
        if named in connections.settings:
            return named
        try:
            return cells_named([named])[0].alias
        except (LookupError, DatabaseError) as error:
            raise CommandError(str(error)) from None

    def _migrate(self, alias: str, *args: Any, **options: Any) -> None:
        try:
            nova = managed_by_nova(alias)
        except DatabaseError as error:
            raise Unusable(f"{alias}: {cause_of(error)}") from None
        if nova:
            # Even recording that nothing was migrated would create a table.
            raise CommandError(
                f"{alias}: database {connections[alias].settings_dict['NAME']} is managed by "
                "Nova's migrations and is never migrated by the portal"
            )
        options = {**options, "database": alias}
        if alias == DEFAULT_DB_ALIAS or options["app_label"]:
            super().handle(*args, **options)
            return
        # App by app: other apps' own operations may not ask the router whether they are meant.
        for config in apps.get_app_configs():
            if config.models_module and router.allow_migrate(alias, config.label):
                super().handle(*args, **{**options, "app_label": config.label})
