"""`zk2etcd status`: is all well, and if not, what is to be done."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from zk2etcd import errors, status
from zk2etcd.cli import asking

if TYPE_CHECKING:
    import rich.console

    from zk2etcd import admin_client

_EVERY = 1.0


@click.command("status")
@asking.options
@click.option("--json", "as_json", is_flag=True, help="Print the /status document.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C; with --json one line a second.")
def command(
    url: str | None, config: tuple[str, ...], overrides: tuple[str, ...], as_json: bool, watch: bool
) -> int:
    """Show the running supervisor's status."""
    client = asking.client(url, config, overrides)
    if watch:
        _watch(client, as_json)
    found = client.status()
    _show(found, as_json)
    return status.exit_code(found)


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    from zk2etcd import status_text  # noqa: PLC0415 (rich takes a tenth of a second)

    console = status_text.console()
    console.print(status_text.draw(found, console.width))


def _watch(client: admin_client.Client, as_json: bool) -> NoReturn:
    """Until Ctrl-C. A supervisor that does not answer is said so, and asked again."""
    if as_json or not sys.stdout.isatty():
        while True:
            found = client.status()
            click.echo(json.dumps(found)) if as_json else _show(found, as_json)
            sys.stdout.flush()
            time.sleep(_EVERY)
    import rich.live  # noqa: PLC0415

    from zk2etcd import status_text  # noqa: PLC0415

    console = status_text.console()
    with rich.live.Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_drawn(client, console.width), refresh=True)
            time.sleep(_EVERY)


def _drawn(client: admin_client.Client, width: int) -> rich.console.RenderableType:
    import rich.text  # noqa: PLC0415

    from zk2etcd import status_text  # noqa: PLC0415

    try:
        return status_text.draw(client.status(), width)
    except errors.Unreachable as error:
        return rich.text.Text(str(error), style="red")
