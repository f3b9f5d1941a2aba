"""One run: draw up the plan, start the world, hurt it, put it right, and judge.

`run` is what the tests, `make faults` and the self-check call. It raises nothing about zk2etcd:
what is wrong stands in the report's violations, and what is needed to look into it in its folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from tests import polling
from tests.faults import (
    claims,
    drawing,
    evening,
    faults_data,
    faults_members,
    faults_network,
    faults_person,
    faults_process,
    hand,
    load,
    lost,
    oracle,
    servers,
    shares,
    txnlog,
    world,
)
from zk2etcd import errors
from zk2etcd.sandbox import servers as sandboxes

EQUAL_SECONDS = 5.0
_PACE_EVERY, _PACE_SPIN, _PACE_MOST = 0.2, 0.02, 4.0

RATES = (drawing.RATE, drawing.RATE, 15.0, 3.0)
"""Operations a second, by seed."""

_INJECT: Mapping[str, Callable[[world.World, drawing.Fault], None]] = {
    "process": faults_process.inject,
    "zookeeper": faults_network.inject,
    "etcd": faults_network.inject,
    "data": faults_data.inject,
    "person": faults_person.inject,
    "members": faults_members.inject,
    "others": faults_members.inject,
}
_HURTS_ALL = ("zookeeper", "etcd", "data")
"""Lanes of faults that no supervisor of several is spared from."""

_WATCH_AGAIN = 10.0
"""Seconds until what strangers write is watched again, after a watch that was broken off often."""
_QUOTA = 24 * 1024 * 1024
_GIVEN_UP = 30.0
_LINGER = 0.7


class Violated(AssertionError):
    """A run broke a promise; the message has the seed, the checks, and where to look."""


@dataclasses.dataclass
class Report:
    """What a run showed. `equal_after` in seconds since the last fault, None if never."""

    seed: int
    seconds: float
    servers: str
    violations: list[oracle.Violation]
    equal_after: float | None
    allowed: float
    notes: Sequence[str]
    counts: Mapping[str, int]
    folder: pathlib.Path | None

    @property
    def checks(self) -> set[str]:
        """The names of the checks that fired."""
        return {violation.check for violation in self.violations}

    def line(self) -> str:
        """The run in one line."""
        after = "never equal"
        if self.equal_after is not None:
            after = f"equal after {self.equal_after:.2f} s of {self.allowed:.1f}"
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        found = "; ".join(sorted(f"{v.invariant} {v.check}" for v in self.violations)) or "passed"
        return f"seed {self.seed} {self.seconds:g} s on {self.servers}: {found}; {after}; {counted}"

    def check(self) -> None:
        """:raises Violated: something is wrong."""
        if self.violations:
            shown = "\n".join(str(violation) for violation in self.violations[:5])
            more = len(self.violations) - 5
            rest = f"\n... and {more} more" if more > 0 else ""
            raise Violated(f"{self.line()}\n{shown}{rest}\nsee {self.folder}")


def scene(seed: int, made_of: servers.Servers | None = None) -> servers.Servers:
    """The servers of a seed: one of each, three etcds, or three ZooKeepers; releases are taken from
    `made_of`, which wins where it asks for more than one."""
    made_of = made_of or servers.Servers()
    if made_of.share:
        made_of = dataclasses.replace(made_of, prefixes=made_of.prefixes or seed % 7)
    if made_of.zookeepers > 1 or made_of.etcds > 1 or made_of.etcd_quota:
        return made_of
    sizes = ((1, 3), (3, 1), (1, 1))
    zookeepers, etcds = sizes[seed % 3]
    quota = _QUOTA if etcds == 1 and seed % 2 else None
    logins = etcds == 1 and quota is None
    return dataclasses.replace(
        made_of, zookeepers=zookeepers, etcds=etcds, etcd_quota=quota, logins=logins
    )


def members(made_of: servers.Servers) -> list[drawing.Kind]:
    """What can happen to supervisors that share."""
    etcds = faults_members.MEMBERS if made_of.etcds > 1 else ()
    return [*faults_members.ONE, *faults_members.ALL, *etcds]


def _shared(made_of: servers.Servers, *, calm: bool) -> dict[str, list[drawing.Kind]]:
    """The same where supervisors share: in every second scene nothing but they is hurt, so that
    somebody is well."""
    own = {"members": members(made_of), "others": list(faults_members.ONE)}
    if calm:
        return {**own, "person": [faults_person.PAUSE]}
    found = lanes(made_of)
    del found["process"]
    return {**found, **own}


def lanes(made_of: servers.Servers) -> dict[str, list[drawing.Kind]]:
    """Which kinds of faults can happen to these servers, by lane."""
    data = list(faults_data.DRIFT if made_of.drift else faults_data.KINDS)
    zookeeper = list(faults_network.ZOOKEEPER)
    if made_of.zookeepers > 1:
        zookeeper += faults_network.ENSEMBLE
    elif made_of.zookeeper_admin:
        zookeeper += faults_network.ADMIN
    etcd = list(faults_network.ETCD)
    if made_of.etcds > 1:
        etcd += faults_network.MEMBERS
    if made_of.logins:
        data += faults_data.LOGINS
    if made_of.etcd_quota:
        data += faults_data.SMALL
    return {
        "process": list(faults_process.KINDS),
        "zookeeper": zookeeper,
        "etcd": etcd,
        "data": data,
        "person": list(faults_person.KINDS),
    }


def plan(seed: int, seconds: float, made_of: servers.Servers) -> drawing.Plan:
    """What will be done, on these servers. Some seeds have a busy tree, some a quiet one: a server
    that lacks the last few changes only is the hardest to tell."""
    rate = RATES[seed % len(RATES)]
    kinds = _shared(made_of, calm=seed // 3 % 2 == 0) if made_of.share else lanes(made_of)
    return drawing.draw(seed, seconds, kinds, rate, made_of.prefixes)


def run(
    seed: int,
    seconds: float,
    made_of: servers.Servers | None = None,
    source_tree: pathlib.Path | None = None,
    drawn: drawing.Plan | None = None,
) -> Report:
    """One run of `seconds` and its judgement.

    :param made_of: the servers and their releases; by default as the seed says.
    :param source_tree: a checkout to run zk2etcd from, instead of the installed command.
    :param drawn: another plan than the seed's, such as one of a single kind of fault.
    """
    made_of = scene(seed, made_of)
    drawn = drawn or plan(seed, seconds, made_of)
    with sandboxes.opened() as box:
        on = world.World(box, made_of, source_tree)
        try:
            report = _Run(on, drawn).report()
            if report.violations:
                report.folder = _keep(on, report.violations, drawn)
            return report
        except Exception as error:
            error.add_note(f"seed {seed}, see {_keep(on, (), drawn)}")
            raise
        finally:
            on.close()


class _Run:
    def __init__(self, on: world.World, drawn: drawing.Plan) -> None:
        self._on = on
        self._drawn = drawn
        self._counts: dict[str, int] = {}
        self._broke: list[Exception] = []

    def report(self) -> Report:
        on = self._on
        on.seed()
        on.start()
        if on.servers.share:
            polling.until(lambda: not claims.not_following(on), 60, every=0.2, what="all follow")
            on.seen.began = time.time()
        on.started = time.monotonic()
        self._hurt()
        on.heal()
        healed, pace = time.monotonic(), _Pace()
        on.note("healed")
        allowed = EQUAL_SECONDS + self._lease_left(healed)
        if on.servers.drift:
            allowed += _WATCH_AGAIN
        after = self._converge(healed, allowed)
        violations = [*on.violations, *claims.unsettled(on)]
        if on.servers.share:
            on.seen.pace = pace.now()
            violations += evening.out(on, self._drawn.seed % len(on.supervisors))
        allowed *= pace.end()
        case = self._case()
        servers_of_it = [server.address for server in on.zookeepers]
        violations += lost.but_the_lost(case, oracle.judge(case), servers_of_it, on.note)
        violations += [*claims.missed(on), *claims.untampered(on), *claims.bugs(on)]
        if on.servers.share:
            on.seen.pace = max(on.seen.pace, pace.now())
            violations += shares.judge(case, on.seen, world.LEASE_TTL)
        if after is None or after > allowed:
            violations.insert(0, _late(after, allowed))
        return Report(
            self._drawn.seed,
            self._drawn.seconds,
            self._name(),
            violations,
            after,
            allowed,
            on.notes,
            {**self._counts, "events": len(case.events), "nodes": len(case.history)},
            None,
        )

    def _name(self) -> str:
        even = ", ".join(f"{each:.1f}" for each in self._on.evened)
        seen = self._on.seen
        told = f" (even after {even} s, {len(seen.still)} quiet, {len(seen.joins)} joins judged"
        still = seen.stood_still(0.0, time.time())
        told += f", machine still for {still:.1f} s)" if still else ")"
        return self._on.servers.name + (told if self._on.servers.share else "")

    def _hurt(self) -> None:
        start = time.monotonic()
        clients = [
            load.Client(self._on.hosts, self._operations_of(number), start)
            for number in range(drawing.CLIENTS)
        ]
        lanes = [
            threading.Thread(target=self._lane, args=(name, start), daemon=True, name=name)
            for name in self._drawn.lanes
        ]
        self._on.clients = clients
        for client in clients:
            client.begin()
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        if self._broke:
            raise self._broke[0]  # a fault of the suite: what was left out proves nothing
        for client in clients:
            client.wait(start + self._drawn.seconds + 1 - time.monotonic())
            client.end()
            for kind, count in client.counts.items():
                self._counts[kind] = self._counts.get(kind, 0) + count

    def _operations_of(self, number: int) -> list[drawing.Operation]:
        return [each for each in self._drawn.operations if each.client == number]

    def _lane(self, name: str, start: float) -> None:
        inject = _INJECT[name]
        for fault in self._drawn.lanes[name]:
            time.sleep(max(0.0, start + fault.at - time.monotonic()))
            if time.monotonic() > start + self._drawn.seconds + 1:
                return
            hurting = self._on.seen.hurting() if name in _HURTS_ALL else contextlib.nullcontext()
            try:
                with hurting:
                    inject(self._on, fault)
            except (errors.StartError, errors.UsageError) as error:
                # A supervisor that cannot start while its servers are away, or is gone by now.
                self._on.note(f"{fault.kind} was cut short: {error}")
            except Exception as error:
                self._broke.append(error)
                return
            self._counts["faults"] = self._counts.get("faults", 0) + 1

    def _lease_left(self, now: float) -> float:
        """A shard whose supervisor died may stay taken for as long as the lease lasts."""
        lost = self._on.supervisor_lost_at
        if lost is None:
            return 0.0
        return max(0.0, lost + world.LEASE_TTL + 1.0 - now)

    def _converge(self, since: float, allowed: float) -> float | None:
        on = self._on
        deadline = since + allowed + _GIVEN_UP
        while time.monotonic() < deadline:
            if on.resume_all() or on.release_guards():
                since = time.monotonic()
            if on.equal():
                after = time.monotonic() - since
                time.sleep(_LINGER)  # what is still under way would land now
                if on.equal():
                    return after
            time.sleep(0.05)
        return None

    def _case(self) -> oracle.Case:
        """What both sides have logged, once zk2etcd has stopped."""
        on = self._on
        until = time.time()
        settled = max(record.zxid for record in on.logged())
        for supervisor in on.supervisors:
            supervisor.stop()
        logged = on.logged()
        on.hand.write({})
        self._await_mark()
        on.watcher.check()
        events = list(on.watcher.events)
        foreign = {event.revision for event in events if event.key == hand.MARK}
        history = txnlog.replay(logged, on.restores)
        return oracle.Case(
            on.prefixes,
            world.STATE,
            history,
            events,
            foreign,
            world.KEPT,
            on.released,
            settled,
            tuple(on.pauses),
            len(on.restores),
            until,
        )

    def _await_mark(self) -> None:
        """The watch has seen all there is once it has seen a mark that was put last."""
        last = b"the last"
        self._on.hand.write({hand.LAST: last})
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self._on.watcher.check()
            if any(event.key == hand.LAST for event in self._on.watcher.events[-50:]):
                return
            time.sleep(0.02)
        raise errors.StartError("the suite's own watch did not catch up within 10 s")


class _Pace:
    """How much slower the machine is than one of our own: others work on it as well, and the
    seconds that are promised are those of processes that get the CPU when they want it."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._wall = self._cpu = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True, name="pace")
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_PACE_EVERY):
            wall, cpu = time.monotonic(), time.thread_time()
            while time.thread_time() - cpu < _PACE_SPIN:
                pass
            self._wall += time.monotonic() - wall
            self._cpu += time.thread_time() - cpu

    def end(self) -> float:
        """As `now`; it stops."""
        self._over.set()
        self._thread.join()
        return self.now()

    def now(self) -> float:
        """1.0 or more."""
        return min(max(1.0, self._wall / self._cpu), _PACE_MOST) if self._cpu else 1.0


def _late(after: float | None, allowed: float) -> oracle.Violation:
    when = "never" if after is None else f"after {after:.1f} s"
    text = f"etcd became equal to ZooKeeper {when}; {allowed:.1f} s were allowed"
    return oracle.Violation("I4", "converged", "everything", text)


def _keep(
    on: world.World, violations: Sequence[oracle.Violation], drawn: drawing.Plan
) -> pathlib.Path:
    """Copy what tells the story of a failure to a folder that stays."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"zk2etcd-faults-{drawn.seed}-"))
    (folder / "violations.txt").write_text("\n\n".join(map(str, violations)), "utf-8")
    (folder / "notes.txt").write_text("\n".join(on.notes), "utf-8")
    (folder / "plan.txt").write_text("\n".join(drawn.lines()), "utf-8")
    (folder / "plan.json").write_text(json.dumps(dataclasses.asdict(drawn)), "utf-8")
    events = (f"{e.revision} {e.at:.3f} {e.key!r} {e.value!r}" for e in on.watcher.events)
    (folder / "etcd.txt").write_text("\n".join(events), "utf-8")
    for source in sorted(each for each in on.box.folder.iterdir() if each.is_dir()):
        target = folder / source.name
        target.mkdir()
        for name in ("log", "config.yaml", "zoo.cfg"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(source / name, target / name)
    return folder
