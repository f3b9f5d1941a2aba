"""All commands, for docs/commands.md.

Out of click's parameters and not of its help's text, whose form differs from release to release.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from zk2etcd.cli import examples, main


def render() -> str:
    """Each command: what it does, its options, examples, exit codes."""
    context = click.Context(main.group, info_name="zk2etcd")
    return "\n".join(line for name in main.COMMANDS for line in _section(name, context))


def _section(name: str, context: click.Context) -> Iterator[str]:
    command = main.group.get_command(context, name)
    assert command is not None
    yield from (f"## {name}", "", *inspect.cleandoc(command.help or "").splitlines(), "")
    yield from _options(command)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from (f"### {name} {inner.name}", "", inspect.cleandoc(inner.help or ""), "")
            yield from _options(inner)
    ending = examples.ENDINGS[name]
    yield from ("<!-- tested by: tests/unit/cli/test_help.py -->", "```sh", *ending.examples, "```")
    yield from ("", "| exit code | |", "|---|---|")
    yield from ("| {} | {} |".format(*code.split(" ", 1)) for code in ending.codes)
    yield ""


def _options(command: click.Command) -> Iterator[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    rows = [_row(option) for option in options if not option.hidden]
    if rows:
        yield from ("| option | |", "|---|---|", *rows, "")


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = f" {_takes(option)}" if not (option.is_flag or option.count) else ""
    notes = [(option.help or "").strip()]
    if option.required:
        notes.append("Required.")
    if option.multiple and "repeated" not in notes[0]:
        notes.append("May be repeated.")
    if option.show_default and isinstance(option.default, int | float | str):
        notes.append(f"Default: `{option.default}`.")
    return f"| {names}{takes} | {' '.join(notes)} |"


def _takes(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    return option.metavar or option.type.name.partition(" ")[0].upper()
