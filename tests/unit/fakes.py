"""Workers without processes, a loader without files: the supervisor's loop turned by hand."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterable

from tests.unit import settings
from zk2etcd import conditions, errors, messages, scratch
from zk2etcd.config import loader, models
from zk2etcd.process import channel, spawned
from zk2etcd.supervisor import reloading, supervisor
from zk2etcd.view import published


class Channel(channel.Channel):
    """Keeps what is sent; `incoming` is what the worker says next. There is no pipe."""

    wants_write = False

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.incoming: list[object] = []
        self.broken: str | None = None

    def fileno(self) -> int:
        return -1

    def send(self, message: object) -> None:
        self.sent.append(message)

    def flush(self) -> None:
        """Nothing waits."""

    def receive(self) -> list[object]:
        said, self.incoming = self.incoming, []
        return said


class Child(spawned.Child):
    """A worker that does what the test says. There is no process."""

    sentinel = -1
    channel: Channel

    def __init__(self, spec: messages.WorkerSpec) -> None:
        self.spec = spec
        self.pid = 1000
        self.channel = Channel()
        self.code: int | None = None
        self._killed = False
        self.details: dict[str, messages.ShardReport] = {}
        self.held: tuple[str, ...] | None = None
        self.let_go: dict[str, int] = {}
        self.untold: str | None = None
        self.refusal: str | None = None

    def killed(self) -> bool:
        return self._killed

    def exit_code(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self._killed = True
        self.code = -signal.SIGKILL

    def close(self) -> None:
        """No descriptors."""

    def usage(self) -> tuple[int, float] | None:
        return (1, 0.5) if self.code is None else None

    def sent(self, kind: type) -> list[object]:
        return [message for message in self.channel.sent if isinstance(message, kind)]

    @property
    def assign(self) -> messages.Assign | None:
        found = self.sent(messages.Assign)
        last = found[-1] if found else None
        assert last is None or isinstance(last, messages.Assign)
        return last

    @property
    def shards(self) -> tuple[str, ...]:
        return tuple(shard.id for shard in self.assign.shards) if self.assign else ()

    def report(self, oldest_turn: float = 0.0) -> None:
        """Report: each shard follows, unless `details` says otherwise; `held` instead of all."""
        shards = tuple(self.details.get(shard) or follows(shard) for shard in self.shards)
        self.channel.incoming.append(
            messages.Report(
                slot=self.spec.identity.slot,
                incarnation=self.spec.identity.incarnation,
                generation=self.assign.generation if self.assign else 0,
                held=self.shards if self.held is None else self.held,
                shards=shards,
                oldest_turn_seconds=oldest_turn,
                zk_connected=True,
                let_go=self.let_go,
                untold=self.untold,
                refusal=self.refusal,
            )
        )


def follows(shard: str, sequence: int = 1, **changes: object) -> messages.ShardReport:
    result = conditions.FullSyncResult(sequence, 0.0, 0.1, 0, 0)
    good = messages.ShardReport(shard, "following", owned=True, last_full_sync=result)
    return dataclasses.replace(good, **changes)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Loaded(loader.Loaded):
    sha256: str = "0" * 64
    secrets_sha256: str = ""


class World:
    """A supervisor, its children in the order of their start, and a clock."""

    def __init__(
        self,
        cfg: models.Config,
        *,
        once: bool = False,
        fails: bool = False,
        instance: str = "test",
    ) -> None:
        self.now = 1000.0
        self.config = cfg
        self.instance = instance
        self.refusal: str | None = None
        self.started: list[Child] = []
        self.fails = fails
        self._ended = False
        setup = supervisor.Setup(
            configuration=reloading.Configuration(Loaded(cfg), self._load, (), 0.0),
            instance=instance,
            version="0",
            folder=scratch.Nowhere(),
            spawn=self._spawn,
            once=once,
        )
        self.supervisor = supervisor.Supervisor(setup, self.now)

    def _load(self) -> Loaded:
        if self.refusal is not None:
            raise errors.ConfigError([self.refusal])
        return Loaded(self.config)

    def _spawn(self, spec: messages.WorkerSpec) -> Child:
        if self.fails:
            raise OSError(11, "Resource temporarily unavailable")
        child = Child(spec)
        self.started.append(child)
        return child

    def turn(self, *arrived: signal.Signals, seconds: float = 0.1) -> published.View:
        """One turn after `seconds`, signals having arrived."""
        self.now += seconds
        self._ended = not self.supervisor.turn(self.now, arrived)
        return self.supervisor.desk.snapshot()

    def ended(self) -> bool:
        """The last turn was the last."""
        return self._ended

    def live(self) -> dict[str, Child]:
        """The last child of each slot that has not ended."""
        return {child.spec.identity.slot: child for child in self.started if child.code is None}

    def report(self, slots: Iterable[str] | None = None) -> published.View:
        """These slots' workers report (all of them by default), then a turn."""
        for slot, child in self.live().items():
            if slots is None or slot in slots:
                child.report()
        return self.turn()

    def settle(self) -> published.View:
        """Start everything and let it follow."""
        self.turn()
        self.report()
        return self.report()


def world(*prefixes: str, workers: int = 2, once: bool = False, **sync: object) -> World:
    cfg = settings.alone(prefixes, sync=sync, workers={"count": workers})
    return World(cfg, once=once)
