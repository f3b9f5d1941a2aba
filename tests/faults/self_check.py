"""Does the oracle notice? Each line of defence is taken out of a copy of the source, and the
scenario in which that line decides must make the named check fire; the product itself passes it.

`python -m tests.faults.self_check` (or `make mutations`) runs all of them, or those that are named.
A mutation is a patch in `mutations/`, headed by what it breaks, its scenario, and its check.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from tests import releases
from tests.faults import directed, oracle, servers as made, stage
from zk2etcd import errors
from zk2etcd.sandbox import servers

HERE = pathlib.Path(__file__).parent
PATCHES = HERE / "mutations"
SOURCE = HERE.parent.parent
_ROOTS = ("zk2etcd", "workers")
_TRIES = 2
NOTHING = "nothing"
"""What a mutation makes fire that may cost time, and no more."""


class Rotten(AssertionError):
    """A patch does not say what it must, or does not fit the source any more."""


class Unnoticed(AssertionError):
    """The named check did not fire, or others did that nobody had announced."""


@dataclasses.dataclass(frozen=True)
class Mutation:
    """`fires` is the check that must, or `NOTHING`; `also` are those that may."""

    name: str
    what: str
    scenario: str
    fires: str
    also: frozenset[str]
    patch: pathlib.Path

    @classmethod
    def read(cls, patch: pathlib.Path) -> Mutation:
        """:raises Rotten: its header is not whole."""
        head = patch.read_text("utf-8").partition("\n--- ")[0]
        said = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        try:
            also = frozenset(each.strip() for each in said.get("also", "").split(",") if each)
            made = cls(patch.stem, said["what"], said["scenario"], said["fires"], also, patch)
        except KeyError as error:
            raise Rotten(f"{patch.name} has no line {error.args[0]!r} in its head") from None
        if made.scenario not in directed.SCENARIOS:
            raise Rotten(f"{patch.name} names no scenario: {made.scenario}")
        return made


def mutations() -> list[Mutation]:
    """All of them, by name."""
    return [Mutation.read(patch) for patch in sorted(PATCHES.glob("*.patch"))]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a scenario showed. `failure` is where it could not go on, empty if it ran to its end."""

    violations: Sequence[oracle.Violation]
    failure: str
    seconds: float

    @property
    def checks(self) -> set[str]:
        """The names of the checks that fired; where it broke off, both sides may well differ."""
        checks = {violation.check for violation in self.violations}
        return checks - {"equal"} if self.failure else checks


def copied(target: pathlib.Path, mutation: Mutation | None = None) -> pathlib.Path:
    """A copy of the source below `target`, mutated.

    :raises Rotten: the patch does not apply.
    """
    for root in _ROOTS:
        shutil.copytree(SOURCE / root, target / root, ignore=shutil.ignore_patterns("__pycache__"))
    if mutation is not None:
        applied = subprocess.run(
            ["git", "apply", "-p1", "-C1", "--verbose", str(mutation.patch)],
            cwd=target,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(target.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        if applied.returncode or "Applied patch" not in applied.stderr:
            raise Rotten(f"{mutation.patch.name} does not apply: {applied.stderr.strip()}")
    return target


def play(
    scenario: str, mutation: Mutation | None = None, made_of: made.Servers = made.INSTALLED
) -> Seen:
    """One scenario on servers of its own, with the source as it is or mutated."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zk2etcd-mutation-") as folder, servers.opened() as box:
        tree = copied(pathlib.Path(folder), mutation)
        on = stage.Stage(box, tree, made_of)
        failure = ""
        try:
            try:
                directed.SCENARIOS[scenario](on)
                if not on.converges():
                    failure = "etcd did not become equal to ZooKeeper"
            except (AssertionError, errors.Zk2EtcdError) as error:
                failure = f"{type(error).__name__}: {error}"
            return Seen(on.judge(), failure, time.monotonic() - started)
        finally:
            on.close()


def passes(scenario: str, made_of: made.Servers = made.INSTALLED) -> str:
    """The product passes the scenario: one line about it.

    :raises AssertionError: it does not.
    """
    tries: list[str] = []
    for _ in range(_TRIES):
        seen = play(scenario, None, made_of)
        if seen.checks:
            shown = "\n".join(map(str, seen.violations[:5]))
            raise AssertionError(f"the product broke a promise in {scenario}:\n{shown}")
        if not seen.failure:
            again = f" (the first time: {tries[0]})" if tries else ""
            return f"{scenario}: the product passes, {seen.seconds:.1f} s{again}"
        tries.append(seen.failure)
    raise AssertionError(f"{scenario} did not run to its end: {tries}")


def notices(mutation: Mutation, made_of: made.Servers = made.INSTALLED) -> str:
    """The named check fires, and only it and those announced, or nothing does: one line about it.

    :raises Rotten: the patch does not apply any more.
    :raises Unnoticed: it does not fire, or another one does.
    """
    tries: list[str] = []
    for _ in range(_TRIES):
        seen = play(mutation.scenario, mutation, made_of)
        unforeseen = seen.checks - mutation.also - {mutation.fires}
        if unforeseen:
            shown = "\n".join(map(str, seen.violations[:5]))
            raise Unnoticed(f"{mutation.name}: {sorted(unforeseen)} fired unforeseen:\n{shown}")
        if mutation.fires == NOTHING and not seen.failure:
            return f"{mutation.name}: {mutation.scenario} passes all the same, {seen.seconds:.1f} s"
        if mutation.fires in seen.checks:
            others = ", ".join(sorted(seen.checks - {mutation.fires}))
            more = f" (and {others})" if others else ""
            again = f"; nothing fired the first time: {tries[0]}" if tries else ""
            return (
                f"{mutation.name}: {mutation.scenario} makes {mutation.fires} fire{more}, "
                f"{seen.seconds:.1f} s{again}"
            )
        tries.append(seen.failure or "it ran to its end")
    raise Unnoticed(f"{mutation.name}: {mutation.fires} did not fire: {tries}")


def _lines(wanted: Sequence[Mutation], made_of: made.Servers) -> Iterator[str]:
    for scenario in dict.fromkeys(each.scenario for each in wanted):
        yield passes(scenario, made_of)
        yield from (notices(each, made_of) for each in wanted if each.scenario == scenario)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m tests.faults.self_check", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutations or scenarios; by default all")
    parser.add_argument("--zookeeper", choices=["3.4"], help="another release of it")
    asked = parser.parse_args(arguments)
    names, made_of = asked.names, made.INSTALLED
    if asked.zookeeper:
        made_of = made.Servers(zookeeper_classpath=releases.class_path(releases.ZOOKEEPER_3_4))
    wanted = [m for m in mutations() if not names or m.name in names or m.scenario in names]
    try:
        for line in _lines(wanted, made_of):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except AssertionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if wanted else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
