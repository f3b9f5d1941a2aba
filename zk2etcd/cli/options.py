"""The options that several commands take, each in one wording.

A parameter list is a decorator here, so a command names in its signature only what it acts on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def of(*parameters: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Adds these parameters, in the order of --help."""

    def add(command: Command) -> Command:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return add


def configuration(required: bool = True) -> Callable[[Command], Command]:
    """Adds -c/--config and --set: `paths` and `sets`, as `loader.load` takes them."""
    return of(
        click.option(
            "-c", "--config", "paths", multiple=True, required=required, metavar="FILE",
            help="The configuration; may be repeated: mappings merge, lists replace."),
        click.option(
            "--set", "sets", multiple=True, metavar="KEY=VALUE",
            help="Override one key, such as sync.ephemeral=skip; wins over every file."),
    )  # fmt: skip
