"""What stands in for a worker in tests of real spawned children: each function is one behaviour.

Spawned by name ("tests.targets.obedient"), so it imports nothing that a worker would not.
"""

from __future__ import annotations

import dataclasses
import os
import time
from multiprocessing.connection import Connection

from zk2etcd import conditions, messages

REPORT_EVERY = 0.05


def report(
    spec: messages.WorkerSpec, assign: messages.Assign | None, sequence: int = 1
) -> messages.Report:
    """All shards follow."""
    shards = assign.shards if assign else ()
    result = conditions.FullSyncResult(sequence, time.time(), 0.0, 0, 0)
    return messages.Report(
        slot=spec.identity.slot,
        incarnation=spec.identity.incarnation,
        generation=assign.generation if assign else 0,
        held=tuple(shard.id for shard in shards),
        shards=tuple(
            messages.ShardReport(shard.id, "following", owned=True, last_full_sync=result)
            for shard in shards
        ),
        oldest_turn_seconds=0.0,
        zk_connected=True,
    )


def obedient(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Carries out everything at once and reports in between."""
    assign: messages.Assign | None = None
    sequence = 1
    while True:
        pipe.send(report(spec, assign, sequence))
        while pipe.poll(REPORT_EVERY):
            command = pipe.recv()
            if isinstance(command, messages.Assign):
                assign = command
            elif isinstance(command, messages.FullSync):
                sequence += 1
            elif isinstance(command, messages.Drain):
                pipe.send(dataclasses.replace(report(spec, assign), held=()))
                return


def stubborn(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Reports, and never stops when told to."""
    assign: messages.Assign | None = None
    while True:
        pipe.send(report(spec, assign))
        while pipe.poll(REPORT_EVERY):
            command = pipe.recv()
            assign = command if isinstance(command, messages.Assign) else assign


def deaf(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Reports, and never reads."""
    while True:
        pipe.send(report(spec, None))
        time.sleep(REPORT_EVERY)


def silent(_spec: messages.WorkerSpec, _pipe: Connection) -> None:
    """Hangs from the start."""
    while True:
        time.sleep(60)


def torn(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Reports once, then stops in the middle of a message."""
    pipe.send(report(spec, None))
    os.write(pipe.fileno(), b"\0\0\x10\0half")
    silent(spec, pipe)


def garbled(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Sends what is no message."""
    pipe.send_bytes(b"not a pickle")
    silent(spec, pipe)


def crashing(_spec: messages.WorkerSpec, _pipe: Connection) -> None:
    """Ends at once."""
    os._exit(7)


def telling(_spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Sends the names of the modules that it had to import, then ends."""
    import sys  # noqa: PLC0415

    pipe.send(sorted(sys.modules))


def parental(spec: messages.WorkerSpec, pipe: Connection) -> None:
    """Obedient, after leaving an orphan that lives for a second."""
    import subprocess  # noqa: PLC0415

    subprocess.run(["sh", "-c", "sleep 1 &"], check=True)
    obedient(spec, pipe)
