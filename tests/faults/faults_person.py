"""What a person does meanwhile: a shard is paused, and resumed; a prefix is split otherwise.
Everything else goes on."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.faults import drawing, oracle, world
from zk2etcd import errors

PAUSE = drawing.Kind("pause", 1.0, 5.0)
KINDS = (PAUSE, drawing.Kind("split", 1.0, 4.0, 1))
_PAUSED_SECONDS, _RESUMED_SECONDS = 4.0, 3.0


def inject(on: world.World, fault: drawing.Fault) -> None:
    """Do it, wait, and undo it."""
    steps = {"pause": _pause, "split": _split}
    steps[fault.kind](on, random.Random(fault.luck), fault.lasts)


def _split(on: world.World, luck: random.Random, lasts: float) -> None:
    """One prefix has another number of buckets for a while: nothing of it may be deleted."""
    content = on.config()
    prefix = content["sync"]["prefixes"][0]
    prefix["buckets"] = luck.choice([n for n in (1, 2, 3, 5) if n != prefix["buckets"]])
    on.note(f"SIGHUP: {prefix['from']} in {prefix['buckets']}")
    on.reconfigure(content)
    time.sleep(lasts)
    on.reconfigure(on.config())


def _pause(on: world.World, luck: random.Random, lasts: float) -> None:
    """Pause a shard, wait, and resume it. What cannot be resumed now is when all is healed."""
    prefix = luck.choice([each for each in world.PREFIXES if each.source in drawing.ROOTS])
    prefix = prefix._replace(only=luck.randrange(prefix.buckets))
    for supervisor, shard in _owned(on, prefix):
        on.note(f"pause {shard['id']}")
        with contextlib.suppress(errors.Unreachable):
            supervisor.ask("/pause", {"shards": [shard["id"]], "by": "the suite"})
        if _await(lambda: _is_paused(on, prefix), _PAUSED_SECONDS):
            _window(on, prefix, shard["id"], lasts)
        _await(lambda: not on.resume_all(), _RESUMED_SECONDS)
        return


def _window(on: world.World, prefix: oracle.Prefix, shard: str, lasts: float) -> None:
    """From after it said `paused` to before anybody resumes it. The marks say at which revisions
    that was; one whose answer was lost may have come at any time."""
    number = len(on.pauses)
    on.pauses.append(None)
    begun = on.hand.write({oracle.pause_mark(number, "begin"): shard.encode()})
    time.sleep(lasts)
    ended = on.hand.write({oracle.pause_mark(number, "end"): shard.encode()})
    on.note(f"{shard} was paused{'' if begun and ended else ', but when is not certain'}")
    if begun and ended:
        on.pauses[number] = (prefix, shard)


def _owned(on: world.World, prefix: oracle.Prefix) -> Iterator[tuple[world.Supervisor, Any]]:
    for supervisor in on.supervisors:
        with contextlib.suppress(errors.Unreachable, ValueError, KeyError):
            for shard in supervisor.status()["shards"]:
                wanted = (shard["from"], shard["bucket"]) == (prefix.source, prefix.only)
                if wanted and shard["owned"]:
                    yield supervisor, shard


def _is_paused(on: world.World, prefix: oracle.Prefix) -> bool:
    return any(shard["phase"] == "paused" for _, shard in _owned(on, prefix))


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
