"""`make bench`: run the benchmarks, print each figure beside its target.

    python -m benchmarks [--quick] [--only NAME]... [--runs N]

Exits 1 when a target is missed. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks import (
    breadth,
    buckets,
    builds,
    burst,
    classic,
    drift,
    events,
    figures,
    full_sync,
    growth,
    latency,
    marks,
    members,
    memory,
    patterns,
    prefixes,
    processors,
    recovery,
    start,
    verify,
    world,
)

SMALL, LARGE, HUGE = "/dubbo", "/million", "/huge"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Nodes of the small, the large and the huge tree (0: none) and of the burst; changes; keys
    that strangers hurt; supervisors and their shards; repetitions; pairs of runs with and without
    the event log, and the source tree without it, if not a copy of this one."""

    small: int = 100_000
    large: int = 1_000_000
    huge: int = 0
    burst: int = 50_000
    changes: int = 500
    hurt: int = 1_000
    prefixes: int = 1_000
    members: tuple[tuple[int, int], ...] = members.SIZES
    runs: int = 3
    pairs: int = 7
    without: pathlib.Path | None = None
    broad: tuple[int, ...] = (200_000, 500_000)
    other: pathlib.Path | None = None
    """Another build's folder: it is started, and does what `builds` says, by turns with ours."""


QUICK = Sizes(
    broad=(20_000, 60_000),
    small=20_000,
    large=100_000,
    burst=10_000,
    changes=100,
    hurt=200,
    prefixes=200,
    members=((4, 16), (8, 16), (8, 64)),
    runs=1,
    pairs=1,
)

Run = Callable[[world.World, Sizes], list[figures.Figure]]

RUNS: dict[str, Run] = {
    "idle": lambda on, _: memory.idle(on),
    "start": lambda on, size: start.measure(on, size.runs, size.other),
    "latency": lambda on, size: latency.measure(on, size.changes),
    "burst": lambda on, size: burst.measure(on, size.burst, size.runs),
    "events": lambda on, size: events.measure(on, size.burst, size.pairs, size.without),
    "full-sync": lambda on, size: full_sync.measure(on, SMALL, size.small, size.runs),
    "prefixes": lambda on, size: prefixes.measure(on, size.prefixes),
    "members": lambda on, size: members.measure(on, size.members),
    "buckets": lambda on, size: buckets.measure(on, SMALL, size.small, size.burst // 2, size.runs),
    "patterns": lambda on, size: patterns.measure(on, size.small, size.runs),
    "drift": lambda on, size: drift.measure(on, size.burst, size.hurt, size.runs),
    "marks": lambda on, size: marks.measure(on, SMALL, size.small, size.burst, size.runs),
    "verify": lambda on, size: verify.measure(on, SMALL, size.small, size.runs),
    "memory": lambda on, size: memory.following(on, SMALL, size.small, None),
    "recovery": lambda on, size: recovery.measure(on, SMALL, size.small, size.runs),
    "classic": lambda on, size: classic.measure(on, size.small, size.burst // 5, size.runs),
    "classic-memory": lambda _, size: classic.memory_of(size.large),
    "processors": lambda on, size: processors.measure(on, _trees(size)[:2], size.runs),
    "growth": lambda on, size: growth.measure(on, _trees(size), size.runs),
    "builds": lambda on, size: builds.measure(on, _trees(size), size.small, size.runs, size.other),
    "full-sync-large": lambda on, size: full_sync.measure(on, LARGE, size.large, size.runs),
    "memory-large": lambda on, size: memory.following(on, LARGE, size.large, 600.0),
    "breadth": lambda on, size: breadth.measure(on, size.broad),
}
"""By name, the quiet ones first: a large tree in ZooKeeper's heap disturbs the latencies."""

NEEDS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("full-sync", "buckets", "marks", "verify", "memory", "recovery"), (SMALL,)
)
NEEDS |= {
    "processors": (SMALL, LARGE),
    "growth": (SMALL, LARGE, HUGE),
    "builds": (SMALL, LARGE, HUGE),
    "full-sync-large": (LARGE,),
    "memory-large": (LARGE,),
}


def _trees(sizes: Sizes) -> list[tuple[str, int]]:
    """Those that there are, the smallest first."""
    trees = [(SMALL, sizes.small), (LARGE, sizes.large), (HUGE, sizes.huge)]
    return [(path, nodes) for path, nodes in trees if nodes]


def main() -> int:
    arguments = _arguments()
    sizes = QUICK if arguments.quick else Sizes()
    if arguments.runs:
        sizes = dataclasses.replace(sizes, runs=arguments.runs)
    given = {"without": arguments.without, "other": arguments.beside, "huge": arguments.huge}
    sizes = dataclasses.replace(sizes, **given)
    started = time.monotonic()
    measured = list(_measured(arguments.only or list(RUNS), sizes))
    print(f"\n{figures.table(measured)}\n\nin {time.monotonic() - started:.0f} s")
    return 0 if all(figure.reached for figure in measured) else 1


def _measured(names: list[str], sizes: Sizes) -> Iterator[figures.Figure]:
    seeded: set[str] = set()
    with world.opened() as on:
        for name in names:
            for path, nodes in _trees(sizes):
                if path in NEEDS.get(name, ()) and path not in seeded:
                    on.seed(path, nodes)
                    on.warm(path)
                    seeded.add(path)
            began = time.monotonic()
            print(f"{name} ...", end="", flush=True)
            found = RUNS[name](on, sizes)
            print(f" {time.monotonic() - began:.0f} s", flush=True)
            for each in found:
                print(f"    {each.name.strip()}: {each.value:.2f} {each.unit}, {each.detail}")
            yield from found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one run each")
    parser.add_argument("--only", action="append", choices=list(RUNS), help="may be repeated")
    parser.add_argument(
        "--huge", type=int, default=0, help="nodes of a third tree for `growth` and `builds`"
    )
    what = "folder of another build, with its .venv, for `start` and `builds`: by turns with ours"
    parser.add_argument("--beside", type=pathlib.Path, metavar="FOLDER", help=what)
    parser.add_argument("--runs", type=int, help="repetitions, of which the median counts")
    what = "source tree without the event log; by default a copy of this one without its calls"
    parser.add_argument("--without", type=pathlib.Path, metavar="FOLDER", help=what)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
