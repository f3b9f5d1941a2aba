"""A registry whose half are consumers: its first full sync without them, by a pattern, beside that
of all. What is left out is not to be walked."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import figures, world
from zk2etcd_workers.commands import generate

_SOURCE = "/patterns"
_EACH = 10
_TARGET = 1 / 1.6


def measure(on: world.World, nodes: int, runs: int) -> list[figures.Figure]:
    services = nodes // (3 + 2 * _EACH)
    on.writer.write(_registry(services))
    on.warm(_SOURCE)
    rest, whole = services * (2 + _EACH), services * (3 + 2 * _EACH)
    took: dict[bool, list[float]] = {False: [], True: []}
    for run in range(runs):
        for less in (True, False) if run % 2 else (False, True):
            on.empty_etcd()
            exclude = [f"{_SOURCE}/*/consumers"] if less else []
            prefix = {"from": _SOURCE, "to": _SOURCE, "exclude": exclude}
            with on.supervisor(prefix, workers=1) as supervisor:
                line = on.watched(supervisor.launch, _SOURCE, rest if less else whole)
            took[less].append(line.equal - line.connected)
    name = f"first full sync of {whole:,} nodes, half of them excluded"
    return [figures.ratio(name, took[True], took[False], _TARGET, beside="for all of them")]


def _registry(services: int) -> Iterator[generate.Item]:
    yield generate.Item(_SOURCE, b"")
    for number in range(services):
        service = f"{_SOURCE}/com.example.Service{number:06d}"
        yield generate.Item(service, b"")
        for side in ("consumers", "providers"):
            yield generate.Item(f"{service}/{side}", b"")
            for child in range(_EACH):
                name = f"dubbo%3A%2F%2F10.0.0.{child}%3A20880%2Fcom.example.Service{number:06d}"
                value = generate.filled(f"{number}.{child}", 12)
                yield generate.Item(f"{service}/{side}/{name}", value)
