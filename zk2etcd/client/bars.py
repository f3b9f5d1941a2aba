"""Long work of a command that runs in the foreground: a bar on a terminal, else a line now and
then. Both go to stderr, so that stdout stays data."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from zk2etcd import text
from zk2etcd.view import advance

if TYPE_CHECKING:
    import rich.progress

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

_DRAWN_EVERY = 0.25

Tell = Callable[[int, int], None]
"""Called with the nodes done so far, and how many there are, 0 while that is unknown."""


@contextlib.contextmanager
def told(what: str, *, announced: bool = True) -> Iterator[Tell]:
    """Show that `what` is going on, and how far it is, until the block ends.

    :param announced: without a terminal, say so at once; else only if it takes a while.
    """
    shown = text.printable(what)
    if sys.stderr.isatty() and (console := _console()) is not None:
        with _bar(console, shown) as tell:
            yield tell
        return
    if announced:
        click.echo(shown, err=True)
    yield Lines(shown, sys.stderr, time.monotonic).tell


@contextlib.contextmanager
def of_shards(what: str, ids: Iterable[str]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """As `told`, of these shards in the /status documents that the callable is given."""
    wanted = frozenset(ids)
    with told(what, announced=False) as tell:
        yield lambda found: tell(
            *advance.totals(shard for shard in found["shards"] if shard["id"] in wanted)
        )


class Lines:
    """A line every ten seconds: `comparing /a: 450 of 1,000 nodes (45%), ...`."""

    def __init__(self, what: str, out: IO[str], clock: Callable[[], float]) -> None:
        self._what = what
        self._out = out
        self._clock = clock
        self._at = clock()
        self._before = 0

    def tell(self, done: int, total: int) -> None:
        now = self._clock()
        if now - self._at < EVERY:
            return
        speed = (done - self._before) / max(now - self._at, 1e-9)
        end = (total - done) / speed if total > done and speed > 0 else None
        self._at, self._before = now, done
        said = advance.sentence(done, total, speed, end)
        click.echo(f"{self._what}: {said}", file=self._out)


def _console() -> Any:
    """Where to draw; None on a terminal that cannot move its cursor."""
    import rich.console  # noqa: PLC0415 (rich takes a tenth of a second)

    console = rich.console.Console(stderr=True, markup=False, highlight=False, emoji=False)
    return None if console.is_dumb_terminal else console


@contextlib.contextmanager
def _bar(console: Any, what: str) -> Iterator[Tell]:
    """One bar, gone when the block ends."""
    import rich.progress  # noqa: PLC0415

    shown = rich.progress.Progress(
        *columns(console.width),
        console=console,
        transient=True,
        redirect_stdout=False,
        refresh_per_second=1 / _DRAWN_EVERY,
        expand=True,
    )
    with shown:
        room = max(10, console.width // 2)
        task = shown.add_task(text.shortened(what, room), total=None)
        yield lambda done, total: shown.update(
            task, completed=done, total=max(total, done) if total else None
        )


def columns(width: int) -> tuple[rich.progress.ProgressColumn, ...]:
    """What, the bar, and how far, in a terminal `width` columns wide."""
    import rich.progress  # noqa: PLC0415
    import rich.table  # noqa: PLC0415
    import rich.text  # noqa: PLC0415

    class Far(rich.progress.ProgressColumn):
        def render(self, task: rich.progress.Task) -> rich.text.Text:
            done, total = int(task.completed), int(task.total or 0)
            parts = [advance.percent(done, total) + ("" if total else " nodes")]
            if width >= 80:
                parts.append(advance.rate(task.speed))
            if width >= 60 and done < total:
                parts.append(advance.left(task.time_remaining))
            return rich.text.Text(", ".join(part for part in parts if part), style="cyan")

    one_line = rich.table.Column(no_wrap=True, overflow="ellipsis")
    return (
        rich.progress.TextColumn("{task.description}", markup=False, table_column=one_line),
        rich.progress.BarColumn(bar_width=None),
        Far(table_column=rich.table.Column(no_wrap=True)),
    )
