"""What the commands share that ask a running supervisor: where it is, and with which token."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from zk2etcd.client import admin_client

TOKEN = "ZK2ETCD_TOKEN"
_LONGEST_NAME = 100
_NOT_ASKED = "nobody was asked, since -c names the address; --url URL asks without a file"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(command: _Command) -> _Command:
    """Adds --url, -c/--config and --set: `url`, `config` and `overrides` of the command."""
    for option in (
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE",
            help="Change one key of the configuration, after -c."),
        click.option(
            "-c", "--config", multiple=True, metavar="FILE",
            help="Take the address and the token out of this configuration; may be repeated."),
        click.option(
            "--url", metavar="URL",
            help="The supervisor's address [default: http://127.0.0.1:9180]. "
            f"A token comes from ${TOKEN} or from -c."),
    ):  # fmt: skip
        command = option(command)
    return command


def waiting(command: _Command) -> _Command:
    """Adds --wait, --timeout and SHARD...: `wait`, `timeout` in seconds, and `shards`."""
    for option in (
        click.argument("shards", nargs=-1, metavar="[SHARD]..."),
        click.option(
            "--timeout", default=600.0, show_default=True, metavar="SECONDS",
            help="At most, with --wait."),
        click.option("--wait", is_flag=True, help="Return when it is done."),
    ):  # fmt: skip
        command = option(command)
    return command


def client(
    url: str | None, config: tuple[str, ...], overrides: tuple[str, ...]
) -> admin_client.Client:
    """The client these options mean: --url goes over -c's address, $ZK2ETCD_TOKEN over its token.

    Raises errors.ConfigError when -c cannot be read, errors.UsageError for a wrong URL.
    """
    from zk2etcd.client import admin_client  # noqa: PLC0415

    token = os.environ.get(TOKEN) or None
    if not config:
        if overrides:
            raise click.UsageError("--set changes a configuration: give it with -c")
        return admin_client.Client(url or admin_client.DEFAULT_URL, token)
    found_url, found_token = _configured(config, overrides)
    return admin_client.Client(url or found_url, token or found_token)


def person() -> str:
    """Who asks, for the log and the status: user@host, as far as the machine knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        user = f"uid {os.getuid()}"
    name = "".join(each if each.isprintable() else "?" for each in f"{user}@{socket.gethostname()}")
    return name[:_LONGEST_NAME]


def _configured(config: tuple[str, ...], overrides: tuple[str, ...]) -> tuple[str, str | None]:
    from zk2etcd import errors  # noqa: PLC0415
    from zk2etcd.admin import access  # noqa: PLC0415
    from zk2etcd.config import loader  # noqa: PLC0415

    try:
        http = loader.load(config, overrides).config.http
    except errors.ConfigError as error:
        # Somebody who mends the file may well ask a supervisor that runs on what it was before.
        raise errors.ConfigError([*error.faults, _NOT_ASKED]) from error
    try:
        return access.url(http.listen), access.token(http)
    except (OSError, ValueError) as error:
        raise errors.ConfigError([f"http.token_file: cannot be read: {error}"]) from error
