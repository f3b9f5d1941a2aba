"""`zk2etcd config`: what a configuration may hold, and what one comes to."""

from __future__ import annotations

import click

from zk2etcd.cli import options


@click.group("config")
def command() -> None:
    """Show the reference, the schema, or the configuration in effect."""


@command.command("default")
def default() -> None:
    """Print the annotated reference: every key with its default."""
    from zk2etcd.config import reference  # noqa: PLC0415

    click.echo(reference.render(), nl=False)


@command.command("schema")
def schema() -> None:
    """Print the JSON schema, from which editors complete and check."""
    from zk2etcd.config import schema as schemas  # noqa: PLC0415

    click.echo(schemas.render(), nl=False)


@command.command("show")
@options.configuration()
def show(paths: tuple[str, ...], sets: tuple[str, ...]) -> None:
    """Print the configuration in effect, secrets redacted."""
    import yaml  # noqa: PLC0415

    from zk2etcd.config import loader, models  # noqa: PLC0415

    effective = models.redacted(loader.load(paths, sets).config)
    click.echo(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), nl=False)
