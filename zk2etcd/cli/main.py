"""The entry point `zk2etcd`: finds the subcommand, and turns what it raises into an exit code.

A subcommand is imported only when it is called, so `zk2etcd status` starts fast and never loads
the data plane. Each module of `cli` has a click command named `command`, which returns its exit
code (None is 0) or raises: what is raised becomes one clear line here, never a traceback, unless
`--debug` asks for it.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import itertools
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from zk2etcd import ending, errors, text
from zk2etcd.cli import examples

NAME = "zk2etcd"
OK, DIFFERENCE, USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141

COMMANDS = {
    "run": ("zk2etcd.cli.run", "Mirror in the foreground; `zk2etcd -c F` is short for it."),
    "status": ("zk2etcd.cli.status", "Show the running supervisor's status."),
    "diff": ("zk2etcd.cli.diff", "Compare keys and values of both sides; --fix repairs."),
    "adopt": ("zk2etcd.cli.adopt", "Mark equal keys that are there already as the mirror's own."),
    "full-sync": ("zk2etcd.cli.full_sync", "Have the running supervisor do a full sync now."),
    "release": ("zk2etcd.cli.release", "Let the deletes happen that the guard holds back."),
    "pause": ("zk2etcd.cli.pause", "Have nothing written to shards, until they are resumed."),
    "resume": ("zk2etcd.cli.resume", "Have paused shards mirrored again."),
    "reload": ("zk2etcd.cli.reload", "Have the running supervisor read its configuration again."),
    "log": ("zk2etcd.cli.log", "Change the running supervisor's log level."),
    "check": ("zk2etcd.cli.check", "Validate the configuration, then reach for both sides."),
    "support": ("zk2etcd.cli.support", "Gather what a bug report needs into one archive."),
    "config": ("zk2etcd.cli.config", "Print the defaults, the schema, or what is in force."),
    "sync": ("zk2etcd.cli.sync", "Mirror, configured by the older tool's flags."),
    "genzk": ("zk2etcd.cli.genzk", "Write test data into ZooKeeper."),
    "demo": ("zk2etcd.cli.demo", "Show everything that matters in a private sandbox."),
    "version": ("zk2etcd.cli.version", "Show version, build, Python and dependencies."),
}
"""Subcommand -> (module, one line of help)."""


class _Commands(click.Group):
    """A group whose subcommands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        found.epilog = examples.command(cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_run(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"no such command {text.printable(args[0])!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    NAME,
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples.group(),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda ctx, _option, asked: _version(ctx) if asked else None,
    help="Show the version and exit.",
)
def group() -> None:
    """Mirror ZooKeeper subtrees into etcd v3, continuously.

    `zk2etcd -c config.yaml` mirrors in the foreground until SIGTERM.
    """


def _version(ctx: click.Context) -> NoReturn:
    from zk2etcd import version  # noqa: PLC0415

    click.echo(version.info().version)
    ctx.exit()


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run `zk2etcd` with these arguments (sys.argv by default) and exit with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if f"_{NAME.upper()}_COMPLETE" in os.environ:
        group.main(arguments, NAME)  # a shell asks for completions
    debug = "--debug" in arguments
    code = run([one for one in arguments if one != "--debug"], debug)
    if code == INTERRUPTED and ending.is_asked_for():
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> NoReturn:
    """What was to be tidied up has been; Python's own end waits for threads of libraries, which one
    that was interrupted may have left in any state."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def run(arguments: list[str], debug: bool = False) -> int:
    """Run one command and return its exit code; what went wrong is on stderr."""
    try:
        code = _called(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _let_go_of_stdout()
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (click.ClickException, errors.Zk2EtcdError) as error:
        if debug:
            traceback.print_exc()
        return _explain(error)
    except Exception as error:
        if debug:
            traceback.print_exc()
        what = text.printable(f"{type(error).__name__}: {error}")
        _say(f"internal error: {what} (use --debug for the traceback)")
        return BUG


def _called(arguments: list[str]) -> int:
    # None: colours where the stream is a terminal.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        with group.make_context(NAME, arguments, color=color) as ctx:
            code = group.invoke(ctx)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return code if isinstance(code, int) else OK


def _with_run(args: list[str]) -> list[str]:
    """Options without a subcommand are `run`'s; a subcommand behind them is a usage error."""
    if not args or not args[0].startswith("-") or args[0] in ("-h", "--help", "--version"):
        return args
    for option, word in itertools.pairwise(args):
        if word in COMMANDS and not option.startswith("-"):
            raise click.UsageError(f"write the command first: {NAME} {word} ...")
    return ["run", *args]


def _explain(error: click.ClickException | errors.Zk2EtcdError) -> int:
    if isinstance(error, errors.ConfigError):
        for fault in error.faults:
            _say(fault)
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
    elif isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else NAME
        _say(f"{error.format_message()} (see `{path} --help`)")
    elif isinstance(error, click.ClickException):
        _say(error.format_message())
    else:
        for line in str(error).splitlines() or [type(error).__name__]:
            _say(line)
    return error.exit_code


def _say(line: str) -> None:
    print(f"{NAME}: {text.printable(line)}", file=sys.stderr)  # noqa: T201


def _let_go_of_stdout() -> None:
    """Whoever read our output left: let Python's own flush at exit find no broken pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
