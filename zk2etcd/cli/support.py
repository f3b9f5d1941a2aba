"""`zk2etcd support`: everything that whoever helps will ask for, in one file."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click

from zk2etcd import errors, text
from zk2etcd.cli import asking

if TYPE_CHECKING:
    from zk2etcd.client import support
    from zk2etcd.config import models

_CHECK_SECONDS = 60.0
_PLAIN_WORD = (
    "note: a secret is short or a common word: it is left out by its key, but was not looked for in"
    " texts such as the log; take a longer one"
)


@click.command("support")
@asking.where
@click.option(
    "--output", type=click.Path(path_type=pathlib.Path), metavar="FILE.tar.gz",
    help="Where to write [default: zk2etcd-support-TIME.tar.gz here].",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option(
    "--check", is_flag=True, help="With -c: also reach for both servers, as `check` does."
)
def command(where: asking.Where, output: pathlib.Path | None, force: bool, check: bool) -> int:
    """Gather configuration, status, metrics, stacks and versions into one archive.

    Secrets are left out; names of nodes are not. It works while the supervisor is down, too, and
    says what it could not have. Give -c for the configuration and the end of the log file.
    """
    from zk2etcd.client import support  # noqa: PLC0415

    if check and not where.config:
        raise click.UsageError("--check looks at a configuration: give it with -c")
    path = output or pathlib.Path(support.default_name(time.time()))
    if path.exists() and not force:
        raise errors.UsageError(f"{path} is there already: --force, or another --output")
    report = support.Report()
    support.of_this_installation(report)
    settings = _settings(report, where)
    if settings is not None:
        support.of_configuration(report, settings)
    if check:
        report.take("check.json", lambda: _checked(where))
    token = _ask_supervisor(report, where.url, settings)
    given = (token, os.environ.get(asking.TOKEN))
    secrets = support.known_secrets(settings, given)
    support.write(path, report, secrets, force=force)
    _say(path, report, secrets)
    if support.plain_words(settings, given):  # not in the archive: it would help to guess it
        click.echo(_PLAIN_WORD, err=True)
    return report.exit_code


def _settings(report: support.Report, where: asking.Where) -> models.Config | None:
    from zk2etcd.config import loader  # noqa: PLC0415

    if not where.config:
        report.notes["config.yaml"] = report.notes["log.txt"] = "no configuration was given (-c)"
        return None
    try:
        return loader.load(where.config, where.overrides).config
    except errors.ConfigError as error:
        # What a faulty file holds where is not known, so nothing of it is shown.
        why = f"it has {len(error.faults)} faults: see `zk2etcd check --offline`"
        report.missing["config.yaml"] = report.missing["log.txt"] = why
        return None


def _ask_supervisor(
    report: support.Report, url: str | None, settings: models.Config | None
) -> str | None:
    """Ask the one that these settings mean; the token that goes with it."""
    from zk2etcd.admin import access  # noqa: PLC0415
    from zk2etcd.client import admin_client, support  # noqa: PLC0415

    token = os.environ.get(asking.TOKEN) or None
    if settings is not None:
        url = url or access.url(settings.http.listen)
        token = token or access.token(settings.http)
    support.of_supervisor(report, admin_client.Client(url or admin_client.DEFAULT_URL, token))
    return token


def _checked(where: asking.Where) -> bytes:
    """By a process of its own: it may take long, and must not take this one with it."""
    files, sets = where.config, where.overrides
    options = [*(f"--config={path}" for path in files), *(f"--set={each}" for each in sets)]
    command = [sys.executable, "-m", "zk2etcd", "check", "--json", *options]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_CHECK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise errors.Zk2EtcdError(f"check did not end within {_CHECK_SECONDS:g} s") from None
    return done.stdout or done.stderr


def _say(path: pathlib.Path, report: support.Report, secrets: set[str]) -> None:
    for name, why in report.missing.items():
        for secret in secrets:
            why = why.replace(secret, "<redacted>")  # noqa: PLW2901
        click.echo(text.printable(f"missing {name}: {why}"), err=True)
    click.echo(f"{path}: {len(report.files)} files; look through them before you pass them on")
