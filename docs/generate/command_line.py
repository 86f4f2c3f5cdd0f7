"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

from typing import Any

import typer

from docs.generate.markdown import code, sentence, table
from service.cli import all_commands

HEAD = """# Command line

This page is generated from the commands; `mitoscan COMMAND --help` says the same in a terminal. [Scan many
slides](../how-to/scan-many-slides.md) and the other how-to pages show the commands at work.

Results go to files and to stdout; progress and errors go to stderr. An error is one line that contains the offending
value and says what to do. The exit code is

- 0 if everything succeeded,
- 1 if anything failed,
- 2 if the command was not understood, or asks for a device, a precision or an image that is not there.
"""


def commands() -> dict[str, Any]:
    """The commands that help lists, by name."""
    group: Any = typer.main.get_command(all_commands())
    return {name: command for name, command in group.commands.items() if not command.hidden}


def command_line_page() -> str:
    """The page, one section a command."""
    return "\n".join([HEAD, *(_section(name, command) for name, command in commands().items())])


def _section(name: str, command: Any) -> str:
    said, _, example = (command.help or "").partition("\n\nExample: ")
    options = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in options if parameter.param_type_name == "argument"]
    options = [parameter for parameter in options if parameter.param_type_name == "option"]
    required = [f"{option.opts[0]} {_placeholder(option)}" for option in options if option.required]
    usage = " ".join(["mitoscan", name, *(_placeholder(argument) for argument in arguments), *required, "[OPTIONS]"])
    parts = [f"## mitoscan {name}\n", f"{sentence(said)}\n", f"```text\n{usage}\n```\n"]
    if example:
        parts.append(f"Example: `{example.strip()}`\n")
    if arguments:
        parts.append(table(["argument", "what it is"], [[code(_placeholder(a)), sentence(a.help)] for a in arguments]))
    if options:
        parts.append(table(["option", "default", "what it does"], [_row(option) for option in options]))
    return "\n".join(parts)


def _row(option: Any) -> list[str]:
    names = ", ".join(code(name) for name in [*option.opts, *option.secondary_opts])
    said = sentence(option.help) + (" May be repeated." if option.multiple and "repeated" not in option.help else "")
    return [names, _default(option), said]


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_bool_flag:
        if option.secondary_opts:
            return code(option.opts[0] if option.default else option.secondary_opts[0])
        return "off"
    return "" if option.default is None else code(option.default)


def _placeholder(parameter: Any) -> str:
    # Of typer 0.29 on: the name as the function has it.
    name = parameter.metavar or (getattr(parameter, "display_name_raw", None) or parameter.name).upper()
    is_optional = parameter.param_type_name == "argument" and not parameter.required and parameter.default is not None
    many = "..." if parameter.param_type_name == "argument" and parameter.nargs == -1 and "..." not in name else ""
    return f"[{name}{many}]" if is_optional else f"{name}{many}"
