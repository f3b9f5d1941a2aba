"""`python -m tests.faults --seeds 1 2 3 --seconds 60`: long runs, one line each.

`make faults` calls it. Exit code 1 if a run broke a promise, with all that tells why.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import sys

from tests.faults import run, servers


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    made_of = servers.Servers(
        asked.zookeepers, asked.etcds, asked.zookeeper_classpath, asked.etcd_binary
    )
    seeds = asked.seeds or [random.randrange(1000, 1_000_000) for _ in range(asked.fresh)]
    broken = 0
    for seed in seeds:
        drawn = run.plan(seed, asked.seconds, run.scene(seed, made_of))
        if asked.plan:
            _say("\n".join(drawn.lines()))
            continue
        report = run.run(seed, asked.seconds, made_of, asked.source_tree)
        _say(report.line())
        if report.violations:
            broken += 1
            for violation in report.violations[:5]:
                _say(str(violation))
            _say(f"see {report.folder}")
    return 1 if broken else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="which runs")
    parser.add_argument("--fresh", type=int, default=1, help="how many new ones, without --seeds")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is hurt")
    parser.add_argument("--zookeepers", type=int, default=1, help="1: as the seed says; or 3")
    parser.add_argument("--etcds", type=int, default=1, help="1: as the seed says; or 3")
    parser.add_argument("--zookeeper-classpath", help="another release of ZooKeeper")
    parser.add_argument("--etcd-binary", help="another release of etcd")
    parser.add_argument("--source-tree", type=pathlib.Path, help="run zk2etcd from there")
    parser.add_argument("--plan", action="store_true", help="print what would be done, do nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
