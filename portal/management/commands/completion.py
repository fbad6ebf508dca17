"""``nova-cells completion``: completion for bash, and for zsh by its ``bashcompinit``."""

from typing import Any

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from cells.management.base import Documented

SCRIPT = """\
# Completion for nova-cells (and for manage.py, where it can be executed).
_nova_cells() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words
    if [[ $COMP_CWORD -eq 1 ]]; then
        words="{commands}"
    else
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _nova_cells nova-cells manage.py
"""


class Command(Documented):
    help = "Prints a file that completes commands and options in bash, or in zsh by bashcompinit."
    examples = ("completion > /etc/bash_completion.d/nova-cells",)
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        commands = {name: options_of(name) for name in sorted(get_commands())}
        cases = "\n".join(
            f'            {name}) words="{" ".join(words)}" ;;' for name, words in commands.items()
        )
        self.stdout.write(SCRIPT.format(commands=" ".join(commands), cases=cases))


def options_of(name: str) -> list[str]:
    """The long options of a command, and its own commands if it has some."""
    app = get_commands()[name]
    command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    parser = command.create_parser("nova-cells", name)
    words: list[str] = []
    for action in parser._actions:
        words += [text for text in action.option_strings if text.startswith("--")]
        if not action.option_strings and isinstance(action.choices, dict):
            words += action.choices
            for sub in action.choices.values():
                words += [text for text in sub._option_string_actions if text.startswith("--")]
    return sorted(dict.fromkeys(words))
