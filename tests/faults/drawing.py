"""What a run will do, drawn up from its seed before anything starts.

The plan of operations and faults is a value: the same seed gives the same plan, and what makes two
runs of it differ is only when the machine gets round to what. Five lanes of faults run side by
side: zk2etcd's processes, ZooKeeper, etcd (each with the network before it), the data itself, and
what a person asks for.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence

CLIENTS = 3
RATE = 60
"""Operations a second, of all clients together."""

ROOTS = ("/dubbo", "/services", "/conf")
GUARDED = "/guarded"
MANY = "/many"
"""Above the small prefixes, if there are any."""
OUTSIDE = ("/dubbo/config", "/dubbo2", "/dubbo-config")
"""Changed all the time as well, and never mirrored."""

_SERVICES, _NODES = 5, 6


@dataclasses.dataclass(frozen=True)
class Operation:
    """`kind` on `paths`, by client number `client`, at `at` seconds after the start."""

    at: float
    client: int
    kind: str
    paths: tuple[str, ...]
    value: str


@dataclasses.dataclass(frozen=True)
class Fault:
    """`kind` from `at` on, for `lasts` seconds; `luck` decides what else there is to decide."""

    at: float
    kind: str
    lasts: float
    luck: int


@dataclasses.dataclass(frozen=True)
class Plan:
    seed: int
    seconds: float
    operations: Sequence[Operation]
    lanes: Mapping[str, Sequence[Fault]]

    def lines(self) -> list[str]:
        """The faults, as a person reads them; operations are told by their number."""
        faults = sorted((f for lane in self.lanes.values() for f in lane), key=lambda f: f.at)
        told = [f"{f.at:6.2f}s  {f.kind} for {f.lasts:.2f}s, luck {f.luck}" for f in faults]
        head = f"seed {self.seed}, {self.seconds:g} s, {len(self.operations)} operations"
        return [head, *told]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of fault: how long it may last, and how often it is drawn."""

    name: str
    shortest: float
    longest: float
    weight: int = 2


def small(count: int) -> list[str]:
    """The roots of so many small prefixes."""
    return [f"{MANY}/p{number:03}" for number in range(count)]


def draw(
    seed: int,
    seconds: float,
    lanes: Mapping[str, Sequence[Kind]],
    rate: float = RATE,
    prefixes: int = 0,
) -> Plan:
    """:param lanes: which kinds of faults may happen in each lane, one at a time.
    :param rate: operations a second, of all clients together.
    :param prefixes: how many small ones there are; half of the operations are theirs."""
    luck = random.Random(seed)
    operations = _operations(luck, seconds, rate)
    if prefixes:
        operations = [_elsewhere(luck, each, small(prefixes)) for each in operations]
    faults = {name: _faults(luck, seconds, kinds) for name, kinds in lanes.items() if kinds}
    return Plan(seed, seconds, operations, faults)


def _faults(luck: random.Random, seconds: float, kinds: Sequence[Kind]) -> list[Fault]:
    found = []
    at = luck.uniform(0.2, 2.0)
    while at < seconds:
        kind = luck.choices(kinds, [each.weight for each in kinds])[0]
        lasts = min(luck.uniform(kind.shortest, kind.longest), seconds - at)
        found.append(Fault(round(at, 3), kind.name, round(lasts, 3), luck.randrange(1 << 30)))
        at += lasts + luck.uniform(0.3, 2.5)
    return found


# --- operations ----------------------------------------------------------------------------------

_KINDS = {
    "create": 24,
    "set": 34,
    "delete": 14,
    "delete_tree": 2,
    "transaction": 10,
    "ephemeral": 6,
    "end_session": 1,
    "same": 5,
    "flip": 4,
}


def _operations(luck: random.Random, seconds: float, rate: float) -> list[Operation]:
    names, weights = list(_KINDS), list(_KINDS.values())
    made = []
    for number in range(int(seconds * rate)):
        kind = luck.choices(names, weights)[0]
        count = luck.randint(2, 5) if kind == "transaction" else 1
        chosen = tuple(_path(luck, kind) for _ in range(count))
        value = f"{number}" + "." * (luck.randrange(3000) if luck.random() < 0.02 else 0)
        at = round(number / rate, 3)
        made.append(Operation(at, luck.randrange(CLIENTS), kind, chosen, value))
    return made


def _elsewhere(luck: random.Random, one: Operation, roots: Sequence[str]) -> Operation:
    """The same, or as much in a small prefix."""
    if luck.random() < 0.5:
        return one
    paths = tuple(
        path.replace(root, luck.choice(roots), 1)
        for path in one.paths
        for root in [next((root for root in ROOTS if path.startswith(f"{root}/")), GUARDED)]
        if root != GUARDED and not path.startswith(OUTSIDE)
    )
    return dataclasses.replace(one, paths=paths or one.paths)


def _path(luck: random.Random, kind: str) -> str:
    if luck.random() < 0.05 and kind != "delete_tree":
        return f"{luck.choice(OUTSIDE)}/n{luck.randrange(_NODES)}"
    if luck.random() < 0.06 and kind in ("set", "same"):
        return f"{GUARDED}/n{luck.randrange(40)}"
    root = luck.choice(ROOTS)
    service = f"{root}/s{luck.randrange(_SERVICES)}"
    if kind == "delete_tree":
        return service
    node = f"{service}/n{luck.randrange(_NODES)}"
    if kind == "ephemeral":
        return f"{service}/e{luck.randrange(_NODES)}"
    return luck.choice((node, node, node, f"{node}/leaf", service, root if kind == "set" else node))
