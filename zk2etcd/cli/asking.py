"""What the commands share that ask a running supervisor: where it is, and with which token."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from zk2etcd import errors, text
from zk2etcd.cli import options
from zk2etcd.view import membership

if TYPE_CHECKING:
    from zk2etcd.client import admin_client

TOKEN = "ZK2ETCD_TOKEN"
_LONGEST_NAME = 100
_NOT_ASKED = "nobody was asked, since -c names the address; --url URL asks without a file"


_WHERE = options.of(
    click.option(
        "--url", metavar="URL",
        help="The supervisor's address [default: http://127.0.0.1:9180]. "
        f"A token comes from ${TOKEN} or from -c."),
    click.option(
        "-c", "--config", multiple=True, metavar="FILE",
        help="Take the address and the token out of this configuration; may be repeated."),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE",
        help="Change one key of the configuration, after -c."),
)  # fmt: skip
waiting = options.of(
    click.option("--wait", is_flag=True, help="Return when it is done."),
    click.option(
        "--timeout", default=600.0, show_default=True, metavar="SECONDS",
        help="At most, with --wait."),
    click.argument("shards", nargs=-1, metavar="[SHARD]..."),
)  # fmt: skip
"""Adds --wait, --timeout and SHARD...: `wait`, `timeout` in seconds, and `shards`."""


@dataclasses.dataclass(frozen=True)
class Where:
    """Which supervisor is asked, by what was given on the command line."""

    url: str | None
    config: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    def client(self) -> admin_client.Client:
        """--url goes over the address in -c, $ZK2ETCD_TOKEN over the token there.

        Raises errors.ConfigError when -c cannot be read, errors.UsageError for a wrong URL.
        """
        from zk2etcd.client import admin_client  # noqa: PLC0415

        token = os.environ.get(TOKEN) or None
        if not self.config:
            if self.overrides:
                raise click.UsageError("--set changes a configuration: give it with -c")
            return admin_client.Client(self.url or admin_client.DEFAULT_URL, token)
        url, found = _configured(self.config, self.overrides)
        return admin_client.Client(self.url or url, token or found)


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --url, -c/--config and --set: the `where` of the command."""

    @functools.wraps(command)
    def called(
        url: str | None, config: tuple[str, ...], overrides: tuple[str, ...], **rest: Any
    ) -> Any:
        return command(where=Where(url, config, overrides), **rest)

    return _WHERE(called)


def of_shards(found: dict[str, Any], shards: tuple[str, ...], key: str) -> dict[str, Any]:
    """What a status document holds under `key` of these shards, of all without any, by their id.

    :raises errors.UsageError: a shard is unknown.
    """
    every = {shard["id"]: shard.get(key) for shard in found["shards"]}
    if unknown := [shard for shard in shards if shard not in every]:
        raise errors.UsageError(f"no such shard: {', '.join(unknown)} (zk2etcd status shows them)")
    return {shard: every[shard] for shard in every if not shards or shard in shards}


def unknown(what: str, unheard: Sequence[Mapping[str, Any]]) -> str:
    """That this of these supervisors, who were asked and said nothing (`status.unheard`), is not
    known; empty of none. `what` has a place for the name."""
    told = [
        f"{what.format(membership.called(each))} is not known: it {each['unasked']}"
        for each in unheard
    ]
    return "; ".join(told)


def said_unknown(what: str) -> int:
    """Say it, if there is something to say; the exit code."""
    if not what:
        return 0
    click.echo(f"zk2etcd: {text.printable(what)}", err=True)
    return errors.Unreachable.exit_code


def untaken(client: admin_client.Client) -> int:
    """Say of what the last order was not taken, and why. The exit code: as if that were all that
    was asked for; 0 if all was taken."""
    code = 0
    for each in client.refused:
        click.echo(f"zk2etcd: {text.printable(each['error'])}", err=True)
        code = max(code, errors.Unreachable.exit_code if each["status"] >= 500 else 1)
    return code


def person() -> str:
    """Who asks, for the log and the status: user@host, as far as the machine knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        user = f"uid {os.getuid()}"
    name = "".join(each if each.isprintable() else "?" for each in f"{user}@{socket.gethostname()}")
    return name[:_LONGEST_NAME]


def _configured(config: tuple[str, ...], overrides: tuple[str, ...]) -> tuple[str, str | None]:
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
