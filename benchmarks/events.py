"""What `log.events` costs a burst: on, off, and a build that does not have it.

Three supervisors stand side by side, each on a prefix of its own, and take their bursts in turn, so
that whatever else the machine does falls on all of them alike. The build without the event log is a
copy of this source tree from which its calls are taken out, or any other tree that is given. Where
it is on, its lines go into a pipe, as in a container, and a process reads them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks import burst, figures, processes, world
from zk2etcd.sandbox import supervisor as supervisors

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_CALL = re.compile(r"^ +event_log\.tell\(.*\)\n", re.MULTILINE)
_CALLERS = ("mirror/base.py", "mirror/follow.py")
_COST = 1.17  # 15% of the throughput
_NOISE = 1.03
_ENOUGH = 7


class Run(NamedTuple):
    """Seconds from the first create to equality, and of the worker's CPU."""

    wall: float
    cpu: float


class _Build:
    """A supervisor that follows an empty prefix, of some source tree."""

    def __init__(self, on: world.World, supervisor: supervisors.Supervisor, root: str) -> None:
        self._on = on
        self._supervisor = supervisor
        self._root = root
        self._numbers = itertools.count()
        self.runs: list[Run] = []

    def burst(self, nodes: int) -> None:
        path = f"{self._root}/b{next(self._numbers)}"
        self._on.writer.create(path)
        before = self._cpu()
        wall, _ = burst.timed(self._on, path, nodes)
        self.runs.append(Run(wall, self._cpu() - before))

    def _cpu(self) -> float:
        return processes.cpu_of(*self._supervisor.worker_pids().values())


def measure(
    on: world.World, nodes: int, pairs: int, without: pathlib.Path | None
) -> list[figures.Figure]:
    """:param without: the source tree to compare with; by default this one without the calls."""
    on.empty_etcd()
    with contextlib.ExitStack() as stack:
        tree = without or _stripped(on.box.subfolder("without"))
        builds = {
            "off": stack.enter_context(_running(on, "off", _ROOT, events=False)),
            "on": stack.enter_context(_running(on, "on", _ROOT, events=True)),
            "without": stack.enter_context(_running(on, "without", tree, events=False)),
        }
        for build in builds.values():
            build.burst(nodes)  # the first one is slower in each
            build.runs.clear()
        for pair in range(pairs):
            order = list(builds.values())
            for build in order[pair % 3 :] + order[: pair % 3]:
                build.burst(nodes)
        off, lines, bare = (builds[name].runs for name in ("off", "on", "without"))
    return [
        *_ratios("log.events on, beside off", lines, off, _COST, None),
        *_ratios("log.events off, beside without", off, bare, _NOISE, _NOISE),
    ]


def _ratios(
    name: str, ours: Sequence[Run], others: Sequence[Run], wall: float, cpu: float | None
) -> Iterator[figures.Figure]:
    """The time to equality, and the worker's CPU, which other load on the machine disturbs less.
    That the lines cost CPU is no fault, as long as the burst is not held up for it."""
    for what, field, target in (name, "wall", wall), ("  CPU of the worker", "cpu", cpu):
        mine: list[float] = [getattr(run, field) for run in ours]
        theirs: list[float] = [getattr(run, field) for run in others]
        pairs = [one / other for one, other in zip(mine, theirs, strict=True)]
        both = " beside ".join(figures.seconds(statistics.median(x)) for x in (mine, theirs))
        detail = f"{both}, median of {len(pairs)} pairs, {min(pairs):.2f} to {max(pairs):.2f}"
        # A few pairs are not enough to tell a small difference from noise.
        wanted = target if len(pairs) >= _ENOUGH else None
        yield figures.Figure(what, statistics.median(pairs), "x", wanted, detail)


@contextlib.contextmanager
def _running(on: world.World, name: str, tree: pathlib.Path, *, events: bool) -> Iterator[_Build]:
    root = f"/events-{name}"
    on.writer.create(root)
    with on.supervisor(root, workers=1) as supervisor, _read(supervisor, tree) as pipe:
        log = {"level": "info", "events": events} if events else {"level": "info"}
        supervisor.configure({**supervisor.content, "log": {"format": "json", **log}})
        command = f"exec {sys.executable} -m zk2etcd -c {supervisor.config} 2>{pipe}"
        supervisor.command = lambda: ["sh", "-c", command]  # type: ignore[method-assign]
        supervisor.start()
        supervisor.wait_following()
        yield _Build(on, supervisor, root)


@contextlib.contextmanager
def _read(supervisor: supervisors.Supervisor, tree: pathlib.Path) -> Iterator[pathlib.Path]:
    """A pipe that somebody reads, and the environment in which it is this tree that runs."""
    paths = os.pathsep.join([str(tree), str(tree / "workers")])
    environment = {**os.environ, "PYTHONPATH": paths}
    asked = "import zk2etcd_workers.mirror.follow as it; print(it.__file__)"
    found = subprocess.check_output(
        [sys.executable, "-c", asked], cwd=supervisor.folder, env=environment, text=True
    )
    if not pathlib.Path(found.strip()).is_relative_to(tree):
        raise AssertionError(f"{found.strip()} is not of {tree}")
    supervisor.environment = lambda: environment  # type: ignore[method-assign]
    pipe = supervisor.folder / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.DEVNULL) as reader:
        try:
            yield pipe
        finally:
            reader.terminate()


def _stripped(folder: pathlib.Path) -> pathlib.Path:
    for package in ("zk2etcd", "workers/zk2etcd_workers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / package, folder / package, ignore=ignored)
    for name in _CALLERS:
        file = folder / "workers" / "zk2etcd_workers" / name
        text, count = _CALL.subn("", file.read_text("utf-8"))
        if count != 1:
            raise AssertionError(f"the call of the event log in {name} was not found")
        file.write_text(text, "utf-8")
    return folder
