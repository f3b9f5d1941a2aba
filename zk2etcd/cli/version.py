"""`zk2etcd version`: what a bug report needs."""

from __future__ import annotations

import dataclasses
import json

import click

from zk2etcd import version


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(as_json: bool) -> None:
    """Show version, commit, build date, Python and the dependencies' versions."""
    facts = dataclasses.asdict(version.info())
    dependencies = version.dependencies()
    if as_json:
        click.echo(json.dumps({**facts, "dependencies": dependencies}, indent=2))
        return
    click.echo(f"zk2etcd {facts['version']}")
    click.echo(f"commit  {facts['commit'] or 'unknown'}")
    click.echo(f"built   {facts['built_at'] or 'unknown'}")
    click.echo(f"python  {facts['python']}")
    for name, found in dependencies.items():
        click.echo(f"  {name} {found}")
