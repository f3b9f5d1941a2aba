"""What `--help` ends with: command lines to copy, and what the exit code says.

In one room, so that a test can read every example as the command line would.
"""

from __future__ import annotations

from typing import NamedTuple

BAD_USE = "2 wrong use or configuration"
AWAY = "3 a server or the supervisor does not answer"


class Ending(NamedTuple):
    """`examples` as they are typed; `codes` beside those that every command has."""

    examples: tuple[str, ...]
    codes: tuple[str, ...] = ("0 done",)


ENDINGS = {
    "run": Ending(
        (
            "zk2etcd -c config.yaml",
            "zk2etcd run -c base.yaml -c production.yaml --set workers.count=4",
            "zk2etcd run -c config.yaml --once",
            "zk2etcd run -c config.yaml --once --dry-run",
        ),
        (
            "0 stopped as asked; with --once: both sides are equal",
            "1 with --once: a guard holds deletes, or something cannot be mirrored",
            BAD_USE,
            "3 with --once: a server does not answer",
            "4 cannot bind or prepare",
        ),
    ),
    "status": Ending(
        (
            "zk2etcd status",
            "zk2etcd status -c config.yaml --watch",
            "zk2etcd status --json",
            "zk2etcd status --watch --json",
        ),
        ("0 ready or standby", "1 not ready, guarded, in error or unsyncable", BAD_USE, AWAY),
    ),
    "diff": Ending(
        (
            "zk2etcd diff -c config.yaml",
            "zk2etcd diff -c config.yaml --json --rounds 5 --round-interval 2s",
            "zk2etcd diff -c config.yaml --fix",
            "zk2etcd diff --zookeeper-servers=zk:2181 --etcd-servers=etcd:2379 --fix",
        ),
        ("0 equal", "1 differences, or nodes that cannot be read", BAD_USE, AWAY),
    ),
    "adopt": Ending(
        (
            "zk2etcd adopt -c config.yaml",
            "zk2etcd adopt -c config.yaml --yes --from dubbo-0a1b2c3d dubbo-aa9c75c9",
        ),
        ("0 marked, or nothing to mark", "1 not agreed to", BAD_USE, AWAY),
    ),
    "full-sync": Ending(
        ("zk2etcd full-sync", "zk2etcd full-sync -c config.yaml --wait dubbo-aa9c75c9"),
        ("0 asked for, or done", "1 with --wait: not done in time, or not all well", BAD_USE, AWAY),
    ),
    "release": Ending(
        ("zk2etcd release", "zk2etcd release -c config.yaml --yes --wait dubbo-aa9c75c9"),
        ("0 released", "1 not released, or with --wait not all well", BAD_USE, AWAY),
    ),
    "pause": Ending(
        ("zk2etcd pause --wait", "zk2etcd pause -c config.yaml --wait dubbo-aa9c75c9"),
        ("0 asked for; with --wait: paused", "1 another's, or not paused in time", BAD_USE, AWAY),
    ),
    "resume": Ending(
        ("zk2etcd resume", "zk2etcd resume -c config.yaml --yes --wait dubbo-aa9c75c9"),
        ("0 asked for, or done", "1 not paused, not agreed to, or not done in time", BAD_USE, AWAY),
    ),
    "reload": Ending(
        ("zk2etcd reload", "zk2etcd reload -c config.yaml"), ("0 done", BAD_USE, AWAY)
    ),
    "log": Ending(
        ("zk2etcd log --level debug", "zk2etcd log -c config.yaml --level info"),
        ("0 done", BAD_USE, AWAY),
    ),
    "check": Ending(
        ("zk2etcd check -c config.yaml", "zk2etcd check -c config.yaml --offline"),
        ("0 all is well", "1 a right is missing, or else would not work", BAD_USE, AWAY),
    ),
    "support": Ending(
        (
            "zk2etcd support -c config.yaml",
            "zk2etcd support -c config.yaml --check --output report.tar.gz --force",
        ),
        (
            "0 all of it was gathered",
            "1 some of it is missing: the archive says why",
            BAD_USE,
            "3 neither a supervisor nor a configuration could be had",
        ),
    ),
    "config": Ending(
        (
            "zk2etcd config default > config.yaml",
            "zk2etcd config schema > schema.json",
            "zk2etcd config show -c config.yaml --set log.level=debug",
        ),
        ("0 done", BAD_USE),
    ),
    "sync": Ending(
        (
            "zk2etcd sync --zookeeper-servers=zk:2181 --etcd-servers=etcd:2379",
            "zk2etcd sync --zookeeper-servers=zk --etcd-servers=etcd --print-config > config.yaml",
        ),
        ("0 stopped as asked", BAD_USE, "4 cannot bind or prepare"),
    ),
    "genzk": Ending(
        (
            "zk2etcd genzk --hosts zk:2181 --path /test --parents 10 --children 1000",
            "zk2etcd genzk --shape dubbo --path /dubbo --ephemeral --hold 60",
        ),
        ("0 done", BAD_USE, AWAY),
    ),
    "demo": Ending(
        ("zk2etcd demo", "zk2etcd demo --keep", "zk2etcd demo --servers"),
        ("0 all as promised", "1 a step failed", BAD_USE),
    ),
    "version": Ending(("zk2etcd version", "zk2etcd version --json")),
}
"""Subcommand -> how its help ends."""

_EVERY_CODE = (
    "0 fine",
    "1 a difference or a degraded state",
    BAD_USE,
    AWAY,
    "4 run cannot bind or prepare",
    "70 a bug",
    "130 interrupted",
)


def group() -> str:
    """The end of `zk2etcd --help`."""
    return "\n\n".join(
        (
            "--debug, anywhere on the line, shows tracebacks. NO_COLOR=1 turns colours off.",
            _listed("Exit codes", _EVERY_CODE),
            _listed("Completion of commands and options", (_completion("bash"),)),
            "For zsh and fish, write zsh_source or fish_source. `zk2etcd COMMAND -h` tells more.",
        )
    )


def command(name: str) -> str:
    """The end of `zk2etcd NAME --help`; "" for a command that is not known here."""
    ending = ENDINGS.get(name)
    if ending is None:
        return ""
    return "\n\n".join((_listed("Examples", ending.examples), _listed("Exit codes", ending.codes)))


def _completion(shell: str) -> str:
    return f'eval "$(_ZK2ETCD_COMPLETE={shell}_source zk2etcd)"'


def _listed(title: str, lines: tuple[str, ...]) -> str:
    """A paragraph that click leaves as it is."""
    return "\n".join(("\b", f"{title}:", *(f"  {line}" for line in lines)))
