"""What a spawned process does before it becomes a worker.

It binds its life to the supervisor's in two ways: the kernel's parent-death signal, which kills
a stopped (SIGSTOP) worker too, and the end of a pipe, which also works where the first does not.
Nothing here may import what a worker does not need: every worker pays for it in memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import connection, process
from typing import Any

import setproctitle

from zk2etcd import messages, metrics
from zk2etcd.process import ahead, limits, stacks

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_MOST_TITLE = 200


class TitledConnection(connection.Connection):
    """The worker's end of the pipe, which shows each Assign that passes in the process title."""

    slot = ""

    def recv(self) -> Any:
        message = super().recv()
        if isinstance(message, messages.Assign):
            setproctitle.setproctitle(title(self.slot, message.shards))
        return message


def run(target: str, end: connection.Connection, parent: int) -> None:
    """Prepare this process, load what `target` needs, "package.module.function", and call it once
    its spec is there. Without one the process ends: the supervisor did not need it.

    `target` is called with (spec, connection) and its return is exit status 0.
    """
    writer = _set_signals()
    die_with_parent(parent)
    limits.raise_descriptors()  # the supervisor's may have been raised after our start
    setproctitle.setproctitle("zk2etcd worker")
    gc.disable()  # what is loaded stays: nothing of it need be looked at, now or ever
    function = _resolved(target)
    metrics.load()
    gc.freeze()
    gc.enable()
    pipe = TitledConnection(os.dup(end.fileno()))
    end.close()
    try:
        spec: messages.WorkerSpec = pipe.recv()
    except (EOFError, OSError):
        return
    pipe.slot = spec.identity.slot
    setproctitle.setproctitle(title(spec.identity.slot, ()))
    if spec.multiproc_dir:
        with contextlib.suppress(OSError):  # the supervisor says what is wrong with the folder
            writer.keep(spec.multiproc_dir, spec.identity.slot)
    function(spec, pipe)


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent` ends, however it ends; at once if it has already.

    The kernel's "parent" is the *thread* that started us (prctl(2)), hence the supervisor starts
    workers from its main thread only.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=_outlive, name="parent-watch", daemon=True).start()


def title(slot: str, shards: tuple[messages.Shard, ...]) -> str:
    """`zk2etcd worker w0 [/dubbo /services]`, shortened when there are many."""
    sources = " ".join(dict.fromkeys(shard.source for shard in shards))
    if len(sources) > _MOST_TITLE:
        sources = sources[:_MOST_TITLE] + "..."
    return f"zk2etcd worker {slot} [{sources}]"


def _outlive() -> None:
    """Wait for the end of the supervisor's pipe, then go; a clean-up could hang, so none."""
    parent = process.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _set_signals() -> stacks.Writer:
    """Ctrl-C and a terminal's hang-up reach the whole group, but the supervisor answers them.

    SIGTERM is the worker's own (the target may catch it to drain); by default it ends the process.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    writer = stacks.Writer()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ahead.GUARDED_SIGNALS - {stacks.SIGNAL})
    return writer


def _resolved(target: str) -> Callable[[messages.WorkerSpec, connection.Connection], object]:
    module, _, name = target.rpartition(".")
    function: Callable[[messages.WorkerSpec, connection.Connection], object] = getattr(
        importlib.import_module(module), name
    )
    return function
