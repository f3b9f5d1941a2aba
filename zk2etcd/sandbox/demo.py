"""The main job shown on private, real servers: what is promised beside what was seen.

Each step looks from outside, at the servers and at the process, and returns what it saw; a step
that does not see what is promised raises, and the demo fails.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from zk2etcd import errors
from zk2etcd.sandbox import demo_disasters, demo_sharing, demo_stage, supervisor as supervisors

if TYPE_CHECKING:
    from zk2etcd_workers.commands import generate

NODES = 20_000
CHANGES = 50
NEIGHBOUR = "/dubbo2/not-ours"
PREFIXES = ("/dubbo", "/services")
ADDED = "/settings"
PROBED = "/services/probe"

Stage = demo_stage.Stage
Broken = demo_stage.Broken


@dataclasses.dataclass(frozen=True)
class Step:
    """`fatal`: without it the later steps make no sense."""

    name: str
    promised: str
    show: Callable[[Stage], str]
    fatal: bool = False


@dataclasses.dataclass(frozen=True)
class Seen:
    """How a step ended, and after how many seconds."""

    step: Step
    ok: bool
    seen: str
    seconds: float


def play(stage: Stage) -> Iterator[Seen]:
    """The steps in order, each as it ends. A fatal step that fails is the last one."""
    for step in STEPS:
        started = time.monotonic()
        try:
            seen, ok = step.show(stage), True
        except (errors.Zk2EtcdError, OSError, subprocess.SubprocessError) as error:
            seen, ok = str(error) or type(error).__name__, False
        yield Seen(step, ok, seen, time.monotonic() - started)
        if step.fatal and not ok:
            return


# --- the steps ----------------------------------------------------------------------------------


def _servers(stage: Stage) -> str:
    stage.zookeeper.launch()
    stage.etcd.launch()
    stage.etcd.wait_ready()
    stage.zookeeper.wait_ready()
    return f"ZooKeeper at {stage.zookeeper.address}, etcd at {stage.etcd.address}"


def _seed(stage: Stage) -> str:
    from zk2etcd_workers.commands import generate  # noqa: PLC0415

    tree = generate.dubbo("/dubbo", NODES // 20 + 1, 15)
    done = stage.seed(itertools.islice(tree, NODES))
    stage.seed(generate.plain("/services", 10, 10, 64))
    stage.seed(generate.plain(ADDED, 10, 10, 64))
    stage.writer.create(PROBED)
    stage.put(NEIGHBOUR, b"a neighbour's value")
    return f"{done.created:,} nodes below /dubbo in {done.seconds:.1f} s"


def _first_sync(stage: Stage) -> str:
    content = supervisors.settings(stage.zookeeper, stage.etcd, PREFIXES) | demo_sharing.SHARE
    supervisor = stage.supervise(content)
    started = time.monotonic()
    supervisor.launch()
    demo_stage.until(lambda: _filled(stage), 30, f"{NODES:,} keys in etcd")
    took = time.monotonic() - started
    supervisor.wait_ready()
    supervisor.wait_following(30)
    stage.expect_equal()
    if took > 5:
        raise Broken(f"equal only {took:.1f} s after the process started")
    return f"{NODES:,} keys equal {took:.1f} s after the process started; diff finds nothing"


def _filled(stage: Stage) -> bool:
    if not stage.supervisor.alive:
        raise Broken("the supervisor ended by itself")
    return stage.keys("/dubbo") >= NODES


def _live(stage: Stage) -> str:
    writer = stage.writer
    times: dict[str, list[float]] = {"create": [], "set": [], "delete": []}
    for number in range(CHANGES):
        path = f"/dubbo/live-{number}"
        create = functools.partial(writer.create, path, b"first")
        times["create"].append(_arrival(stage, path, b"first", create))
        change = functools.partial(writer.set, path, b"second")
        times["set"].append(_arrival(stage, path, b"second", change))
        delete = functools.partial(writer.delete, path)
        times["delete"].append(_arrival(stage, path, None, delete))
    middle = {kind: statistics.median(taken) * 1000 for kind, taken in times.items()}
    if max(middle.values()) > 100:
        raise Broken(f"slow: {middle}")
    worst = max(max(taken) for taken in times.values()) * 1000
    shown = ", ".join(f"{kind} {value:.1f} ms" for kind, value in middle.items())
    return f"{shown} (p50 of {CHANGES} each; slowest {worst:.0f} ms)"


def _arrival(stage: Stage, path: str, value: bytes | None, change: Callable[[], None]) -> float:
    """Seconds from before the change in ZooKeeper until etcd shows it."""
    started = time.monotonic()
    change()
    demo_stage.until(
        lambda: stage.value(path) == value, 10, f"{path} in etcd", demo_stage.POLL_SECONDS
    )
    return time.monotonic() - started


def _neighbour(stage: Stage) -> str:
    value, revision = stage.value(NEIGHBOUR), stage.revision(NEIGHBOUR)
    keys = stage.keys("/dubbo2")
    if value != b"a neighbour's value" or keys != 1:
        raise Broken(f"{NEIGHBOUR} is now {value!r}, among {keys} keys")
    return f"{NEIGHBOUR} has its value still, written once (revision {revision})"


def _tamper(stage: Stage) -> str:
    victim = "/services/parent-000003/child-000007"
    good = stage.value(victim)
    stage.put(victim, b"tampered with")
    code, text = stage.command("diff")
    if code != 1 or victim not in text:
        raise Broken(f"diff exited {code} and said: {text.strip()}")
    code, text = stage.command("diff", "--fix")
    if code != 0:
        raise Broken(f"diff --fix exited {code} and said: {text.strip()}")
    if stage.value(victim) != good:
        raise Broken(f"{victim} is {stage.value(victim)!r} after diff --fix")
    stage.expect_equal()
    return "diff exits 1 and names the path; --fix repairs it; then diff exits 0"


def _kill(stage: Stage) -> str:
    """Once more where it took too long: on a busy machine one try says little."""
    for again in ("", " (at the second try)"):
        back, equal, probe = _killed(stage)
        if back <= 3 and probe.worst <= 0.25:
            return (
                f"back after {back:.1f} s{again}, equal {equal:.1f} s later; {probe.changes}"
                f" changes on the other worker's shard took {probe.worst * 1000:.0f} ms at most"
            )
    raise Broken(f"back after {back:.1f} s, the other's worst {probe.worst * 1000:.0f} ms")


def _killed(stage: Stage) -> tuple[float, float, demo_stage.Probe]:
    """Seconds until the worker is back, and from then until all is equal; the other's changes."""
    supervisor = stage.supervisor
    shard = supervisor.shards()["/dubbo"]
    pid = supervisor.worker_pids()[shard["worker"]]
    with demo_stage.Probe(stage, PROBED) as probe, stage.connect() as writer:
        written = _load(writer, 0.5)
        os.kill(pid, signal.SIGKILL)
        died = time.monotonic()
        written |= _load(writer, 0.5)
        demo_stage.until(lambda: _back(stage, pid), 20, "the worker is back")
        back = time.monotonic() - died
        written |= _load(writer, 0.5)
    probe.check()
    equal = demo_stage.until(
        lambda: all(stage.value(path) == value for path, value in written.items()),
        5,
        "the changes made meanwhile",
    )
    stage.expect_equal()
    return back, equal, probe


def _load(writer: generate.Writer, seconds: float) -> dict[str, bytes]:
    """Set nodes below /dubbo for a while; the last value of each."""
    written: dict[str, bytes] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        number = int(time.monotonic() * 1000) % 50
        path = f"/dubbo/com.example.shop{number:02d}.Service{number:06d}"
        written[path] = f"{time.monotonic()}".encode()
        writer.set(path, written[path])
    return written


def _back(stage: Stage, dead: int) -> bool:
    status = stage.supervisor.status()
    shard = next(shard for shard in status["shards"] if shard["from"] == "/dubbo")
    pids = {worker["slot"]: worker["pid"] for worker in status["workers"]}
    return shard["phase"] == "following" and pids.get(shard["worker"]) not in (None, dead)


def _reload(stage: Stage) -> str:
    supervisor = stage.supervisor
    before = {source: _pid(supervisor, source) for source in PREFIXES}
    content = dict(supervisor.content)
    content["sync"] = {"prefixes": [*PREFIXES, ADDED]}
    supervisor.configure(content)
    supervisor.reload()
    took = demo_stage.until(lambda: stage.keys(ADDED) == 111, 15, f"{ADDED} in etcd")
    supervisor.wait_following(15)
    stage.expect_equal()
    if before != {source: _pid(supervisor, source) for source in PREFIXES}:
        raise Broken("workers of unchanged prefixes were restarted")
    return f"{ADDED} mirrored {took * 1000:.0f} ms after SIGHUP; no other worker was touched"


def _pid(supervisor: supervisors.Supervisor, source: str) -> int:
    return supervisor.worker_pids()[supervisor.shards()[source]["worker"]]


def _broken_file(stage: Stage) -> str:
    supervisor = stage.supervisor
    good = supervisor.config.read_text("utf-8")
    supervisor.write(good.replace("workers:", "wrokers:"))
    supervisor.reload()
    demo_stage.until(lambda: bool(_config_error(stage)), 10, "the refusal in status")
    refusal = (_config_error(stage) or "").splitlines()[0].removeprefix(f"{supervisor.folder}/")
    took = _arrival(stage, PROBED, b"still", lambda: stage.writer.set(PROBED, b"still"))
    supervisor.write(good)
    supervisor.reload()
    demo_stage.until(lambda: not _config_error(stage), 10, "the good file taken again")
    return f"refused ({refusal}); a change still arrives, in {took * 1000:.0f} ms"


def _config_error(stage: Stage) -> str | None:
    error: str | None = stage.supervisor.status()["config"]["error"]
    return error


STEPS = (
    Step("servers", "a private ZooKeeper and etcd on loopback", _servers, fatal=True),
    Step("seed", f"a registry of {NODES:,} nodes, a neighbour's key in etcd", _seed, fatal=True),
    Step("first full sync", "equal within 5 s of the start", _first_sync, fatal=True),
    Step("live changes", "create, set and delete arrive within milliseconds", _live),
    Step("neighbour", "/dubbo never touches /dubbo2", _neighbour),
    Step("tampering", "diff finds a wrong value, --fix repairs it", _tamper),
    Step("kill -9 under load", "back within 3 s, others not over 250 ms, equal 5 s later", _kill),
    Step("prefix added", "SIGHUP adds it, the rest is not touched", _reload),
    Step("broken file", "SIGHUP refuses it and says why, the old one goes on", _broken_file),
    Step(
        "second supervisor",
        "takes its part; killed -9, the first has it again within its lease (5 s) and 10 s",
        demo_sharing.second_supervisor,
    ),
    Step(
        "etcd restored",
        "from a snapshot, without a word to zk2etcd: equal again within 5 s",
        demo_disasters.etcd_restored,
    ),
    Step(
        "ZooKeeper wiped",
        "nothing deleted, held and told; released by a person, equal again",
        demo_disasters.zookeeper_wiped,
    ),
    Step("neighbour again", "/dubbo never touches /dubbo2", _neighbour),
)
