"""What `sync` and `diff` share: the older tool's flags as options, and as a configuration file."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import click

from zk2etcd import errors, text
from zk2etcd.cli import options
from zk2etcd.config import older_flags

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_DEFAULT = older_flags.Flags()
NAMES = tuple(older_flags.Flags.__dataclass_fields__)
"""The parameters that `flags` adds, without `print_config`."""


class Command(click.Command):
    """Takes switches as Go programs do, too: `--fix=true`, `--leader-elect=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [each for arg in args for each in self._plain(arg)])

    def _plain(self, arg: str) -> Iterator[str]:
        name, equals, value = arg.partition("=")
        switch = next((each for each in self.params if _is_switch(each, name)), None)
        if not equals or switch is None or value not in _TRUE + _FALSE:
            yield arg
        elif value in _TRUE:
            yield name
        else:
            yield from switch.secondary_opts[:1]


def _is_switch(parameter: click.Parameter, name: str) -> bool:
    return isinstance(parameter, click.Option) and parameter.is_flag and name in parameter.opts


def flags(hidden: bool) -> Callable[[options.Command], options.Command]:
    """Adds the parameters NAMES and `print_config`."""
    return options.of(*_valued(hidden), *_switches(hidden))


def _valued(hidden: bool) -> Iterator[Callable[[Any], Any]]:
    for name, metavar, what in (
        ("zookeeper-servers", "LIST", "ZooKeeper servers, comma separated."),
        ("zookeeper-prefix", "LIST", "Paths to mirror, comma separated."),
        ("zookeeper-exclude-prefix", "LIST", "Paths to leave out, comma separated."),
        ("etcd-servers", "LIST", "etcd's client addresses, comma separated."),
        ("etcd-cacert", "FILE", "Authorities to trust; with it, etcd is spoken to by TLS."),
        ("etcd-cert", "FILE", "Our certificate for etcd."),
        ("etcd-key", "FILE", "Its private key."),
        ("fullsync-interval", "DURATION", "Time between full syncs; 0s turns them off."),
        ("log-level", "LEVEL", "debug, info, warn or error."),
        ("redis-server", "ADDRESS", "Means sync.ownership: marks; see docs/migrating.md."),
        ("redis-username", "NAME", "Not used."),
        ("redis-password", "TEXT", "Not used."),
    ):
        default = getattr(_DEFAULT, name.replace("-", "_"))
        yield click.option(
            f"--{name}", metavar=metavar, default=default, show_default=bool(default), help=what,
            hidden=hidden,
        )  # fmt: skip


def _switches(hidden: bool) -> Iterator[Callable[[Any], Any]]:
    yield click.option("--enable-event-log", is_flag=True, help="Log each change.", hidden=hidden)
    yield click.option("--concurrent", type=int, help="No meaning here.", hidden=hidden)
    yield click.option(
        "--leader-elect/--no-leader-elect", default=None, help="No meaning here.", hidden=hidden
    )
    yield click.option(
        "--print-config", is_flag=True,
        help="Print the configuration that these flags amount to, and exit.",
    )  # fmt: skip


def given(ctx: click.Context, *more: str) -> list[str]:
    """Which of these flags, and of `more` parameters, are on the command line, as `--name`."""
    typed = click.core.ParameterSource.COMMANDLINE
    names = [name for name in (*NAMES, *more) if ctx.get_parameter_source(name) == typed]
    return [f"--{name.replace('_', '-')}" for name in names]


@contextlib.contextmanager
def configuration(flags: older_flags.Flags, sets: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(path, text with `sets`) of the file these flags amount to, found valid; gone afterwards.

    A file and not a value, so that all that follows (SIGHUP, status, errors) has one to name.
    Warnings go to stderr. Raises errors.ConfigError, UsageError, StartError.
    """
    from zk2etcd.config import loader  # noqa: PLC0415

    translation = older_flags.translate(flags)
    with _folder() as folder:
        path = str(pathlib.Path(folder, "zk2etcd.yaml"))
        pathlib.Path(path).write_text(older_flags.render(translation.content), "utf-8")
        try:
            loaded = loader.load((path,), sets).config
        except errors.ConfigError as error:
            told = [older_flags.in_flags(fault, path) for fault in error.faults]
            raise errors.ConfigError(told) from error
        redis = older_flags.about_redis(flags, loaded.sync.ownership)
        for warning in (*translation.warnings, *([redis] if redis else [])):
            click.echo(f"zk2etcd: warning: {text.printable(warning)}", err=True)
        yield path, older_flags.render(translation.content, sets)


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="zk2etcd-")
    except OSError as error:
        raise errors.StartError(
            f"cannot make a temporary folder for the configuration: {error.strerror};"
            " set TMPDIR to one that is writable, or run with -c"
        ) from error
