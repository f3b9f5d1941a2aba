"""`python -m tests.faults --seeds 1 2 3 --seconds 60`: long runs, one line each.

`make faults` calls it. Exit code 1 if a run broke a promise, with all that tells why.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import random
import sys
import traceback

from tests import releases
from tests.faults import beside, run, servers

_ZOOKEEPERS = {"3.4": releases.ZOOKEEPER_3_4, "3.9": releases.ZOOKEEPER_3_9}
_ETCDS = {"3.3": releases.ETCD_3_3, "3.5": releases.ETCD_3_5_16, "newest": releases.ETCD_3_5_30}


def main(arguments: list[str]) -> int:
    # Its clients lose their connections all the time: that is what it is for.
    logging.getLogger("kazoo").setLevel(logging.ERROR)
    asked = _parser().parse_args(arguments)
    made_of = servers.Servers(
        asked.zookeepers,
        asked.etcds,
        releases.class_path(_ZOOKEEPERS[asked.zookeeper]) if asked.zookeeper else None,
        zookeeper_admin=asked.zookeeper == "3.9",
        etcd_binary=releases.etcd(_ETCDS[asked.etcd]) if asked.etcd else None,
        prefixes=asked.prefixes,
        patterns=asked.patterns,
        line=asked.line,
        share=asked.share,
        drift=asked.drift,
    )
    seeds = asked.seeds or [random.randrange(1000, 1_000_000) for _ in range(asked.fresh)]
    broken = 0
    for seed in seeds:
        drawn = run.plan(seed, asked.seconds, run.scene(seed, made_of))
        if asked.plan:
            _say("\n".join(drawn.lines()))
            continue
        try:
            if asked.marks:
                found = beside.run(seed, asked.seconds, asked.source_tree)
                _say("\n".join([found.line(), *map(str, found.violations[:5])]))
                broken += bool(found.violations)
                continue
            report = run.run(seed, asked.seconds, made_of, asked.source_tree)
        except Exception as error:
            broken += 1
            _say("".join(traceback.format_exception(error)))
            continue
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


def _bytes(text: str) -> int:
    return int(text.removesuffix("k")) * (1000 if text.endswith("k") else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="which runs")
    parser.add_argument("--fresh", type=int, default=1, help="how many new ones, without --seeds")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is hurt")
    parser.add_argument("--zookeepers", type=int, default=1, help="1: as the seed says; or 3")
    parser.add_argument("--etcds", type=int, default=1, help="1: as the seed says; or 3")
    parser.add_argument("--prefixes", type=int, default=0, help="small ones beside the others")
    parser.add_argument("--share", action="store_true", help="three supervisors share all that")
    marks = "two mirrors of two ensembles, and a stranger, in one range"
    parser.add_argument("--marks", action="store_true", help=marks)
    parser.add_argument("--patterns", action="store_true", help="mirror some by patterns")
    drift = "no full syncs: a watch tells what strangers write, all the time"
    parser.add_argument("--drift", action="store_true", help=drift)
    parser.add_argument("--zookeeper", choices=_ZOOKEEPERS, help="another release of it")
    parser.add_argument("--etcd", choices=_ETCDS, help="another release of it")
    thin = "bytes a second, such as 500k, that pass to each server and from it throughout"
    parser.add_argument("--line", type=_bytes, metavar="RATE", help=thin)
    parser.add_argument("--source-tree", type=pathlib.Path, help="run zk2etcd from there")
    parser.add_argument("--plan", action="store_true", help="print what would be done, do nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
