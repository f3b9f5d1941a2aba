"""`zk2etcd run`: the supervisor in the foreground, from argv to exit code."""

from __future__ import annotations

import time

import click
import setproctitle

from zk2etcd import errors, metrics, scratch, version
from zk2etcd.admin import listening
from zk2etcd.cli import options
from zk2etcd.config import loader
from zk2etcd.logs import logger
from zk2etcd.process import limits
from zk2etcd.supervisor import instance, reloading, supervisor
from zk2etcd.view import control


@click.command(name="run")
@options.configuration()
@click.option(
    "--once", is_flag=True, help="Do one full sync of every shard and exit: 0 equal, 1 not quite."
)
@click.option(
    "--dry-run", is_flag=True, help="Own nothing and write nothing; log what would be done."
)
def command(paths: tuple[str, ...], sets: tuple[str, ...], once: bool, dry_run: bool) -> int:
    """Mirror in the foreground until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again, SIGUSR1 asks for a full sync of everything, SIGUSR2
    writes the stacks of all processes to stderr. With --once or --dry-run the admin address is
    not served, so both may run beside a running supervisor.
    """
    return start(paths, sets, once, dry_run)


def start(
    paths: tuple[str, ...], sets: tuple[str, ...], once: bool = False, dry_run: bool = False
) -> int:
    """Supervise until told to stop, and return the exit code; errors.ConfigError, StartError."""

    def load() -> loader.Loaded:
        return loader.load(paths, sets)

    limits.raise_descriptors()
    loaded = load()
    logger.check(loaded.config.log)
    logger.setup("supervisor", loaded.config.log)
    setproctitle.setproctitle(f"zk2etcd supervisor [{' '.join(paths)}]")
    configuration = reloading.Configuration(loaded, load, paths, time.time())
    setup = supervisor.Setup(
        configuration=configuration,
        instance=instance.new(),
        version=version.info().version,
        folder=_metrics_folder(),
        once=once,
        dry_run=dry_run,
    )
    listen = None if once or dry_run else _admin(setup)
    return supervisor.Supervisor(setup, time.monotonic()).run(listen)


def _metrics_folder() -> scratch.Folder:
    try:
        return metrics.prepare_supervisor()
    except OSError as error:
        raise errors.StartError(
            f"cannot make a temporary folder for metrics: {error.strerror};"
            " set TMPDIR to one that is writable"
        ) from error


def _admin(setup: supervisor.Setup) -> control.Listen:
    return lambda: listening.Listener(lambda: setup.configuration.current.http, setup.folder.where)
